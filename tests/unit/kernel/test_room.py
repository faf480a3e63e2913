"""Room in a queue, by a kernel that drops what finds none."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import chain, pairwise, repeat
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.kernel.room import STANDING, Room

LENGTH = 16_384
BATCH = 32


@dataclass
class Kernel:
    """A queue with a judge who takes a batch at a time, and what became of the packets."""

    length: int = LENGTH
    waiting: int = 0
    judged: int = 0
    dropped: int = 0
    lengths: list[int] = field(default_factory=list)
    longest: int = 0
    refuses: bool = False

    def __post_init__(self) -> None:
        self.room = Room(self.length, lambda: self.dropped, self.make)

    def make(self, room: int) -> None:
        if self.refuses:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))
        self.length = room
        self.lengths.append(room)

    def run(self, arrivals: Iterable[int]) -> Kernel:
        """So many packets arrive while each batch is judged."""
        for number in arrivals:
            taken = min(number, max(self.length - self.waiting, 0))
            self.waiting += taken
            self.dropped += number - taken
            self.longest = max(self.longest, self.waiting)
            batch = min(BATCH, self.waiting)
            self.waiting -= batch
            self.judged += batch
            if batch == BATCH:
                self.room.judged(BATCH)
            if batch and not self.waiting:  # nobody looks again before something comes
                self.room.emptied()
        return self


def load(share: float, batches: int) -> list[int]:
    """Arrivals that take a share of the judge's time."""
    sums = [int(BATCH * share * number) for number in range(batches + 1)]
    return [after - before for before, after in pairwise(sums)]


@pytest.mark.parametrize("share", [1.02, 1.3, 4.0])
def test_a_flood_stands_in_a_short_queue(share: float) -> None:
    """Whatever comes on top of what can be judged: few wait, and the judge is never idle."""
    kernel = Kernel().run(load(share, 100_000))
    assert (max(kernel.lengths), kernel.lengths[-1]) == (LENGTH * 3 // 4, STANDING)
    assert kernel.lengths == sorted(kernel.lengths, reverse=True)
    assert kernel.waiting <= STANDING
    assert kernel.judged == 100_000 * BATCH


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
@pytest.mark.parametrize("burst", [2000, LENGTH, 2 * LENGTH])
def test_a_burst_has_its_room(burst: int, share: float) -> None:
    """However busy the host is behind it: nothing is lost but what the queue could never hold."""
    kernel = Kernel().run(chain([burst], load(share, 100_000)))
    assert kernel.lengths == []
    assert kernel.dropped <= max(0, burst - LENGTH) + BATCH


def busy(share: float, batches: int, burst: int, mean: float) -> list[int]:
    """A steady load with bursts at random times on top, so that it is `mean` on the whole."""
    chance = (mean - share) * BATCH / burst
    random = Random(1)
    return [one + (burst if random.random() < chance else 0) for one in load(share, batches)]


@pytest.mark.parametrize(
    "arrivals",
    [
        [LENGTH, *load(0.98, 560), 600, *load(0.98, 4000)],
        busy(0.9, 60_000, 4000, 0.985),
        busy(0.8, 60_000, 8000, 0.92),
    ],
)
def test_bursts_that_do_not_fit_are_no_flood(arrivals: list[int]) -> None:
    """Packets are lost once in a while, and no more than by a queue that is always as long."""
    kernel, fixed = Kernel(), Kernel(refuses=True)
    assert kernel.run(arrivals).dropped == fixed.run(arrivals).dropped > 0
    assert kernel.lengths == []


def test_what_cannot_be_told_is_no_loss() -> None:
    """The kernel's table may be unreadable for once, or for ever; then the queue stays as it is."""
    kernel = Kernel()
    known = iter([None, 5000, None, 5000, 9000, None, 13_000, 17_000, None] + [None] * 100)
    kernel.room = Room(LENGTH, lambda: next(known), kernel.make)
    kernel.run(load(4, 60 * LENGTH // BATCH))
    assert kernel.lengths == []


def test_the_kernel_counts_modulo_two_to_the_32nd() -> None:
    """A flood is one also while the number of lost packets begins again."""
    kernel = Kernel(dropped=2**32 - 3 * LENGTH)
    kernel.room = Room(LENGTH, lambda: kernel.dropped % 2**32, kernel.make)
    kernel.run(load(4, 4 * LENGTH // BATCH))
    assert kernel.lengths == [LENGTH * 3 // 4]


def test_bursts_in_a_row() -> None:
    """More than can be judged for a while, less for another: a queue is for that."""
    turns = (load(1.3, 1000) + load(0.5, 1000)) * 20
    kernel = Kernel().run(turns)
    assert (kernel.lengths, kernel.dropped) == ([], 0)


def test_after_a_flood_there_is_room_again() -> None:
    """All of it, once nothing comes for a while, or a few times nothing waits."""
    flood = load(4, 10_000) + [0] * 20
    kernel = Kernel().run(flood)
    kernel.room.rested()
    assert kernel.length == LENGTH
    kernel.run([*flood, *[1] * 4])
    assert kernel.length == LENGTH
    kernel.dropped = 0
    assert kernel.run([LENGTH, *repeat(0, LENGTH // BATCH)]).dropped == 0


def test_a_flood_that_pauses_is_one() -> None:
    """The sender of one is short of time, too: most wait behind far fewer packets than a burst is
    granted."""
    waits = []
    kernel = Kernel()
    for _ in range(200):
        for _ in range(30):
            kernel.run(load(2, 10))
            waits.append(kernel.waiting)
        kernel.run([0] * 70)
    assert sorted(waits)[len(waits) * 9 // 10] <= LENGTH // 3


def test_what_the_kernel_refuses_is_tried_again() -> None:
    """It may have no memory for a message; nothing else comes of it."""
    kernel = Kernel(refuses=True)
    kernel.run(load(4, 10_000))
    assert (kernel.length, kernel.lengths) == (LENGTH, [])
    kernel.refuses = False
    kernel.run(load(4, 10_000))
    assert kernel.length == STANDING
    kernel.refuses = True
    kernel.run([0] * 100)
    kernel.room.rested()
    assert kernel.length == STANDING
    kernel.refuses = False
    kernel.room.rested()
    assert kernel.length == LENGTH


@pytest.mark.parametrize("length", [32, STANDING])
def test_a_queue_that_was_short_stays_as_it_is(length: int) -> None:
    """By configuration."""
    assert Kernel(length).run(load(4, 10_000) + [0] * 100).lengths == []


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 2000)), max_size=20))
def test_there_is_never_too_little_nor_too_much(turns: list[tuple[float, int]]) -> None:
    """Whatever comes, and what is left of it after a rest."""
    kernel = Kernel()
    for share, batches in turns:
        kernel.run(load(share, batches))
        assert STANDING <= kernel.length <= LENGTH
        assert kernel.longest <= LENGTH
    kernel.room.rested()
    assert kernel.length == LENGTH
