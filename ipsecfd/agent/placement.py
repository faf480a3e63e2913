"""Which processor a packet process runs on: where its packets come in, while they are few.

The kernel leaves a real-time process on the processor that it last ran on, and mostly an ordinary
one, too, while there is little to do. Where packets come in on another processor each of them waits
until that one is woken up, which takes longer than judging it.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Final

PAUSE: Final = 0.25
"""Seconds between two looks: where packets come in on several processors, moving does not help."""
SOON: Final = 0.1
"""Seconds to the next look while there are too few packets."""
ENOUGH: Final = 10
"""Packets that have to come in before anything can be told from where."""
FEW: Final = 10_000
"""Packets a second. A processor that takes in more leaves little time to whoever judges them."""

_ALMOST_HALF = 0.4  # of a request that comes in elsewhere and its answer, this one may count here
_OURS = 0.25  # of what the host takes in: what others send each other is no reason to move
_SOFTNET = Path("/proc/self/net/softnet_stat")
_PROCESSOR = 12  # the column with its number; a processor that is switched off has no line
_WRAP = 1 << 32
_ALL = range(1 << 13)  # more than any kernel has; it takes those that there are
_c = ctypes.CDLL(None)


def received() -> Mapping[int, int]:
    """How many packets each processor took in, by its number: of all devices, modulo 2^32.

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


def move(to: int, present: Set[int]) -> None:
    """Run on this processor, until the kernel has a reason to run the process elsewhere.

    Nothing is done where somebody has confined the process to some of those present: by `taskset`,
    `CPUAffinity=`, a cpuset or `isolcpus=`.
    """
    with contextlib.suppress(OSError):  # the kernel, or a filter of system calls, refuses
        if os.sched_getaffinity(0) == present:
            try:
                os.sched_setaffinity(0, {to})
            finally:
                # Not those present now: one that is switched on later would not be allowed.
                os.sched_setaffinity(0, _ALL)


class Placement:
    """Where this process runs, from `now` on, in seconds of a clock that never jumps."""

    def __init__(
        self,
        now: float,
        received: Callable[[], Mapping[int, int]] = received,
        processor: Callable[[], int] = processor,
        move: Callable[[int, Set[int]], None] = move,
    ) -> None:
        self._received = received
        self._processor = processor
        self._move = move
        self._since = now
        self._before = received()
        self._judged = 0
        self._next = now + SOON if len(self._before) > 1 else math.inf

    def look(self, now: float, judged: int) -> None:
        """Move to where packets came in since the last look, if they were few.

        `judged` counts the packets of this process, modulo 2^32.
        """
        if now < self._next:
            return
        counts = self._received()
        new = {
            one: (count - self._before.get(one, count)) % _WRAP  # it may have been switched on
            for one, count in counts.items()
        }
        total = sum(new.values())
        if total < ENOUGH:
            self._next = now + SOON
            return
        ours, elapsed = (judged - self._judged) % _WRAP, now - self._since
        self._before, self._judged, self._since = counts, judged, now
        self._next = now + PAUSE
        if ours >= _OURS * total and total <= FEW * elapsed:
            new.pop(self._processor(), None)
            busiest = max(new, key=new.__getitem__, default=None)
            if busiest is not None and new[busiest] >= _ALMOST_HALF * total:
                self._move(busiest, counts.keys())
