"""Whether rules of ours are to be expected in the kernel: a file beside them that lasts as long.

Whoever puts rules there leaves it, and whoever takes them away for good removes it. It ends with
the boot, as they do. `systemd/ipsecfd-boot` knows it by its name.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final, NamedTuple

RUN: Final = Path("/run/ipsecfd")
_NETWORK: Final = Path("/proc/self/ns/net")


def of_this_network(name: str, directory: Path) -> Path:
    """A file about the network that this process is in, in a directory for files of all."""
    return directory / f"{name}-{_NETWORK.stat().st_ino}"


class Left(NamedTuple):
    """What a run left behind that put rules into the kernel and did not take them away."""

    pid: int
    """Of that run, where it did not end in order; else 0."""


class Expected:
    """The file, for the network that this process is in. Where it cannot be written there is none:
    nothing but the knowledge of it depends on it."""

    def __init__(self, directory: Path = RUN) -> None:
        self._path = of_this_network("rules", directory)

    def left(self) -> Left | None:
        """What an earlier run left; None where no rules are to be expected."""
        try:
            text = self._path.read_text("ascii", "replace")
        except OSError:
            return None
        return Left(int(text) if text.strip().isdecimal() else 0)

    def running(self) -> None:
        """Rules are there, and this process looks after them."""
        self._write(f"{os.getpid()}\n")

    def ended(self) -> None:
        """Rules are there, and this process ends in order."""
        self._write("")

    def forget(self) -> None:
        """The rules are taken away for good."""
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._path.write_text(text)
