"""Jumps of the wall clock: noticed once each, and nothing else is taken for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipsecfd.agent.wall_clock import WallClock, words


class Clocks:
    """A wall clock and a steady one."""

    def __init__(self) -> None:
        self.wall, self.steady = 1_800_000_000.0, 500.0
        self.held_up: Iterator[float] = iter(())
        """How long whoever reads the steady clock is held up behind it, time after time."""
        self.watch = WallClock(self.read_steady, lambda: self.wall)

    def read_steady(self) -> float:
        now = self.steady
        self.pass_(next(self.held_up, 0.0))
        return now

    def pass_(self, seconds: float) -> None:
        """Time goes by."""
        self.wall += seconds
        self.steady += seconds


def test_each_jump_is_told_once() -> None:
    """Ahead and back, by as much as it was; whatever went by meanwhile."""
    clocks = Clocks()
    assert clocks.watch.jump() is None
    clocks.wall += 86_400
    clocks.pass_(1)
    assert clocks.watch.jump() == pytest.approx(86_400)
    clocks.pass_(1)
    assert clocks.watch.jump() is None
    clocks.wall -= 172_800
    assert clocks.watch.jump() == pytest.approx(-172_800)


def test_what_is_no_jump() -> None:
    """A clock that is corrected bit by bit, a host that slept, a service that was held up."""
    clocks = Clocks()
    for _ in range(10):
        clocks.wall += 0.5
        clocks.pass_(1)
        assert clocks.watch.jump() is None
    clocks.pass_(100_000)
    assert clocks.watch.jump() is None
    clocks.held_up = iter([60.0])
    assert clocks.watch.jump() is None
    assert clocks.watch.jump() is None


def test_words() -> None:
    """Which way, and what it means for the log."""
    assert words(86_400.2) == (
        "the wall clock was set 86,400 s ahead: earlier records are dated by another time"
    )
    assert "set 3 s back" in words(-3.4)
