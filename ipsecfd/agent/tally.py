"""How often each decision was made since the service started, by packet processes and kernel.

Packet processes count what they judge; flows that the kernel learnt are counted by the kernel and
read now and then. Here both come together, one row for each cause.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from ipsecfd.agent.transfer import Judged
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.kernel.counters import Counters

MOST_ROWS: Final = 500_000
"""Causes told apart; when there are more, the half that was idle for longest is forgotten."""


class Cause(NamedTuple):
    """What decided, in words that survive a reload: the same filter stays the same cause."""

    direction: Direction
    verdict: str
    reason: str
    policy: str | None
    rule: str | None
    filter: str | None
    mirrored: bool
    exemption: str | None
    detail: str | None

    @classmethod
    def of(cls, direction: Direction, decision: Decision) -> Cause:
        """The cause of a decision."""
        return cls(
            direction,
            decision.verdict.value,
            decision.reason.value,
            decision.policy,
            decision.rule,
            decision.filter,
            decision.mirrored,
            decision.exemption,
            decision.detail,
        )


@dataclass(slots=True)
class Row:
    """What one cause decided."""

    packets: int = 0
    octets: int = 0
    learnt: int = 0
    """Packets of these that the kernel decided by itself."""
    last: datetime.datetime | None = None
    """The reading that last found new packets."""
    learnable: int = 0
    learnable_octets: int = 0
    """Packets, and their bytes, that flows could be learnt from."""

    @property
    def learnable_size(self) -> float:
        """Bytes of such a packet in the mean; 0 if there was none."""
        return self.learnable_octets / self.learnable if self.learnable else 0.0


class Passed(NamedTuple):
    """What the kernel decided by itself for one cause since the last reading."""

    packets: int
    octets: int
    """With those of the one packet, judged, that each of the new flows was learnt from."""
    flows: int
    """Flows that are new."""


class Loss(NamedTuple):
    """What was decided and no count has: whoever counted it went before telling."""

    times: int
    """How often that happened."""
    since: datetime.datetime
    until: datetime.datetime
    """Of the last time: when it was complete, and the end of whoever counted it."""


class Tally:
    """Counts by cause; `now` is the time of day."""

    def __init__(self, now: Callable[[], datetime.datetime]) -> None:
        self._now = now
        self._rows: dict[Cause, Row] = {}
        self._earlier = self._counters = Counters()  # of tables before this one, and of this one
        self._packets = self._octets = 0
        self.read: datetime.datetime | None = None
        """When the kernel's counts were last read."""
        self.loss: Loss | None = None
        """Of the kernel's own counts, with our table."""
        self.unreported: Loss | None = None
        """Of a packet process' counts, with its life."""
        self._known = self._begun = now()  # up to when counts are complete; of the reading after it

    @property
    def rows(self) -> Mapping[Cause, Row]:
        """All causes so far."""
        return self._rows

    @property
    def kernel(self) -> Counters:
        """What the kernel decided by itself, by its own account."""
        return _sum(self._earlier, self._counters)

    @property
    def missing(self) -> tuple[int, int]:
        """Packets and bytes that the kernel decided by itself and that are in no row: those of
        flows that ended between two readings."""
        kernel = self.kernel
        packets = max(0, kernel.packets - self._packets)
        return packets, max(0, kernel.octets - self._octets) if packets else 0

    def judged(self, judged: Iterable[Judged]) -> None:
        """Add what a packet process judged since it last told."""
        for one in judged:
            row = self._add(Cause.of(one.direction, one.decision), one.packets, one.octets)
            if one.decision.learnable:
                row.learnable += one.packets
                row.learnable_octets += one.octets

    def died(self, silent: float) -> None:
        """A packet process died that had told nothing for so many seconds."""
        now = self._now()
        times = self.unreported.times if self.unreported else 0
        self.unreported = Loss(times + 1, now - datetime.timedelta(seconds=silent), now)

    def reading(self) -> None:
        """A reading of the kernel's counts begins."""
        self._begun = self._now()

    def learnt(self, counters: Counters, counts: Mapping[Cause, Passed]) -> None:
        """Add what the kernel decided by itself. `counters` are of our table, read before.

        Of a new flow the kernel counts one packet that was judged, and whose size nobody knows.
        """
        if any(now < before for now, before in zip(counters, self._counters, strict=True)):
            self.new_table(lost=True)  # or the same with its counters reset
        self._counters = counters
        self._known, self.read = self._begun, self._now()
        for cause, (packets, octets, flows) in counts.items():
            if packets:
                # Before a packet process has told of such packets, those of this reading must do.
                size = self._add(cause, 0, 0).learnable_size or octets / (packets + flows)
                alone = max(0, octets - round(flows * size))
                self._add(cause, packets, alone).learnt += packets
                self._packets += packets
                self._octets += alone

    def new_table(self, *, lost: bool) -> None:
        """The kernel's counters begin anew; `lost` when somebody took away those of before."""
        now = self._now()
        if lost and self.loss and self._known < self.loss.until:
            # A reading has noticed it already; what it read may be of this very table.
            self.loss = self.loss._replace(until=now)
        else:
            if lost:
                self.loss = Loss(self.loss.times + 1 if self.loss else 1, self._known, now)
            self._earlier = self.kernel
        self._counters, self._known = Counters(), now

    def by_reason(self) -> Counter[tuple[str, str]]:
        """Packets by verdict and reason."""
        counted: Counter[tuple[str, str]] = Counter()
        for cause, row in self._rows.items():
            counted[cause.verdict, cause.reason] += row.packets
        return counted

    def _add(self, cause: Cause, packets: int, octets: int) -> Row:
        row = self._rows.get(cause)
        if row is None:
            if len(self._rows) >= MOST_ROWS:
                self._forget_half()
            row = self._rows[cause] = Row()
        if packets:
            row.packets += packets
            row.octets += octets
            row.last = self._now()
        return row

    def _forget_half(self) -> None:
        never = datetime.datetime.min.replace(tzinfo=datetime.UTC)
        by_age = sorted(self._rows, key=lambda one: self._rows[one].last or never)
        for cause in by_age[: MOST_ROWS // 2]:
            del self._rows[cause]


def _sum(one: Counters, other: Counters) -> Counters:
    return Counters(*map(sum, zip(one, other, strict=True)))
