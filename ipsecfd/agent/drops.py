"""Dropped packets to records: each one while there are few, exact counts in a flood (spec 7).

Runs in the packet process between packets, so it does no I/O, and adding a drop costs the same
whatever came before. Memory is bounded everywhere: what there is no room to tell apart is counted
together, and nothing is ever left out of the counts.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable
from typing import Final, NamedTuple, TypeVar

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.packet import Malformed, parse
from ipsecfd.policy.model import TCP, UDP

HEADER_BYTES: Final = 96
"""Bytes kept of a packet: all headers, but for extension headers of absurd size."""
BURST: Final = 1000
"""Records that may be given out at once."""
RATE: Final = 200
"""Records given out a second once the burst is used up; a flood that lasts fills some 100 kB a
second of log with them."""
COUNT_PERIOD: Final = 1.0
"""Seconds between counts of what went beyond that rate."""
GROUPS: Final = 1000
"""Kinds of drops counted apart from each other."""

FAILURES, INBOUND, OUTBOUND = 1, 2, 4
"""The parts that a level is the sum of (spec 7.1)."""

_FAILED: Final = (Reason.MALFORMED, Reason.NEGOTIATE)
"""Drops that FAILURES logs whichever way they go: invalid syntax, and negotiations that fail."""

_MANY: Final = {
    reason: Decision(Verdict.BLOCK, reason, detail="more causes than can be told apart")
    for reason in Reason
}


def unrecorded(level: int) -> frozenset[Direction]:
    """The directions in which a level records no drop that a filter decided (spec 7.1)."""
    inbound = (Direction.IN, Direction.FORWARD)  # a routed packet came in, and went no further
    return frozenset(
        (() if level & INBOUND else inbound) + (() if level & OUTBOUND else (Direction.OUT,))
    )


class DropRecord(NamedTuple):
    """One dropped packet, or several that are alike; times in seconds since 1970."""

    first: float
    last: float
    direction: Direction
    interface: int
    """The interface's index; 0 when there is none."""
    decision: Decision
    data: bytes
    """The beginning of the first of the packets."""
    packets: int = 1
    mixed: bool = False
    """Whether others of these packets may have other addresses and ports than the first."""


class _Group:
    """Packets counted together."""

    __slots__ = ("data", "first", "last", "packets")

    def __init__(self, first: float, data: bytes) -> None:
        self.first = self.last = first
        self.data = data
        self.packets = 0


_Kind = tuple[Decision, Direction, int]
_Flow = tuple[Decision, Direction, int, Hashable]
_Key = TypeVar("_Key", _Kind, _Flow)


