"""A packet process runs where its packets come in, while they are few."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Set
from pathlib import Path

import pytest

from ipsecfd.agent import placement
from ipsecfd.agent.placement import ENOUGH, FEW, PAUSE, SOON, Placement, move, processor, received

WRAP = 1 << 32


class Host:
    """Processors that tell how much each took in, and a process that is moved at once."""

    def __init__(self, *counts: int, judged: int = 0) -> None:
        self.counts = dict(enumerate(counts))
        self.judged = judged
        self.at = 0
        self.moves: list[int] = []
        self.looks = -1  # the first is where it starts
        self.placement = Placement(0, self.received, lambda: self.at, self.move)

    def received(self) -> Mapping[int, int]:
        self.looks += 1
        return {one: count % WRAP for one, count in self.counts.items()}

    def move(self, to: int, present: Set[int]) -> None:
        assert present == self.counts.keys()
        self.at = to
        self.moves.append(to)

    def come(self, *counts: int, judged: int | None = None) -> None:
        """So many packets at each processor; all are judged, or so many."""
        for one, count in enumerate(counts):
            self.counts[one] = self.counts.get(one, 0) + count
        self.judged += sum(counts) if judged is None else judged

    def look(self, now: float) -> None:
        self.placement.look(now, self.judged % WRAP)


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
        ((0, int(FEW * SOON)), [1]),
        ((0, int(FEW * SOON) + 1), []),  # a processor that has enough to do
    ],
)
@pytest.mark.parametrize("start", [0, WRAP - 5])
def test_where_packets_come_in(came: tuple[int, ...], moves: list[int], start: int) -> None:
    """It moves to a processor that takes in a large share, also while the counts begin anew."""
    host = Host(*(start for _ in came))
    host.come(*came)
    host.look(SOON)
    assert host.moves == moves


@pytest.mark.parametrize(
    ("judged", "moves"), [(0, []), (24, []), (25, [1]), (100, [1]), (200, [1])]
)
@pytest.mark.parametrize("start", [0, WRAP - 5])
def test_packets_of_others(judged: int, moves: list[int], start: int) -> None:
    """Where others send each other something is no place for the process."""
    host = Host(0, 0)
    host.come(0, judged=start)
    host.come(50, 0)
    host.look(SOON)
    host.come(0, 100, judged=judged)
    host.look(2)
    assert host.moves == moves


def test_it_follows() -> None:
    """By the packets since it last looked; not before, and it stays where all of them come in."""
    host = Host(1000, 0)
    host.come(0, 50)
    host.look(SOON / 2)
    assert host.moves == []
    host.look(SOON)
    for second in range(2, 5):
        host.come(0, 50)
        host.look(second)
    assert host.moves == [1]
    host.come(50, 0)
    host.look(5)
    assert host.moves == [1, 0]


def test_packets_at_several_processors() -> None:
    """Where moving does not help it is rare, and so is looking where all is well."""
    most = 10 / PAUSE
    for counts, moves in (((50, 50), most), ((100, 0), 0)):
        host = Host(0, 0)
        for tick in range(1, 201):  # ten seconds
            host.come(*counts)
            host.look(tick * 0.05)
        assert len(host.moves) <= moves
        assert most / 2 <= host.looks <= most


def test_rare_packets_add_up() -> None:
    """One a second tells after a few seconds."""
    host = Host(0, 0)
    for second in range(ENOUGH):
        assert host.moves == []
        host.come(0, 1)
        host.look(1 + second)
    assert host.moves == [1]


def test_a_processor_is_switched_on_and_off() -> None:
    """Nothing but what is counted since the last look matters; one that is off counts nothing."""
    host = Host(1000, 1000)
    del host.counts[1]
    host.come(100)
    host.look(1)
    host.counts[1] = 1100
    host.come(20)
    host.look(3)
    assert host.moves == []
    host.come(0, 100)
    host.look(5)
    assert host.moves == [1]


@pytest.mark.parametrize("counts", [(), (5,)])
def test_nowhere_to_go(counts: tuple[int, ...]) -> None:
    """On a host with one processor, or a kernel that does not number them, nobody looks again."""
    host = Host(*counts)
    host.come(*(1000 for _ in counts))
    host.look(100 * PAUSE)
    assert (host.looks, host.moves) == (0, [])


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
    """Numbers are hexadecimal."""
    path = tmp_path / "softnet_stat"
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(placement, "_SOFTNET", path)
    assert received() == found


class Kernel:
    """Affinity as Linux keeps it: a wish, of which counts what is on and the cpuset allows."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *present: int) -> None:
        self.present = {*present}
        self.wish = {*present}
        self.ran: list[set[int]] = []
        self.refuses: list[set[int]] = []
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: self.wish & self.present)
        monkeypatch.setattr(os, "sched_setaffinity", self.set)

    def set(self, process: int, processors: Iterable[int]) -> None:
        assert process == 0
        wanted = {*processors}
        if not wanted & self.present or wanted in self.refuses:
            raise OSError(errno.EINVAL, "Invalid argument")
        self.wish = wanted
        self.ran.append(wanted & self.present)


def test_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """It runs there, and may run everywhere again, also where a processor is switched on later."""
    kernel = Kernel(monkeypatch, 0, 1)
    move(1, kernel.present)
    assert kernel.ran == [{1}, {0, 1}]
    kernel.present = {0, 1, 2}
    assert os.sched_getaffinity(0) == {0, 1, 2}
    move(2, kernel.present)
    assert kernel.ran[2:] == [{2}, {0, 1, 2}]


def test_a_confined_process_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who says on which processors it runs is right, from the start or later."""
    kernel = Kernel(monkeypatch, 0, 1, 2)
    kernel.wish = {0, 1}
    move(1, kernel.present)
    kernel.wish = {0, 1, 2}
    move(1, kernel.present)
    kernel.wish = {2}
    move(1, kernel.present)
    assert kernel.ran == [{1}, {0, 1, 2}]
    assert kernel.wish == {2}


def test_a_move_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """To a processor that was just switched off: it may run wherever it might before."""
    kernel = Kernel(monkeypatch, 0, 1)
    kernel.refuses = [{1}]
    move(1, kernel.present)
    assert os.sched_getaffinity(0) == {0, 1}
    kernel.refuses = []
    move(1, kernel.present)
    assert kernel.ran[-2:] == [{1}, {0, 1}]


def test_affinity_where_all_of_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's filter of system calls ends nothing."""

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "sched_getaffinity", refuse)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    move(1, {0, 1})


def test_here() -> None:
    """The kernel tells of the processor that a process runs on."""
    allowed = os.sched_getaffinity(0)
    try:
        for one in allowed:
            os.sched_setaffinity(0, {one})
            assert processor() == one
    finally:
        os.sched_setaffinity(0, allowed)
