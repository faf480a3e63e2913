"""The agent's hold on the kernel's rules: put in place, kept there, taken away.

With every change of what packets are judged by, the kernel begins to learn flows anew, under
another generation; what it had learnt is counted a last time.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol, TypeVar

from ipsecfd.agent.config import Config
from ipsecfd.agent.learnt import Found, Learnt, Wanted
from ipsecfd.agent.tally import Tally
from ipsecfd.driver.driver import Settings
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.counters import Counters
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.flows import Flow
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.rules import Installed, RulesConfig
from ipsecfd.kernel.standing import Standing

_Result = TypeVar("_Result")


class Rules(Protocol):
    """The kernel's rules, as `kernel.rules` has them. Each call may take a while."""

    def install(self, config: RulesConfig, generation: Generation | None) -> Installed:
        """Queue packets from now on, and learn flows under a generation."""

    def relearn(self, config: RulesConfig, generation: Generation) -> Standing | None:
        """Learn flows under another generation from now on."""

    def forget(self, config: RulesConfig, generation: Generation) -> None:
        """Remove what was learnt under a generation that was replaced."""

    def remove(self) -> None:
        """Take all rules away."""

    def present(self) -> bool:
        """Whether there are rules, perhaps of a run that crashed."""

    def stands(self) -> Standing:
        """How the rules stand now."""


ReadFlows = Callable[[RulesConfig, Generation], Iterable[Flow]]
"""Reads all learnt flows of a generation, as `kernel.flows.read_all`; raises KernelError."""

ReadCounters = Callable[[], Counters]
"""Reads what the kernel decided by itself, as `kernel.counters.read`; raises KernelError."""


class Hook:
    """The rules that a configuration asks for."""

    def __init__(
        self,
        rules: Rules,
        read_flows: ReadFlows,
        read_counters: ReadCounters,
        config: Config,
        tally: Tally,
    ) -> None:
        self._rules = rules
        self._read_flows = read_flows
        self._read_counters = read_counters
        self._tally = tally
        self._caching = config.cache == "on"
        self._config = RulesConfig(
            queue=config.queue.number,
            processes=config.queue.processes,
            forward=config.forward,
            bypass=config.on_failure == "permit",
            marks=Marks(config.queue.mark),
        )
        self.kind = ""
        """How packets come to the queue, once they do."""
        self._standing: Standing | None = None
        self._put_back = False  # since `keep` was last called
        self._settings = Settings()
        self._tables = 0  # that were installed, one after the other
        self._learnt: Learnt | None = None
        self._changing = asyncio.Lock()
        self._reading = asyncio.Lock()

    @property
    def caching(self) -> bool:
        """Whether the kernel may learn flows at all."""
        return self._caching

    @property
    def learnt(self) -> int:
        """How many flows the kernel had learnt at the last reading."""
        return len(self._learnt) if self._learnt is not None else 0

    def following(self, generation: int) -> int:
        """The number for settings that come after those of this number; 0 without a cache."""
        return self._config.marks.following(generation) if self._caching else 0

    async def present(self) -> bool:
        """Whether there are rules of ours; raises KernelError."""
        return await asyncio.to_thread(self._rules.present)

    async def install(self, settings: Settings) -> None:
        """Queue packets from now on, and learn flows that these settings decide.

        Raises KernelError and changes nothing when refused.
        """
        async with self._changing:
            await self._install(settings)

    async def relearn(self, settings: Settings) -> None:
        """Forget all learnt flows, and learn under other settings, which the packet processes get
        next: what they decide by the old ones until then is not learnt.

        Raises KernelError and changes nothing when refused. Does nothing before `install`.
        """
        if not self.kind or not self._caching:
            return
        async with self._changing:
            before: Learnt | None = None
            try:
                self._standing = await _to_the_end(
                    asyncio.to_thread(self._rules.relearn, self._config, _generation(settings))
                )
            except KernelError:
                if await self._stands():
                    raise
                await self._install_again(settings)
            else:
                before = self._learnt
                self._learn(settings)
        if before is not None:
            # Nothing passes by it any more: what it counted is complete, and may be lost.
            with contextlib.suppress(KernelError):
                await self._count(before)
            with contextlib.suppress(KernelError):
                async with self._changing:
                    await asyncio.to_thread(self._rules.forget, self._config, before.generation)

    async def keep(self) -> bool:
        """Put the rules back, with new sets, if somebody else changed them; whether that was so.

        Raises KernelError. Does nothing before `install`.
        """
        async with self._changing:
            if self.kind and not await self._stands():
                await self._install_again(self._settings)
            put_back, self._put_back = self._put_back, False
            return put_back

    async def read_learnt(self) -> None:
        """Add to the tally what learnt flows have counted; raises KernelError."""
        if self._learnt is not None:
            await self._count(self._learnt)

    async def flows(self, wanted: Wanted, most: int) -> Found:
        """What the kernel has learnt and is wanted, `most` flows of it; raises KernelError."""
        learnt = self._learnt
        if learnt is None:
            return Found([], 0, 0, 0)
        async with self._reading:
            return await asyncio.to_thread(learnt.flows, wanted, most)

    async def remove(self) -> None:
        """Take all rules away; raises KernelError."""
        async with self._changing:
            await asyncio.to_thread(self._rules.remove)
            self.kind = ""

    async def _stands(self) -> bool:
        """Whether nobody else changed the rules."""
        return await asyncio.to_thread(self._rules.stands) == self._standing

    async def _install(self, settings: Settings) -> None:
        generation = _generation(settings) if self._caching else None
        self.kind, self._standing = await _to_the_end(
            asyncio.to_thread(self._rules.install, self._config, generation)
        )
        self._tables += 1
        self._tally.new_table()
        self._learn(settings)

    async def _install_again(self, settings: Settings) -> None:
        """Put the rules back; who removed them may be about to remove more."""
        for last in (False, False, True):
            try:
                await self._install(settings)
            except KernelError:
                if last:
                    raise
            else:
                self._put_back = True
                return

    def _learn(self, settings: Settings) -> None:
        self._settings = settings
        self._learnt = None
        if self._caching:
            self._learnt = Learnt(
                _generation(settings), settings, lambda one: self._read_flows(self._config, one)
            )

    async def _count(self, learnt: Learnt) -> None:
        async with self._reading:
            table = self._tables
            counters = await asyncio.to_thread(self._read_counters)
            counts = await asyncio.to_thread(learnt.counts)
            if table == self._tables:  # otherwise some are of one table and some of another
                self._tally.learnt(counters, counts)


def _generation(settings: Settings) -> Generation:
    return Generation(
        settings.generation,
        by_interface=settings.by_interface,
        blocked=settings.learn_blocked,
    )


async def _to_the_end(change: Awaitable[_Result]) -> _Result:
    """Wait for a change that a thread makes, also when cancelled: it cannot be stopped, and it
    would undo what comes next."""
    running = asyncio.ensure_future(change)
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        with contextlib.suppress(IpsecfdError):
            await running
        raise
