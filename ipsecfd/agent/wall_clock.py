"""Jumps of the wall clock, by which the log's records are dated."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

JUMP_SECONDS: Final = 3.0
"""Less is no jump: a clock that is corrected bit by bit."""
_LOOK_SECONDS: Final = 1.0


class WallClock:
    """Compares the wall clock with one that nobody sets. `wall` gives seconds since 1970, `steady`
    seconds that only grow, time spent suspended included."""

    def __init__(self, steady: Callable[[], float], wall: Callable[[], float] = time.time) -> None:
        self._steady = steady
        self._wall = wall
        self._ahead = self._look()

    def jump(self) -> float | None:
        """By how many seconds it was set ahead, or back, since the last call; None if it was not.

        Call it every second or so.
        """
        before, ahead = self._ahead, self._look()
        if ahead is not None:
            self._ahead = ahead
        if ahead is None or before is None or abs(ahead - before) < JUMP_SECONDS:
            return None
        return ahead - before

    def _look(self) -> float | None:
        """By how much it is ahead of the other; None where something came in between."""
        begin = self._steady()
        wall = self._wall()
        return wall - begin if self._steady() - begin < _LOOK_SECONDS else None


def words(jump: float) -> str:
    """A jump as an event says it."""
    return (
        f"the wall clock was set {abs(jump):,.0f} s {'ahead' if jump > 0 else 'back'}:"
        " earlier records are dated by another time"
    )
