"""Which processor a packet process runs on: the one that packets come in on, while they are few.

The kernel leaves a real-time process on the processor that it last ran on. Where packets come in on
another, each of them waits until that one is woken up, which takes longer than judging it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

WINDOW: Final = 0.1
"""Seconds, at least, between two looks at where packets come in."""
ENOUGH: Final = 10
"""Packets that have to come in before anything can be told from where."""
FEW: Final = 10_000
"""Packets a second. A processor that takes in more leaves little time to whoever judges them."""
_SHARE = 0.4
"""Of all packets. Of a request that comes in elsewhere and its answer, that one counts here."""
_SOFTNET = Path("/proc/self/net/softnet_stat")
_PROCESSOR = 12  # the column with its number; a processor that is switched off has no line
_WRAP = 1 << 32
_c = ctypes.CDLL(None)


def received() -> Mapping[int, int]:
    """How many packets each processor took in, modulo 2^32, by its number.

    Empty where the kernel does not tell, or, an old one, not of which processor.
    """
    try:
        lines = _SOFTNET.read_text().splitlines()
    except OSError:
        return {}
    rows = (line.split() for line in lines)
    return {int(row[_PROCESSOR], 16): int(row[0], 16) for row in rows if len(row) > _PROCESSOR}


def processor() -> int:
    """The number of the one that this process runs on."""
    return int(_c.sched_getcpu())


def move(to: int) -> None:
    """Run on this processor, if that is allowed, and stay there as long as the kernel wants."""
    allowed = os.sched_getaffinity(0)
    if to in allowed:
        with contextlib.suppress(OSError):  # it was just switched off
            os.sched_setaffinity(0, {to})
            os.sched_setaffinity(0, allowed)


class Placement:
    """Where this process runs, from `now` on, in seconds of a clock that never jumps."""

    def __init__(
        self,
        now: float,
        received: Callable[[], Mapping[int, int]] = received,
        processor: Callable[[], int] = processor,
        move: Callable[[int], None] = move,
    ) -> None:
        self._received = received
        self._processor = processor
        self._move = move
        self._since = now
        self._before = received()

    def look(self, now: float) -> None:
        """Move to where the packets came in since the last look, if they were few."""
        elapsed = now - self._since
        if elapsed < WINDOW:
            return
        counts = self._received()
        new = {
            one: (count - self._before.get(one, count)) % _WRAP  # it may have been switched on
            for one, count in counts.items()
        }
        total = sum(new.values())
        if total < ENOUGH:
            return
        self._since, self._before = now, counts
        if total <= FEW * elapsed:
            new.pop(self._processor(), None)
            busiest = max(new, key=new.__getitem__, default=None)
            if busiest is not None and new[busiest] >= _SHARE * total:
                self._move(busiest)
