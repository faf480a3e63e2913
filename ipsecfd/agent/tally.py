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


class Tally:
    """Counts by cause; `now` is the time of day."""

    def __init__(self, now: Callable[[], datetime.datetime]) -> None:
        self._now = now
        self._rows: dict[Cause, Row] = {}

    @property
    def rows(self) -> Mapping[Cause, Row]:
        """All causes so far."""
        return self._rows

    def judged(self, judged: Iterable[Judged]) -> None:
        """Add what a packet process judged since it last told."""
        for one in judged:
            self._add(Cause.of(one.direction, one.decision), one.packets, one.octets)

    def learnt(self, counts: Mapping[Cause, tuple[int, int]]) -> None:
        """Add packets and bytes that the kernel decided by itself since they were last read."""
        for cause, (packets, octets) in counts.items():
            self._add(cause, packets, octets).learnt += packets

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
