"""Files about the network namespace of a process: they outlive the process, not the boot."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path
from typing import Final

RUN: Final = Path("/run/ipsecfd")
_NETWORK: Final = Path("/proc/self/ns/net")
_SO_NETNS_COOKIE: Final = 71


class NetworkFile:
    """One of them. Where it cannot be written there is none: nothing but the knowledge of it may
    depend on it.

    Its name has the number of the namespace, which a shell can find out as well. When a namespace
    ends, the next one may get that number; so the first line is what no other of this boot has.
    """

    def __init__(self, name: str, directory: Path) -> None:
        self._path = directory / f"{name}-{_NETWORK.stat().st_ino}"

    def read(self) -> bytes | None:
        """What was written for this very network, or nothing if that is damaged; None if there is
        no file, or another network's."""
        try:
            cookie, _, data = self._path.read_bytes().partition(b"\n")
        except OSError:
            return None
        if not cookie.isdigit():
            return b""
        return data if cookie == _cookie() else None

    def write(self, data: bytes) -> None:
        """Have it hold this."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            new = self._path.with_name(f"{self._path.name}.new")
            new.write_bytes(_cookie() + b"\n" + data)
            new.replace(self._path)

    def forget(self) -> None:
        """Have none."""
        with contextlib.suppress(OSError):
            self._path.unlink()


def _cookie() -> bytes:
    with socket.socket(socket.AF_UNIX) as one:
        try:
            found = one.getsockopt(socket.SOL_SOCKET, _SO_NETNS_COOKIE, 8)
        except OSError:  # before Linux 5.14
            return b"0"
    return b"%d" % int.from_bytes(found, sys.byteorder)
