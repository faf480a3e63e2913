"""Which processor a packet process runs on: where its packets come in, while they are few.

The kernel leaves a real-time process on the processor that it last ran on, and mostly an ordinary
one, too, while there is little to do. Where packets come in on another processor each of them waits
until that one is woken up, which takes longer than judging it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Callable, Mapping, Set
from pathlib import Path
from typing import Final

SOON: Final = 0.1
"""Seconds from a move, or too few packets, to the next look at where they come in."""
LATEST: Final = 1.0
"""Seconds between two looks while moving changes nothing."""
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


class Processors:
    """Those that this process may run on."""

    def __init__(self) -> None:
        self._left: Set[int] = frozenset()

    def here(self) -> int:
        """The number of the one that it runs on."""
        return int(_c.sched_getcpu())

    def move(self, to: int, present: Set[int]) -> None:
        """Run on this one, until the kernel has a reason to run the process elsewhere.

        Nothing is done where somebody has confined the process to some of those present: by
        `taskset`, `CPUAffinity=`, a cpuset or `isolcpus=`.
        """
        with contextlib.suppress(OSError):  # the kernel, or a filter of system calls, refuses
            if os.sched_getaffinity(0) not in (present, self._left):
                return
            try:
                os.sched_setaffinity(0, {to})
            finally:
                # Not those that were allowed before: one that is switched on later is not in there.
                os.sched_setaffinity(0, _ALL)
                self._left = os.sched_getaffinity(0)


class Placement:
    """Where this process runs, from `now` on, in seconds of a clock that never jumps."""

    def __init__(
        self,
        now: float,
        processors: Processors,
        received: Callable[[], Mapping[int, int]] = received,
    ) -> None:
        self._processors = processors
        self._received = received
        self._before = received()
        self._judged = 0
        self._since = now
        self._pause = SOON
        self._next = now + SOON if len(self._before) > 1 else float("inf")
        self._moved = False

    def look(self, now: float, judged: int) -> None:
        """Move to where packets came in since the last look, if they were few.

        `judged` counts the packets of this process, modulo 2^32.
        """
        if now < self._next:
            return
        self._next = now + SOON
        counts = self._received()
        new = {
            one: (count - self._before.get(one, count)) % _WRAP  # it may have been switched on
            for one, count in counts.items()
        }
        total = sum(new.values())
        if total < ENOUGH:
            return
        ours, elapsed = (judged - self._judged) % _WRAP, now - self._since
        self._before, self._judged, self._since = counts, judged, now
        to = None
        if ours >= _OURS * total and total <= FEW * elapsed:
            new.pop(self._processors.here(), None)
            busiest = max(new, key=new.__getitem__, default=None)
            if busiest is not None and new[busiest] >= _ALMOST_HALF * total:
                to = busiest
        if to is not None:
            self._processors.move(to, counts.keys())
        # Where packets come in on several, moving does not help; so it becomes rare.
        fresh = to is not None and not self._moved
        self._pause = SOON if fresh else min(2 * self._pause, LATEST)
        self._moved = to is not None
        self._next = now + self._pause
