"""The agent's hold on the kernel's rules: put in place, kept there, taken away.

With every change of what packets are judged by, the kernel begins to learn flows anew, under
another generation; what it had learnt is counted a last time, after the change.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Protocol, TypeVar

from ipsecfd.agent.background import background
from ipsecfd.agent.config import Config
from ipsecfd.agent.learnt import Found, Learnt, Wanted
from ipsecfd.agent.readings import ReadCounters, Readings
from ipsecfd.agent.tally import Tally
from ipsecfd.driver.driver import Settings
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.expected import Expected
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

    def close(self, config: RulesConfig) -> Standing | None:
        """Drop from now on what would be queued."""

    def remove(self) -> None:
        """Take all rules away."""

    def present(self) -> bool:
        """Whether there are rules, perhaps of a run that crashed."""

    def stands(self) -> Standing:
        """How the rules stand now."""


ReadFlows = Callable[[RulesConfig, Generation], Iterable[Flow]]
"""Reads all learnt flows of a generation, as `kernel.flows.read_all`; raises KernelError."""


class Hook:
    """The rules that a configuration asks for."""

    def __init__(
        self,
        rules: Rules,
        read_flows: ReadFlows,
        read_counters: ReadCounters,
        config: Config,
        tally: Tally,
        expected: Expected,
    ) -> None:
        self._rules = rules
        self._expected = expected
        self._read_flows = read_flows
        self._tally = tally
        self._readings = Readings(read_counters, tally)
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
        self._held = False
        """Whether rules are there that are none of this run's."""
        self._standing: Standing | None = None
        self._put_back = False  # since `keep` was last called
        self._settings = Settings()
        self._changing = asyncio.Lock()
        self._settling: asyncio.Task[None] | None = None

    @property
    def caching(self) -> bool:
        """Whether the kernel may learn flows at all."""
        return self._caching

    @property
    def learnt(self) -> int:
        """How many flows the kernel had learnt at the last reading."""
        learnt = self._readings.present
        return len(learnt) if learnt is not None else 0

    def following(self, generation: int) -> int:
        """The number for settings that come after those of this number; 0 without a cache."""
        return self._config.marks.following(generation) if self._caching else 0

    async def hold(self) -> bool:
        """Whether rules of an earlier run, or of the boot, are in force; raises KernelError.

        From now on `keep` closes the host if somebody removes them, unless it is to be open while
        nobody judges.
        """
        async with self._changing:
            standing = await asyncio.to_thread(self._rules.stands)
            if not standing or not await asyncio.to_thread(self._rules.present):
                return False
            if not self._config.bypass:
                self._hold(standing)
            return True

    async def close(self) -> None:
        """Drop everything until `install`, and see to it that it stays so; raises KernelError."""
        async with self._changing:
            await self._close()

    async def install(self, settings: Settings) -> None:
        """Queue packets from now on, and learn flows that these settings decide.

        Raises KernelError and changes nothing when refused.
        """
        async with self._changing:
            if self._held and not await self._stands():
                self._put_back = True  # `keep` had no turn yet
            await self._install(settings)

    async def relearn(self, settings: Settings) -> None:
        """Forget all learnt flows, and learn under other settings, which the packet processes get
        next: what they decide by the old ones until then is not learnt. `settle` is for afterwards.

        Raises KernelError and changes nothing when refused. Does nothing before `install`, nor
        after `remove`, which may be at work when this is called.
        """
        if not self._caching:
            return
        generation = _generation(settings)
        async with self._changing:
            if not self.kind:
                return
            given_up = self._readings.give_up(generation.number)
            try:
                self._standing = await _to_the_end(
                    asyncio.to_thread(self._rules.relearn, self._config, generation)
                )
            except KernelError:
                stands = True  # as long as nobody can tell
                with contextlib.suppress(KernelError):
                    stands = await self._stands()
                if stands:
                    self._readings.take_back(given_up)
                    raise
                await self._again(lambda: self._install(settings))
            else:
                self._settings = settings
                self._readings.follow(self._learnt(settings))

    def settle(self) -> None:
        """Have what was learnt under settings that were replaced counted a last time and removed,
        while nobody waits for it: a full set takes a while to read."""
        if self._settling is None or self._settling.done():
            self._settling = background(self._settle())

    async def keep(self) -> bool:
        """Put the rules back, with new sets, if somebody else changed them; whether that was so.

        Before `install`, close the host instead of those that `hold` found. Raises KernelError.
        """
        async with self._changing:
            if (self.kind or self._held) and not await self._stands():
                await self._again(
                    (lambda: self._install(self._settings)) if self.kind else self._close
                )
            put_back, self._put_back = self._put_back, False
            return put_back

    async def read_learnt(self) -> None:
        """Add to the tally what learnt flows have counted; raises KernelError."""
        if self._readings.present is not None:
            await self._readings.count()

    async def flows(self, wanted: Wanted, most: int) -> Found:
        """What the kernel has learnt and is wanted, `most` flows of it; raises KernelError."""
        return await self._readings.flows((wanted, most))

    async def remove(self) -> None:
        """Take all rules away; raises KernelError."""
        async with self._changing:
            await asyncio.to_thread(self._rules.remove)
            self._expected.forget()
            self.kind, self._held = "", False

    def leave(self) -> None:
        """Nobody looks after the rules from now on, if any, and they stay."""
        if self.kind or self._held:
            self._expected.ended()

    async def _stands(self) -> bool:
        """Whether nobody else changed the rules."""
        return await asyncio.to_thread(self._rules.stands) == self._standing

    async def _install(self, settings: Settings) -> None:
        generation = _generation(settings) if self._caching else None
        lost = self._readings.present is not None
        self.kind, self._standing = await _to_the_end(
            asyncio.to_thread(self._rules.install, self._config, generation)
        )
        self._held = False
        self._expected.running()
        self._tally.new_table(lost=lost)
        self._settings = settings
        self._readings.begin(self._learnt(settings) if self._caching else None)

    async def _close(self) -> None:
        self._hold(await _to_the_end(asyncio.to_thread(self._rules.close, self._config)))

    def _hold(self, standing: Standing | None) -> None:
        self._held, self._standing = True, standing
        self._expected.running()

    async def _again(self, change: Callable[[], Awaitable[None]]) -> None:
        """Put rules back; who removed them may be about to remove more."""
        for last in (False, False, True):
            try:
                await change()
            except KernelError:
                if last:
                    raise
            else:
                self._put_back = True
                return

    def _learnt(self, settings: Settings) -> Learnt:
        return Learnt(
            _generation(settings), settings, lambda one: self._read_flows(self._config, one)
        )

    async def _settle(self) -> None:
        while replaced := self._readings.replaced:
            # Nothing passes by them any more: what they counted is complete, and may be lost. Those
            # that a change has just given up, and takes back, are for the next time.
            complete: Sequence[Learnt] = replaced
            with contextlib.suppress(KernelError):
                read = await self._readings.count()
                complete = [one for one in replaced if one in read]
            for learnt in complete:
                with contextlib.suppress(KernelError):
                    await self._forget(learnt)

    async def _forget(self, learnt: Learnt) -> None:
        async with self._changing:
            if learnt in self._readings.replaced:
                self._readings.removed(learnt)
                await _to_the_end(
                    asyncio.to_thread(self._rules.forget, self._config, learnt.generation)
                )


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
