"""The agent's side of a packet process, with the other end of its socket in the test's hand."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

import pytest

from ipsecfd.agent import packets
from ipsecfd.agent.packets import PacketProcess
from ipsecfd.agent.transfer import HEADER, PacketReport, answer
from ipsecfd.driver.driver import Settings

PIECES = 40
REPORT = PacketReport(pid=1, memory=0, judged=(), faults=0, refused_conversations=0)


class Ended:
    """A process that ended."""

    pid = 1

    async def wait(self) -> int:
        return 1


class Endless:
    """A process that does not end."""

    pid = 1

    async def wait(self) -> int:
        await asyncio.Event().wait()
        return 0


async def received() -> list[bytes]:
    """The kinds of messages, in order, that settings and a question asked meanwhile make."""
    here, there = socket.socketpair()
    inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with outlet, inlet:
        reader, writer = await asyncio.open_connection(sock=here)
        its_reader, its_writer = await asyncio.open_connection(sock=there)
        process = PacketProcess(cast(Any, Endless()), reader, writer, inlet, lambda _: None)
        asked = asyncio.gather(process.install(Settings()), process.report())
        kinds: list[bytes] = []
        while len(kinds) < PIECES + 1:
            (length,) = HEADER.unpack(await its_reader.readexactly(HEADER.size))
            kinds.append((await its_reader.readexactly(length))[:1])
            if kinds[-1] == b"R":
                its_writer.writelines(answer(REPORT))
            elif kinds.count(b"S") == PIECES:
                its_writer.writelines(answer(None))
        judged, report = await asked
        assert (judged, report) == ((), REPORT)
        asyncio.get_running_loop().remove_reader(inlet)
        for one in (writer, its_writer):
            one.close()
            await one.wait_closed()
    return kinds


def test_a_large_table_makes_nobody_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that takes its time over many pieces is asked other things between two of them:
    the watchdog wants to know that it lives."""
    monkeypatch.setattr(packets, "pieces", lambda _: iter([bytes(1 << 16)] * PIECES))
    kinds = asyncio.run(asyncio.wait_for(received(), 20))
    assert kinds.index(b"R") < PIECES // 2
    assert kinds[-1] == b"S"


async def test_a_death_is_told_whatever_else_fails() -> None:
    """Who replaces the process waits for it: here the last of its drops cannot be understood."""
    here, there = socket.socketpair()
    inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    inlet.setblocking(False)
    outlet.send(b"no drops")
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    with there, outlet, inlet:
        reader, writer = await asyncio.open_connection(sock=here)
        process = PacketProcess(cast(Any, Ended()), reader, writer, inlet, lambda _: None)
        asyncio.get_running_loop().remove_reader(inlet)
        async with asyncio.timeout(20):
            assert await process.died == "packet process 1 ended with exit status 1"
        writer.close()
        await asyncio.sleep(0)
    assert told
