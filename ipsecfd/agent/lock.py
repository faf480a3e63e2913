"""One agent for each control socket: a lock that ends with its process."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from ipsecfd.errors import IpsecfdError


class LockError(IpsecfdError):
    """Another agent runs, or the lock cannot be had; the text says which."""


@contextlib.contextmanager
def only_instance(socket: Path) -> Iterator[None]:
    """Hold the lock beside a control socket; raises LockError when another process does.

    The file stays behind: removing it would let two processes lock two files of one name.
    """
    path = socket.with_name(f"{socket.name}.lock")
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise LockError(
            f"{path}: the lock cannot be made: {error.strerror}; run as root, or set `socket` in"
            " [control] to a path that ipsecfd may write to"
        ) from error
    try:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(file, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise LockError(
                f"already running (pid {owner}, lock {path}): stop it first, or give"
                " this one a `socket` of its own in [control]"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(file)
