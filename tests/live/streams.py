"""Numbered datagrams to the guard, while a test changes things."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Final, Self

from ipsecfd.lab import Lab

GUARD, PEER = "192.0.2.10", "192.0.2.1"

_SO_RCVBUFFORCE: Final = 33
_EAR_BYTES: Final = 64 << 20


class Traffic:
    """Threads that send and hear while the block lasts, and their sockets."""

    def __init__(self, sockets: tuple[socket.socket, ...], *targets: Callable[[], None]) -> None:
        self._over = threading.Event()
        self._sockets = sockets
        self._threads = [threading.Thread(target=one) for one in targets]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()
        for one in self._sockets:
            one.close()


class Stream(Traffic):
    """Numbered datagrams to one port of the guard while the block lasts, and which arrived."""

    def __init__(
        self, lab: Lab, port: int, address: str = GUARD, rate: float = 1000, source: str = PEER
    ) -> None:
        self.port, self.address, self.pause = port, address, 1 / rate
        self.sent = 0
        self.arrived: list[int] = []
        self._ear = lab["guard"].socket(socket.AF_INET, socket.SOCK_DGRAM)
        # This process may be slow to listen, which is nobody's loss.
        self._ear.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _EAR_BYTES)
        self._ear.bind(("0.0.0.0", port))
        self._ear.settimeout(0.05)
        self._mouth = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.bind((source, 0))
        super().__init__((self._ear, self._mouth), self._send, self._hear)

    def _send(self) -> None:
        until = time.monotonic() + 60
        while not self._over.is_set() and time.monotonic() < until:
            self._mouth.sendto(self.sent.to_bytes(8, "big"), (self.address, self.port))
            self.sent += 1
            time.sleep(self.pause)

    def _hear(self) -> None:
        silent = 0
        # Until 0.3 s after the last one was sent. Where some came and others did not, they may be
        # on their way: a busy machine has 2 s.
        while silent < (40 if 0 < len(self.arrived) < self.sent else 6):
            try:
                self.arrived.append(int.from_bytes(self._ear.recv(100), "big"))
                silent = 0
            except TimeoutError:
                silent += self._over.is_set()


def waiting(ear: socket.socket) -> int:
    """How many datagrams wait to be read; they are read."""
    number = 0
    ear.setblocking(False)
    while True:
        try:
            ear.recv(100)
        except BlockingIOError:
            return number
        number += 1
