"""A packet process runs where packets come in, while they are few."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from ipsecfd.agent import placement
from ipsecfd.agent.placement import ENOUGH, FEW, WINDOW, Placement

WRAP = 1 << 32


class Processors:
    """Processors that tell how much each took in, and a process that is moved at once."""

    def __init__(self, *counts: int, here: int = 0) -> None:
        self.counts = dict(enumerate(counts))
        self.here = here
        self.moves: list[int] = []

    def received(self) -> Mapping[int, int]:
        return {one: count % WRAP for one, count in self.counts.items()}

    def come(self, *counts: int) -> None:
        for one, count in enumerate(counts):
            self.counts[one] = self.counts.get(one, 0) + count

    def move(self, to: int) -> None:
        self.here = to
        self.moves.append(to)

    def placement(self, now: float) -> Placement:
        return Placement(now, self.received, lambda: self.here, self.move)


@pytest.mark.parametrize(
    ("came", "moves"),
    [
        ((100, 0), []),  # it is there
        ((0, 100), [1]),
        ((50, 50), [1]),  # requests there, its answers here
        ((52, 48), [1]),
        ((90, 10), []),
        ((10, 0, 90), [2]),
        ((30, 25, 45), [2]),
        ((0, 34, 33, 33), []),  # from everywhere: no place is better than others
        ((0, ENOUGH - 1), []),  # too few to tell
        ((0, ENOUGH), [1]),
        ((0, int(FEW * WINDOW)), [1]),
        ((0, int(FEW * WINDOW) + 1), []),  # a processor that has enough to do
        ((), []),
    ],
)
@pytest.mark.parametrize("start", [0, WRAP - 5])
def test_where_packets_come_in(came: tuple[int, ...], moves: list[int], start: int) -> None:
    """It moves to a processor that takes in a large share, also while the counts begin anew."""
    processors = Processors(*(start for _ in came))
    place = processors.placement(0)
    processors.come(*came)
    place.look(WINDOW)
    assert processors.moves == moves


def test_the_last_packets_count() -> None:
    """It looks once in a while, follows, and stays where both requests and answers are counted."""
    processors = Processors(1000, 0)
    place = processors.placement(0)
    processors.come(0, 50)
    place.look(WINDOW / 2)
    assert processors.moves == []
    place.look(WINDOW)
    for second in range(1, 5):
        processors.come(0, 50)
        place.look(second)
    assert processors.moves == [1]
    processors.come(25, 25)
    place.look(5)
    assert processors.moves == [1, 0]


def test_rare_packets_add_up() -> None:
    """One a second tells after a few seconds."""
    processors = Processors(0, 0)
    place = processors.placement(100)
    for second in range(ENOUGH):
        assert processors.moves == []
        processors.come(0, 1)
        place.look(101 + second)
    assert processors.moves == [1]


def test_a_processor_is_switched_on_and_off() -> None:
    """Nothing but what is counted since the last look matters; one that is off counts nothing."""
    processors = Processors(1000, 1000)
    place = processors.placement(100)
    del processors.counts[1]
    processors.come(100)
    place.look(101)
    assert processors.moves == []
    processors.counts[1] = 1100
    processors.come(20)
    place.look(102)
    assert processors.moves == []
    processors.come(0, 100)
    place.look(103)
    assert processors.moves == [1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "0000000a 0 0 0 0 0 0 0 0 0 0 0 00000000 0\nffffffff 0 0 0 0 0 0 0 0 0 0 0 0000000c\n",
            {0: 10, 12: 0xFFFFFFFF},
        ),
        ("0000000a 00000000 0 0 0 0 0 0 0 0 0\n", {}),  # old kernels number no lines
        ("", {}),
        (None, {}),
    ],
)
def test_what_the_kernel_tells(
    text: str | None, found: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers are hexadecimal; where there are none, nobody moves."""
    path = tmp_path / "softnet_stat"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(placement, "_SOFTNET", path)
    assert placement.received() == found


def test_this_kernel_tells_of_all_processors() -> None:
    """A line for each that is on."""
    online = Path("/sys/devices/system/cpu/online").read_text()
    numbers = {
        one
        for first, last in re.findall(r"(\d+)(?:-(\d+))?", online)
        for one in range(int(first), int(last or first) + 1)
    }
    assert set(placement.received()) == numbers


def test_moving() -> None:
    """The process is there then, and as free as before; where it may not run, it does not go."""
    child = os.fork()
    if not child:
        allowed = os.sched_getaffinity(0)
        right = True
        for one in allowed:
            placement.move(one)
            right &= os.sched_getaffinity(0) == allowed
        first, *others = sorted(allowed)
        os.sched_setaffinity(0, {first})
        for other in (*others, 10_000):
            placement.move(other)
            right &= os.sched_getaffinity(0) == {first} and placement.processor() == first
        os._exit(0 if right else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
