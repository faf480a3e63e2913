"""Whatever happens in whichever order, no drop is missing from the counts."""

from __future__ import annotations

from typing import Any
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecfd.agent import drops as module
from ipsecfd.agent.drops import DropRecord, Drops
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict

CAUSES = [
    Decision(Verdict.BLOCK, reason, rule=str(number))
    for number, reason in enumerate([Reason.FILTER] * 4 + [Reason.MALFORMED, Reason.NEGOTIATE])
]

adds = st.tuples(
    st.just("add"),
    st.sampled_from(CAUSES),
    st.sampled_from(Direction),
    st.integers(0, 3),
    st.binary(max_size=60)
    | st.integers(0, 255).map(lambda n: b"\x45" + bytes(8) + b"\x11\0\0" + bytes([n]) * 12),
    st.integers(1, 40),
)
steps = st.lists(
    adds
    | st.tuples(st.just("wait"), st.floats(-100, 100))
    | st.tuples(st.just("due"), st.floats(0, 1)),
    max_size=60,
)


@settings(max_examples=300, deadline=None)
@given(steps, st.integers(0, 7), st.sampled_from([0, 0.5, 60]))
def test_nothing_is_lost(todo: list[tuple[Any, ...]], level: int, interval: float) -> None:
    """Packets handed over and still held are those that the level asks for, always."""
    now = 1_000_000.0
    recordable = handed_over = 0
    with patch.multiple(module, BURST=20, RATE=5, GROUPS=6):
        drops = Drops(level, interval, lambda: now)
        for step in todo:
            match step:
                case ("add", cause, way, interface, data, times):
                    asked_for = level & (4 if way is Direction.OUT else 2)
                    failure = cause.reason in (Reason.MALFORMED, Reason.NEGOTIATE)
                    for _ in range(times):
                        drops.add(cause, way, interface, data)
                        recordable += bool(asked_for or (level & 1 and failure))
                case ("wait", seconds):
                    now += seconds
                case ("due", part_taken):
                    records = drops.due()
                    taken = int(len(records) * part_taken)
                    handed_over += packets(records[:taken])
                    drops.unsent(records[taken:])
        held = drops.drain()
    assert handed_over + packets(held) == recordable
    assert len(held) <= 20 + 2 * 6 + len(Reason) * len(Direction)
    assert all(one.packets >= 1 for one in held)


def packets(records: list[DropRecord]) -> int:
    """How many packets the records stand for."""
    return sum(one.packets for one in records)
