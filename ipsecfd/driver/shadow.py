"""A second judge beside the one that decides: which packets it would decide otherwise.

What the second one says is noted and never obeyed, not even where it fails. Memory is bounded: of
very many flows not all are told apart, but every packet is counted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.driver import Judge
from ipsecfd.driver.packet import Malformed, parse

MOST_CAUSES: Final = 1_000
"""Pairs of decisions told apart between two calls of `take`."""
MOST_FLOWS: Final = 1_000
"""Flows told apart between two calls of `take`."""

_MANY: Final = {
    (verdict, reason): Decision(verdict, reason, detail="more causes than can be told apart")
    for verdict in Verdict
    for reason in Reason
}


class FlowKey(NamedTuple):
    """What tells one flow from another. Addresses are packed: a sender could choose integers that
    all have one hash, which makes every look-up slow, but not bytes."""

    source: bytes
    destination: bytes
    protocol: int | None
    """None where a fragment hides it."""
    source_port: int
    destination_port: int


class Change(NamedTuple):
    """Packets of one direction whose verdict would be another one."""

    direction: Direction
    now: Decision
    then: Decision
    packets: int
    flows: tuple[tuple[FlowKey, int], ...]
    """Flows with their packets; `packets` is more where not all are told apart, or have a flow."""


class Compared(NamedTuple):
    """What a Comparison has found."""

    number: int
    packets: int
    """Packets that both judges decided about."""
    faults: int
    """Packets that the second one failed to decide about, which is a defect."""
    changes: tuple[Change, ...]


class Comparison:
    """Compares judges, for one thread; `number` tells it from others."""

    def __init__(self, number: int) -> None:
        self.number = number
        self._packets = self._faults = self._flows = 0
        self._changes: dict[tuple[Direction, Decision, Decision], dict[FlowKey | None, int]] = {}

    def judge(self, judge: Judge, other: Judge, direction: Direction) -> Judge:
        """A judge that decides as the first one does, and notes what the other would decide."""

        def both(data: bytes, cut: bool = False) -> Decision:
            now = judge(data, cut)
            try:
                then = other(data, cut)
                if then.verdict is not now.verdict:
                    self._note(direction, now, then, data)
                self._packets += 1
            except Exception:  # noqa: BLE001 - whatever it is, it must not change the verdict
                self._faults += 1
            return now

        return both

    def take(self) -> Compared:
        """What was found since the last call."""
        changes = tuple(
            Change(
                direction,
                now,
                then,
                sum(flows.values()),
                tuple((flow, packets) for flow, packets in flows.items() if flow is not None),
            )
            for (direction, now, then), flows in self._changes.items()
        )
        found = Compared(self.number, self._packets, self._faults, changes)
        self._packets = self._faults = self._flows = 0
        self._changes = {}
        return found

    def _note(self, direction: Direction, now: Decision, then: Decision, data: bytes) -> None:
        cause = (direction, now, then)
        if cause not in self._changes and len(self._changes) >= MOST_CAUSES:
            cause = (
                direction,
                _MANY[now.verdict, now.reason],
                _MANY[then.verdict, then.reason],
            )
        flows = self._changes.setdefault(cause, defaultdict(int))
        flow = _flow(data)
        if flow not in flows:
            if self._flows >= MOST_FLOWS:
                flow = None
            else:
                self._flows += 1
        flows[flow] += 1


def _flow(data: bytes) -> FlowKey | None:
    """The flow of a packet; None for one that is malformed."""
    packet = parse(data, cut=True)
    if isinstance(packet, Malformed):
        return None
    family, source, destination, protocol, source_port, destination_port = packet[:6]
    size = 4 if family == 4 else 16
    return FlowKey(
        source.to_bytes(size, "big"),
        destination.to_bytes(size, "big"),
        protocol,
        source_port,
        destination_port,
    )
