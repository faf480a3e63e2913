"""The way to the daemon: waiting for one's turn, and what is said when it does not come."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.agent import client


class FullSocket:
    """A control socket whose queue is full of clients that nobody accepts."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.listening = socket.socket(socket.AF_UNIX)
        self.listening.bind(str(path))
        self.listening.listen(0)
        self.listening.settimeout(60)
        self.others: list[socket.socket] = []
        while True:
            self.others.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            self.others[-1].setblocking(False)
            try:
                self.others[-1].connect(str(path))
            except BlockingIOError:
                return

    def take_all(self, answer: bytes) -> None:
        """Accept whoever waits; the last one has something to ask, and is answered."""
        for _ in self.others[:-1]:
            self.listening.accept()[0].close()
        with self.listening.accept()[0] as asking:
            while not asking.recv(4096).endswith(b"\0"):
                pass
            asking.sendall(answer + b"\0")

    def close(self) -> None:
        """Have nobody wait any more."""
        for one in (self.listening, *self.others):
            one.close()


@pytest.fixture
def full(tmp_path: Path) -> Iterator[FullSocket]:
    """A full queue."""
    full = FullSocket(tmp_path / "sock")
    yield full
    full.close()


def ask(path: Path, within: float = 60.0) -> asyncio.Future[Any]:
    """Ask for the mode, in a thread."""
    asking = asyncio.to_thread(client.call, path, "GetMode", within=within)
    return asyncio.ensure_future(asking)


async def test_who_finds_a_full_queue_waits(
    full: FullSocket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until others are done."""
    refused = threading.Event()

    class Refused(socket.socket):
        def connect(self, address: Any) -> None:
            try:
                super().connect(address)
            except BlockingIOError:
                refused.set()
                raise

    monkeypatch.setattr("ipsecfd.agent.client.sockets.socket", Refused)
    asking = ask(full.path)
    assert await asyncio.to_thread(refused.wait, 60)
    await asyncio.to_thread(full.take_all, b'{"parameters": {"mode": "secure"}}')
    assert await asking == "secure"


async def test_a_queue_that_stays_full(full: FullSocket) -> None:
    """Who waits in vain is told for what."""
    with pytest.raises(client.ClientError, match=r"sock has had too many other clients for 0\.2 s"):
        await ask(full.path, within=0.2)


async def test_who_is_not_answered(full: FullSocket) -> None:
    """A daemon that takes a client and says nothing is another matter."""
    full.listening.accept()[0].close()
    with pytest.raises(client.ClientError, match=r"sock does not answer within 0\.2 s"):
        await ask(full.path, within=0.2)
