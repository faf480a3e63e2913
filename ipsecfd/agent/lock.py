"""One agent for each network namespace and control socket: locks that end with their process."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ipsecfd.errors import IpsecfdError

_NAME: Final = "\0ipsecfd"
_PATIENCE: Final = struct.pack("@ll", 0, 500_000)
"""Half a second for one's turn with whoever has the name: an agent needs far less."""
_CREDENTIALS: Final = struct.Struct("=iII")


class LockError(IpsecfdError):
    """Another agent runs, or the lock cannot be had; the text says which."""


@contextlib.contextmanager
def only_instance(control: Path) -> Iterator[None]:
    """Hold the lock beside a control socket; raises LockError when another process does.

    The file stays behind: removing it would let two processes lock two files of one name.
    """
    path = control.with_name(f"{control.name}.lock")
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
            raise LockError(f"already running (pid {owner}, lock {path}): stop it first") from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"{os.getpid()}\n".encode(), 0)
        with _only_in_network():
            yield
    finally:
        os.close(file)


def runs_in_network() -> bool:
    """Whether an agent runs in this network namespace, whatever its socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _PATIENCE)
        try:
            asking.connect(_NAME)
        except OSError:  # nobody has the name, or somebody who does not listen
            return False
        data = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    # Anybody can take the name; who may run no agent must not keep one from running.
    return _CREDENTIALS.unpack(data)[1] in (0, os.geteuid())


@contextlib.contextmanager
def _only_in_network() -> Iterator[None]:
    """Hold the network namespace: two agents would take each other's rules for leftovers."""
    with contextlib.ExitStack() as held:
        name = held.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        try:
            name.bind(_NAME)  # abstract names belong to a network namespace and end with the socket
            name.listen(socket.SOMAXCONN)  # for the credentials
        except OSError as error:
            if runs_in_network():
                raise LockError(
                    "already running in this network, with another `socket` in [control]:"
                    " stop it first"
                ) from error
        else:
            turning_away = threading.Thread(target=_turn_away, args=(name,), daemon=True)
            turning_away.start()
            held.callback(turning_away.join)
            held.callback(name.shutdown, socket.SHUT_RDWR)
        yield


def _turn_away(name: socket.socket) -> None:
    """Have nobody wait: those who did would keep others from asking."""
    with contextlib.suppress(OSError):  # it is shut
        while True:
            name.accept()[0].close()
