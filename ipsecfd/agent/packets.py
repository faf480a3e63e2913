"""The agent's handle on a packet process: start it, give it settings, ask it, hear of its end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ipsecfd import __version__
from ipsecfd.agent.background import background
from ipsecfd.agent.drops import DropRecord
from ipsecfd.agent.transfer import HEADER, Judged, PacketReport, pieces
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.shadow import Compared
from ipsecfd.kernel.errors import KernelError

_START_SECONDS: Final = 60.0  # within the 90 of systemd: Python starts slowly on a busy machine
_ANSWER_SECONDS: Final = 30.0  # to settings: a large table takes a while to send
_REPORT_SECONDS: Final = 5.0  # well below systemd's patience: a stuck process is replaced first
_END_SECONDS: Final = 1.0
_OUTLET_BYTES: Final = 1 << 20
_MESSAGE_BYTES: Final = 1 << 18

OnDrops = Callable[[list[DropRecord]], None]


class PacketProcess:
    """A running packet process. Made by `start`; ended by `stop`, or seen to end in `died`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        inlet: socket.socket,
        on_drops: OnDrops,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self._inlet = inlet
        self._on_drops = on_drops
        self._asking = asyncio.Lock()
        """For a question with its answer."""
        self._installing = asyncio.Lock()
        """For settings with all their pieces."""
        loop = asyncio.get_running_loop()
        loop.add_reader(inlet, self._take_drops)
        self.died: asyncio.Future[str] = loop.create_future()
        """Done when the process has ended, with how it ended."""
        self._killed_for = ""
        """Why it was ended from here, which is the reason to tell then."""
        self._watch = background(self._wait())

    @property
    def pid(self) -> int:
        """The process' id."""
        return self._process.pid

    @classmethod
    async def start(
        cls, queue: int, length: int, mask: int, on_drops: OnDrops, *, level: int, interval: float
    ) -> PacketProcess:
        """Start a process for a queue of `length` packets, which it binds at the first `install`.

        `mask` is that of our marks; `level` and `interval` are those of `Drops`. Raises KernelError
        when it ends at once.
        """
        control, its_control = socket.socketpair()
        inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        inlet.setblocking(False)
        outlet.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _OUTLET_BYTES)
        with its_control, outlet:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-P",  # never import what lies in the directory that the agent was started in
                "-m",
                "ipsecfd.agent.packet_process",
                *map(str, (queue, length, os.getpid(), its_control.fileno(), outlet.fileno())),
                *map(str, (level, mask, interval, __version__)),
                pass_fds=(its_control.fileno(), outlet.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                process_group=0,  # a Ctrl-C is the agent's, also before this process ignores it
            )
        reader, writer = await asyncio.open_connection(sock=control)
        self = cls(process, reader, writer, inlet, on_drops)
        try:
            await self._read(_START_SECONDS)
        except BaseException:
            await self.stop()
            raise
        return self

    async def install(self, settings: Settings) -> tuple[Judged, ...]:
        """Have packets judged by these settings; returns when they are, with what was judged by
        those before since the last report. Raises KernelError when the queue is taken or may not
        be bound."""
        async with self._installing:
            piece = b""
            for following in pieces(settings):
                if piece:
                    # In a flood a large table takes a while: between two pieces others may ask.
                    async with self._asking:
                        await self._send_piece(piece)
                piece = following
            async with self._asking:
                await self._send_piece(piece)
                refusal, judged = await self._read(_ANSWER_SECONDS)
        if refusal is not None:
            raise KernelError(refusal)
        return judged

    async def report(self) -> PacketReport:
        """Ask what the process has done so far."""
        async with self._asking:
            self._write(b"R")
            report: PacketReport
            report, judged = await self._read(_REPORT_SECONDS)
        return report._replace(judged=judged)

    async def compared(self) -> Compared | None:
        """Ask what the judges that are compared would decide differently; None without two."""
        async with self._asking:
            self._write(b"C")
            compared: Compared | None
            compared, _ = await self._read(_REPORT_SECONDS)
        return compared

    async def set_diagnostics(self, level: int, interval: float) -> None:
        """Change what drops are recorded, and how long they are aggregated (spec 7.1)."""
        async with self._asking:
            self._write(b"D" + pickle.dumps((level, interval)))
            await self._read(_ANSWER_SECONDS)

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it (SIGSTOP), so that it judges nothing."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"
        return False

    def kill(self, why: str) -> None:
        """End the process at once, with all that waits for it; `why` goes into `died`."""
        self._killed_for = self._killed_for or why
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def stop(self) -> None:
        """End the process, which first hands over the drops it holds; what waits in its queue is
        dropped."""
        with contextlib.suppress(ConnectionError):
            self._write(b"Q")
        try:
            await asyncio.wait_for(asyncio.shield(self._watch), _END_SECONDS)
        except TimeoutError:
            self.kill(f"did not end in {_END_SECONDS:g} s")
            await self._watch

    async def _send_piece(self, piece: bytes) -> None:
        self._write(b"S" + piece)
        await self._writer.drain()

    def _write(self, message: bytes) -> None:
        self._writer.write(HEADER.pack(len(message)) + message)

    async def _read(self, seconds: float) -> tuple[Any, tuple[Judged, ...]]:
        """An answer, and the counts that came with it; so many seconds for each of its messages."""
        counts: list[Judged] = []
        try:
            while True:
                async with asyncio.timeout(seconds):
                    (length,) = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                    ended, content = pickle.loads(await self._reader.readexactly(length))
                if ended:
                    return content, tuple(counts)
                counts += content
        except TimeoutError:
            # Its answer may still come and be taken for another one's: only a new process helps.
            late = f"did not answer in {seconds:g} s"
            self.kill(late)
            raise KernelError(f"packet process {self.pid} {late}") from None
        except (EOFError, ConnectionError) as error:
            raise KernelError(f"packet process {self.pid} has ended") from error

    def _take_drops(self) -> bool:
        """Pass on one message of drops; False when there was none."""
        try:
            data = self._inlet.recv(_MESSAGE_BYTES)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._inlet)
            return False
        self._on_drops(pickle.loads(data))
        return True

    async def _wait(self) -> None:
        why = "cannot be waited for"
        try:
            status = await self._process.wait()
            why = f"ended with {f'signal {-status}' if status < 0 else f'exit status {status}'}"
            if self._inlet.fileno() >= 0:
                while self._take_drops():
                    pass
                asyncio.get_running_loop().remove_reader(self._inlet)
                self._inlet.close()
            self._writer.close()
        finally:  # whatever went wrong: who replaces it waits for this
            if not self.died.done():
                self.died.set_result(f"packet process {self.pid} {self._killed_for or why}")
