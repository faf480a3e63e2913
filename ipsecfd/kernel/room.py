"""Room in a queue: much for bursts, little where more packets come than can be judged."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

STANDING: Final = 512
"""Packets that may wait in a flood that does not end. A longer queue loses no fewer then, and all
others wait for longer in it; and by their turn they have left the processor's cache, which makes
judging slower by a quarter."""

_LOSING: Final = 64  # one packet lost for so many judged is more than a burst that came too soon
_STEP: Final = 4  # what is taken away of the room: nothing else finds any until it is judged


class Room:
    """How many packets may wait in a queue: `length` as a rule, which is room for a burst.

    A burst that filled the queue has been judged once as many packets were as there is room for.
    Where the kernel goes on to drop packets for want of room, while twice as many more are judged
    and the queue is never empty, more come than can be judged: some of the room is taken away, down
    to STANDING. There is twice the room again each time that nothing waits, for a sender may only
    have paused, and all of it when nothing comes for a while.

    `dropped` tells how many packets the kernel dropped so far, modulo 2^32, or None where that
    cannot be told; `make` asks it for other room; it may raise OSError, and is tried again later.
    """

    def __init__(
        self, length: int, dropped: Callable[[], int | None], make: Callable[[int], None]
    ) -> None:
        self._length = self._now = length
        self._dropped = dropped
        self._make = make
        self._judged = 0  # since the last look, or since the queue was empty
        self._before: int | None = None  # dropped by the last look, if the queue was as it is now
        self._losing = 0  # looks in a row at which packets had been lost

    def judged(self, packets: int) -> None:
        """Note that so many were judged, and others wait."""
        self._judged += packets
        if self._judged >= self._now > STANDING:
            self._look()

    def emptied(self) -> None:
        """Note that no packet waits."""
        self._begin()
        if self._now != self._length:
            self._change(min(self._now * 2, self._length))

    def rested(self) -> None:
        """Note that nothing came for a while."""
        if self._now != self._length:
            self._change(self._length)

    def _begin(self) -> None:
        """Forget what was seen: what is dropped until the queue is as short says nothing."""
        self._judged = self._losing = 0
        self._before = None

    def _look(self) -> None:
        self._judged = 0
        dropped, before = self._dropped(), self._before
        self._before = dropped
        lost = 0 if dropped is None or before is None else (dropped - before) % 2**32
        self._losing = self._losing + 1 if lost >= self._now // _LOSING else 0
        if self._losing == 2:
            self._change(max(self._now - self._now // _STEP, STANDING))

    def _change(self, room: int) -> None:
        self._begin()
        try:
            self._make(room)
        except OSError:
            return
        self._now = room
