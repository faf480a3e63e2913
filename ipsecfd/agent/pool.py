"""The packet processes together: one for each queue, replaced when it dies.

While a queue has no process the kernel drops its packets (or passes them, with `on_failure =
"permit"`), so a death opens nothing; the pool only has to be quick about the next one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from ipsecfd.agent.transfer import Judged, PacketReport
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.shadow import Compared
from ipsecfd.kernel.errors import KernelError

RETRY_SECONDS: Final = (0.0, 0.5, 1.0, 5.0)
"""Pauses before a dead process is replaced: the first time at once, the last one for good."""
CALM_SECONDS: Final = 60.0
"""A process that lived so long died of something new."""


class Process(Protocol):
    """A running packet process, as `agent.packets.PacketProcess` is one."""

    died: asyncio.Future[str]

    async def install(self, settings: Settings) -> Sequence[Judged]:
        """Judge by these settings from the moment of return on; tells what was judged before."""

    async def report(self) -> PacketReport:
        """Say what was done so far."""

    async def compared(self) -> Compared | None:
        """What the judges that are compared would decide differently, since last asked."""

    async def set_diagnostics(self, level: int, interval: float) -> None:
        """Log drops at this level and interval."""

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it, so that it judges nothing."""

    def kill(self, why: str) -> None:
        """End it at once; `why` is what is told of its death."""

    async def stop(self) -> None:
        """End the process."""


StartProcess = Callable[[int, tuple[int, float]], Awaitable[Process]]
"""Starts the process of a queue, by its number, to log drops at a level and interval; the queue is
bound at the first `install`. Raises KernelError, as that does."""

Say = Callable[[str], None]

Count = Callable[[Sequence[Judged]], None]
"""Takes what packet processes judged, as `agent.tally.Tally.judged` does."""

Died = Callable[[float], None]
"""Told that a process died, and for how many seconds it had not said what it judged."""


class Pool:
    """Packet processes on consecutive queues, all judging by the same settings."""

    def __init__(
        self,
        numbers: range,
        start: StartProcess,
        drops: tuple[int, float],
        say: Say,
        count: Count,
        died: Died,
    ) -> None:
        self._numbers = numbers
        self._start = start
        self._drops = drops
        self._say = say
        self._count = count
        self._on_death = died
        self._settings: Settings | None = None
        self._processes: dict[int, Process] = {}
        self._told: dict[Process, float] = {}  # when it last said what it judged
        self._stopped: set[Process] = set()
        self._guards: list[asyncio.Task[None]] = []
        self.restarts = 0
        """Processes that were replaced since the pool opened."""

    async def open(self, settings: Settings) -> None:
        """Bind all queues and judge by these settings; KernelError when one cannot be had."""
        self._settings = settings
        try:
            for number in self._numbers:
                self._processes[number] = await self._start(number, self._drops)
            for process in self._processes.values():
                self._counted(process, await process.install(settings))
        except BaseException:
            await self.close()
            raise
        self._guards = [asyncio.create_task(self._guard(number)) for number in self._numbers]

    async def install(self, settings: Settings) -> None:
        """Judge by these settings; on return every packet is judged by them or dropped.

        A process that does not take them is ended, and its successor gets them.
        """
        self._settings = settings

        async def install(process: Process) -> None:
            self._counted(process, await process.install(settings))

        await self._on_all(install)

    async def set_diagnostics(self, level: int, interval: float) -> None:
        """Log drops at this level and interval (spec 7.1) from now on."""
        self._drops = (level, interval)
        await self._on_all(lambda process: process.set_diagnostics(level, interval))

    async def reports(self) -> dict[int, PacketReport | None]:
        """What each process says of itself, by queue; None for one that is being replaced.

        A defect that ended the replacing is raised here: without it nobody would ever notice.
        """
        for guard in self._guards:
            if guard.done():
                guard.result()
        found: dict[int, PacketReport | None] = dict.fromkeys(self._numbers)

        async def ask(number: int, process: Process) -> None:
            try:
                report = await process.report()
                self._counted(process, report.judged)
                found[number] = report
            except (KernelError, OSError):
                found[number] = None

        await asyncio.gather(*(ask(*one) for one in self._processes.items()))
        return found

    async def compared(self) -> list[Compared]:
        """What a candidate would decide differently, since last asked; a process that does not
        answer is left out."""

        async def ask(process: Process) -> Compared | None:
            try:
                return await process.compared()
            except (KernelError, OSError):
                return None

        found = await asyncio.gather(*map(ask, self._processes.values()))
        return [one for one in found if one is not None]

    def end_stopped(self) -> bool:
        """Have processes replaced that were stopped already when this was called last. One that is
        only slow gets its time.

        Tells whether others are stopped, so that it has to be called again, half a second later or
        so.
        """
        stopped = {process for process in self._processes.values() if process.stopped}
        for process in stopped & self._stopped:
            process.kill("was stopped by a signal and is ended for that")
        self._stopped = stopped - self._stopped
        return bool(self._stopped)

    async def close(self) -> None:
        """End all processes."""
        for guard in self._guards:
            guard.cancel()
        await asyncio.gather(*self._guards, return_exceptions=True)
        processes = list(self._processes.values())
        self._processes.clear()
        self._told.clear()
        await asyncio.gather(*(process.stop() for process in processes))

    def _counted(self, process: Process, judged: Sequence[Judged]) -> None:
        self._count(judged)
        self._told[process] = asyncio.get_running_loop().time()

    async def _on_all(self, act: Callable[[Process], Awaitable[None]]) -> None:
        async def one(process: Process) -> None:
            try:
                await act(process)
            except (KernelError, OSError):
                await process.stop()

        await asyncio.gather(*(one(process) for process in list(self._processes.values())))

    async def _guard(self, number: int) -> None:
        """Replace the process of one queue whenever it dies."""
        loop = asyncio.get_running_loop()
        deaths = 0
        while True:
            born = loop.time()
            why = await asyncio.shield(self._processes[number].died)
            told = self._told.pop(self._processes.pop(number), born)
            self._on_death(loop.time() - told)
            deaths = 0 if loop.time() - born > CALM_SECONDS else deaths
            self._say(f"the packet process of queue {number} died ({why}); starting another")
            while number not in self._processes:
                await asyncio.sleep(RETRY_SECONDS[min(deaths, len(RETRY_SECONDS) - 1)])
                deaths += 1
                try:
                    await self._replace(number)
                except (KernelError, OSError) as error:
                    self._say(f"the packet process of queue {number} cannot be replaced: {error}")
            self.restarts += 1
            self._say(f"queue {number} is judged again")

    async def _replace(self, number: int) -> None:
        """Start another process for a queue, and have it judge.

        It is one of the pool's before it gets any settings: whoever installs others meanwhile
        waits until it has taken those, too.
        """
        process = await self._start(number, self._drops)
        self._processes[number] = process
        assert self._settings is not None
        try:
            self._counted(process, await process.install(self._settings))
        except BaseException:
            self._processes.pop(number, None)  # `close` may have been quicker
            await process.stop()
            raise
