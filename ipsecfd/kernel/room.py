"""Room in a queue: much for bursts, little where more packets come than can be judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STANDING: Final = 512
"""Packets that may wait in a flood. A longer queue loses as many in the end, and all others wait
for longer in it; and by their turn they have left the processor's cache, which makes judging slower
by a quarter."""


class Room:
    """How many packets may wait in a queue: `length` as a rule, which is room for a burst.

    A burst that filled the queue has been judged once as many packets were as there is room for.
    Where the kernel then goes on to drop packets for want of room, and none of those in between
    found the queue empty, more come than can be judged: from then on there is half the room, down
    to STANDING. There is twice the room again each time that nothing waits, for a sender may only
    have paused, and all of it when nothing comes for a while.

    `dropped` tells how many packets the kernel dropped so far, `make` asks it for other room; it
    may raise OSError, and is tried again later.
    """

    def __init__(
        self, length: int, dropped: Callable[[], int], make: Callable[[int], None]
    ) -> None:
        self._length = self._now = length
        self._dropped = dropped
        self._make = make
        self._judged = 0  # since the last look, or since the queue was empty
        self._before: int | None = None  # dropped by the last look, if the queue was as it is now

    def judged(self, packets: int) -> None:
        """Note that so many were judged, and others wait."""
        self._judged += packets
        if self._judged >= self._now > STANDING:
            self._look()

    def emptied(self) -> None:
        """Note that no packet waits."""
        self._judged = 0
        self._before = None
        if self._now != self._length:
            self._change(min(self._now * 2, self._length))

    def rested(self) -> None:
        """Note that nothing came for a while."""
        if self._now != self._length:
            self._change(self._length)

    def _look(self) -> None:
        self._judged = 0
        dropped, before = self._dropped(), self._before
        self._before = dropped
        if before is not None and dropped != before:
            self._change(max(self._now // 2, STANDING))

    def _change(self, room: int) -> None:
        try:
            self._make(room)
        except OSError:
            return
        self._now = room
        self._before = None  # what is dropped until the queue is as short says nothing
