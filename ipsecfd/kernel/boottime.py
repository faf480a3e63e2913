"""Time that no clock setting moves: which boot of the host this is, and the seconds since then."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final, NamedTuple

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class BootTime(NamedTuple):
    """A moment of one boot."""

    boot: str
    """Another text for every boot."""
    seconds: float
    """Since that boot, time spent suspended included."""


def boottime() -> BootTime:
    """Now. A host without /proc counts as always the same boot."""
    try:
        boot = _BOOT_ID.read_text().strip()
    except OSError:
        boot = ""
    return BootTime(boot, time.clock_gettime(time.CLOCK_BOOTTIME))
