"""Whether rules of ours are to be expected in the kernel: a file beside them that lasts as long.

Whoever puts rules there leaves it, and whoever takes them away for good removes it. It ends with
the boot, as they do. `systemd/ipsecfd-boot` knows it by its name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from ipsecfd.kernel.network_file import RUN, NetworkFile


class Left(NamedTuple):
    """What a run left behind that put rules into the kernel and did not take them away."""

    pid: int
    """Of that run, where it did not end in order; else 0."""


class Expected:
    """The file, for the network that this process is in."""

    def __init__(self, directory: Path = RUN) -> None:
        self._file = NetworkFile("rules", directory)

    def left(self) -> Left | None:
        """What an earlier run left; None where no rules are to be expected."""
        pid = self._file.read()
        if pid is None:
            return None
        return Left(int(pid) if pid.isdigit() else 0)

    def running(self) -> None:
        """Rules are there, and this process looks after them."""
        self._file.write(b"%d" % os.getpid())

    def ended(self) -> None:
        """Rules are there, and this process ends in order."""
        self._file.write(b"")

    def forget(self) -> None:
        """The rules are taken away for good."""
        self._file.forget()