class Drops:
    """Collects drops until they are due; for use by one thread.

    `level` is 0 to 7 (spec 7.1). `interval` is in seconds: 0 records each drop at once as far as
    RATE allows, anything else counts drops of the same kind and flow until it has passed. `clock`
    gives seconds since 1970.
    """

    def __init__(self, level: int, interval: float, clock: Callable[[], float]) -> None:
        self._unrecorded = unrecorded(level)
        self._failures = bool(level & FAILURES)
        self._interval = interval
        self._clock = clock
        self._budget = float(BURST)
        self._refilled = self._counted = clock()
        self._single: list[DropRecord] = []
        self._flows: dict[_Flow, _Group] = {}
        self._kinds: dict[_Kind, _Group] = {}

    def add(self, decision: Decision, direction: Direction, interface: int, data: bytes) -> None:
        """Note one dropped packet."""
        if direction in self._unrecorded and not (self._failures and decision.reason in _FAILED):
            return
        now = self._clock()
        if self._interval:
            flow = (decision, direction, interface, _flow(data))
            group = self._flows.get(flow)
            if group is None:
                if len(self._flows) < GROUPS:
                    group = self._flows[flow] = _Group(now, data[:HEADER_BYTES])
                else:
                    group = self._kind(decision, direction, interface, now, data)
        elif self._budget >= 1:
            self._budget -= 1
            self._single.append(
                DropRecord(now, now, direction, interface, decision, data[:HEADER_BYTES])
            )
            return
        else:
            group = self._kinds.get((decision, direction, interface)) or self._kind(
                decision, direction, interface, now, data
            )
        group.packets += 1
        group.last = now

    def due(self) -> list[DropRecord]:
        """What may be handed over now; call it every 0.1 seconds or so, or after `quiet` ones."""
        now = self._clock()
        # A clock that was set back must not hold records up: it counts as if time had passed.
        elapsed = now - self._refilled if now >= self._refilled else COUNT_PERIOD
        self._budget = min(BURST, self._budget + elapsed * RATE)
        self._refilled = now
        records, self._single = self._single, []
        if not self._until_counts(now):
            self._counted = now
            records += self._take_groups()
        elif len(self._flows) >= GROUPS and self._budget >= GROUPS:
            self._budget -= GROUPS
            records += _take(self._flows, mixed=False)
        return records

    def quiet(self) -> float:
        """Seconds until something is due, if no drop is added meanwhile; endless without any."""
        if self._single or len(self._flows) >= GROUPS:
            return 0.0
        if not (self._flows or self._kinds):
            return math.inf
        return self._until_counts(self._clock())

    def drain(self) -> list[DropRecord]:
        """Everything that is held, due or not: for the end of the process."""
        records, self._single = self._single, []
        return records + self._take_groups()

    def unsent(self, records: Iterable[DropRecord]) -> None:
        """Take records back that could not be handed over; they come again as counts."""
        for one in records:
            group = self._kind(one.decision, one.direction, one.interface, one.first, one.data)
            if one.first < group.first:
                group.first, group.data = one.first, one.data
            group.last = max(group.last, one.last)
            group.packets += one.packets

    def _kind(
        self, decision: Decision, direction: Direction, interface: int, now: float, data: bytes
    ) -> _Group:
        """The group that counts a drop without its addresses, or at the worst its reason alone."""
        kind = (decision, direction, interface)
        if kind not in self._kinds and len(self._kinds) >= GROUPS:
            kind = (_MANY[decision.reason], direction, 0)
        group = self._kinds.get(kind)
        if group is None:
            group = self._kinds[kind] = _Group(now, data[:HEADER_BYTES])
        return group

    def _until_counts(self, now: float) -> float:
        """Seconds until counts are due: none either when the clock was set back since the last."""
        elapsed, period = now - self._counted, self._interval or COUNT_PERIOD
        return period - elapsed if 0 <= elapsed < period else 0.0

    def _take_groups(self) -> list[DropRecord]:
        return _take(self._flows, mixed=False) + _take(self._kinds, mixed=True)


def _take(groups: dict[_Key, _Group], *, mixed: bool) -> list[DropRecord]:
    """The groups as records, the oldest first, and no groups any more."""
    records = [
        DropRecord(
            group.first,
            group.last,
            direction=key[1],
            interface=key[2],
            decision=key[0],
            data=group.data,
            packets=group.packets,
            mixed=mixed and group.packets > 1,
        )
        for key, group in groups.items()
    ]
    groups.clear()
    return sorted(records, key=lambda one: one.first)


def _flow(data: bytes) -> Hashable:
    """Addresses, protocol and destination port: what an interval's counts keep apart.

    Read from their usual places, since parsing takes too long in a flood; only packets with IPv6
    extension headers are parsed.
    """
    if len(data) < 20:
        return data
    version = data[0] >> 4
    if version == 4:
        protocol = data[9]
        if protocol in (TCP, UDP) and not (data[6] & 0x1F or data[7]):
            port = (data[0] & 0x0F) * 4 + 2
            return protocol, data[12:20], data[port : port + 2]
        return protocol, data[12:20]
    if version == 6:
        protocol = data[6]
        if protocol in (TCP, UDP):
            return protocol, data[8:40], data[42:44]
        packet = parse(data, cut=True)
        if not isinstance(packet, Malformed):
            return packet.protocol, data[8:40], packet.destination_port
    return data[:40]
