"""Files written whole or not at all, whenever the power goes, and locks between processes.

Nothing here is for others to read: files are 0600, directories 0700.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

LOCK_PATIENCE: Final = 10.0
"""Seconds to wait for a lock: a change takes milliseconds, so longer is somebody who hangs."""
_LOCK_POLL: Final = 0.02


class LockedError(OSError):
    """Another process keeps the lock."""


def write(path: Path, data: bytes) -> None:
    """Put these bytes in the file's place; after any failure it holds the old ones or the new.

    Writers of one file must exclude each other. Raises OSError.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)  # left by a crash, perhaps with other permissions
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(descriptor, left) :]
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        new.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def keep(path: Path, data: bytes) -> None:
    """As `write`, in a directory that is made when it is missing. Raises OSError."""
    make_directory(path.parent)
    write(path, data)


def touch(path: Path) -> None:
    """Make an empty file that is still there after a power loss. Raises OSError."""
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    sync_directory(path.parent)


def make_directory(path: Path) -> None:
    """Make a directory, and those above it, that is still there after a power loss."""
    if path.is_dir():
        return
    if not path.parent.is_dir():
        make_directory(path.parent)
    path.mkdir(mode=0o700, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make the names in a directory outlast a power loss. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # file systems that cannot
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Hold this lock file, which is made when missing; it goes with the process at the latest.

    It excludes whoever else opened the file, also within one process. Raises LockedError after
    `patience` seconds, and OSError.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        _wait_for(descriptor, patience)
        yield
    finally:
        os.close(descriptor)


def _wait_for(descriptor: int, patience: float) -> None:
    give_up = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= give_up:
                raise LockedError(
                    errno.EWOULDBLOCK, f"another process has been changing it for {patience:g} s"
                ) from error
            time.sleep(_LOCK_POLL)
        else:
            return
