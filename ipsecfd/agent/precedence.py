"""How soon a packet process is run: before every ordinary process, while it leaves them time.

Each packet that is queued waits for its process to be run. As an ordinary one, whatever its nice
value, it may have to wait for others' slices, milliseconds each, on a host that has much to do. As
a real-time process it need not; but in a flood it would keep a processor from everybody else, so
while packets never stop waiting for it, it is an ordinary one again.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

WINDOW: Final = 0.5
"""Seconds over which a process is watched."""
_LEISURE = 0.2  # of its time, that a process must not want to run to go before all others
_SCHEDSTAT = Path("/proc/self/schedstat")


def wanted() -> int:
    """Nanoseconds that this process ran, or waited for a processor; raises OSError where the
    kernel does not tell."""
    ran, waited, _ = map(int, _SCHEDSTAT.read_text().split())
    if not ran:  # a kernel that keeps no such accounts fills in zeros
        raise OSError(f"{_SCHEDSTAT}: nothing is counted")
    return ran + waited


def go_first(first: bool) -> None:
    """Have this process run before all ordinary ones from now on, or as one of them.

    Raises PermissionError where that takes a privilege: `LimitRTPRIO=` of the unit grants it.
    """
    if first:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    else:
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))


class Precedence:
    """Whether this process goes first, from `now` on, in seconds of a clock that never jumps.

    Where the kernel or its administrator does not let it, or nobody could tell a flood, it is an
    ordinary process.
    """

    def __init__(
        self,
        now: float,
        wanted: Callable[[], int] = wanted,
        go_first: Callable[[bool], None] = go_first,
    ) -> None:
        self._wanted = wanted
        self._go_first = go_first
        self._since = now
        self._before = 0
        self._idle = 0.0
        self._first = False
        with contextlib.suppress(OSError):
            self._before = wanted()
            self._change(True)

    def idled(self, seconds: float) -> None:
        """The process asked for something to do for so long."""
        self._idle += seconds

    def look(self, now: float) -> None:
        """Go first or not, by how much of the time since the last look it did not want to run.

        The kernel's account may leave out interrupts and stolen time; so whatever it says, time in
        which the process did not even ask for something to do is time that it wanted.
        """
        elapsed = now - self._since
        if elapsed < WINDOW:
            return
        idle = self._idle
        self._since, self._idle = now, 0.0
        try:
            total = self._wanted()
        except OSError:
            self._change(False)
            return
        busy = max((total - self._before) / 1e9, elapsed - idle)
        self._before = total
        self._change(busy < (1 - _LEISURE) * elapsed)

    def _change(self, first: bool) -> None:
        if first is not self._first:
            with contextlib.suppress(PermissionError):
                self._go_first(first)
                self._first = first
