"""The Policy Agent: its mode, and the policies in force (spec 1.5, 6.5). It judges nothing itself.

What it acts through (rules, packet processes, stores, log) is handed to it, so every order of
events can be played in a test without a kernel. It begins in `start`; changes of the policies are
in `changes`.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ipsecfd.agent import garbage
from ipsecfd.agent.background import background
from ipsecfd.agent.config import Config
from ipsecfd.agent.drops import unrecorded
from ipsecfd.agent.events import ENTERED, Event
from ipsecfd.agent.hook import Hook
from ipsecfd.agent.memory import Memory
from ipsecfd.agent.parts import Parts
from ipsecfd.agent.policies import PolicySet, compiled
from ipsecfd.agent.pool import Pool
from ipsecfd.agent.shadow import Shadow
from ipsecfd.agent.sources import Load, Places, StoreReader, gather
from ipsecfd.agent.tally import Tally
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.errors import KernelError

# What `Agent.warnings` are about, beside `trials`.
RELOAD: Final = "reload"
BOOT_FILE: Final = "boot file"
NEW: Final = "new state_dir"
HOST: Final = "addresses"

RETRY_SECONDS: Final = 1.0
"""Pause between two tries to judge by new addresses."""


class Agent:
    """One run of the agent, from `start.start` to `stop`.

    `policies` are the files of `--policy`, which stand in for the local policy. `managed` says
    that systemd decides after the end whether the rules stay.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        *,
        policies: Sequence[Path] = (),
        managed: bool = False,
    ) -> None:
        self.config = config
        self.host = Host(delivered=True)
        """The host's addresses as last told; see `host_changed`."""
        self.mode = Mode.STARTUP_PERMIT
        self.starting = True
        """Until the policies decide, or it is known that they cannot."""
        self.started_in: Mode | None = None
        """The start-up mode of this start; None where rules that were there closed the host."""
        self.mode_reason: str | None = None
        """Why the mode is not secure, in words."""
        self.trouble: str | None = None
        """Why the assigned policy could not be applied; the mode is then block (spec 6.5)."""
        self.policies = PolicySet()
        self.given = bool(policies)
        self.places = Places(given=tuple(policies))
        """Where policies are taken from, beside the stores' files."""
        self.dynamic_revision = secrets.randbits(40)
        """Another number after every change of the dynamic rules, and in every run."""
        self.domain = parts.domain(config)
        """None where no domain source is configured."""
        self.pending: list[str] = []
        """Changes of the configuration that wait for the next start (T16)."""
        self.warnings: dict[str, str] = {}
        """What an administrator should know until it is over, by what it is about."""
        self.tally = Tally(parts.now)
        self.hook = Hook(
            parts.rules,
            parts.read_flows,
            parts.read_counters,
            config,
            self.tally,
            parts.expected,
        )
        self.started = parts.now()
        self.parts = parts
        self.lock = asyncio.Lock()
        """One change at a time."""
        self.managed = managed
        self._rules_trouble = ""
        self._generation = self.hook.following(0)
        self.shadow: Shadow | None = None
        """What packets are judged by a second time, only to compare."""
        self.memory = Memory(config, parts.noted)
        self._follower: asyncio.Task[None] | None = None
        drops = (config.diagnostics.level, float(config.diagnostics.interval))
        self.pool = Pool(
            config.queue.numbers,
            parts.start_process,
            drops,
            lambda text: self.event(Event.FAILURE, text),
            self.tally.judged,
            self.tally.died,
        )

    async def stop(self) -> None:
        """The service ends: no rules, no filtering (M15), unless systemd decides about them."""
        if self._follower is not None:
            self._follower.cancel()
        if self.managed:
            self.hook.leave()
            self.parts.say("stopping; whether the rules stay is systemd's to say")
        else:
            await self.hook.remove()
            self.event(Event.PERMIT, "the policy agent stopped: nothing is filtered")
        await self.pool.close()

    async def keep_rules(self, since: float) -> bool:
        """Put the rules back if another program changed them, which it did at `since` or later, in
        seconds of `time.monotonic`; False when they cannot be put back.

        Nobody has to wait for it: it may come between the steps of another change.
        """
        try:
            if await self.hook.keep():
                gap = round((time.monotonic() - since) * 1000)
                back = "they are back" if self.hook.kind else "this host is closed"
                self.event(
                    Event.FAILURE,
                    f"another program removed or changed our rules; {back} after at most"
                    f" {gap:,} ms, and until then packets may have passed unjudged",
                    gap_ms=gap,
                )
        except KernelError as error:
            if str(error) != self._rules_trouble:  # said once, however often it is tried
                self.event(Event.FAILURE, f"our rules cannot be looked after: {error}")
            self._rules_trouble = str(error)
            return False
        self._rules_trouble = ""
        return True

    async def keep_boot_file(self) -> None:
        """Have the next boot begin as the next start would; a failure changes nothing else.

        For whoever holds the lock.
        """
        try:
            await asyncio.to_thread(self.parts.boot_file.keep)
        except IpsecfdError as error:
            warning = f"the start-up rules of the next boot stay as they are: {error}"
            self.warnings[BOOT_FILE] = warning
            self.event(Event.FAILURE, warning)
        else:
            self.warnings.pop(BOOT_FILE, None)

    async def count(self) -> None:
        """Bring the tally up to date, as far as packet processes and kernel answer."""
        await self.pool.reports()
        with contextlib.suppress(KernelError):
            await self.hook.read_learnt()
        if self.shadow is not None:
            self.shadow.add(await self.pool.compared())

    async def enter(self, mode: Mode) -> None:
        """Judge in this mode from now on. For whoever holds the lock."""
        await self._judge_in(mode)
        self.entered(mode)

    async def put_beside(self, shadow: Shadow | None) -> None:
        """Judge by this a second time from now on, only to compare. For whoever holds the lock;
        raises KernelError and changes nothing when it cannot be."""
        before, self.shadow = self.shadow, shadow
        try:
            await self._judge_in(self.mode)
        except BaseException:
            self.shadow = before
            raise

    def host_changed(self, host: Host) -> None:
        """Follow a change of addresses, servers or names of interfaces; several at once are one.

        Where the host is the same as before, only names have changed, and filters for dial-up or
        LAN alone ask for those.
        """
        if host == self.host and not self.settings(self.mode).by_interface:
            return
        self.host = host
        if self._follower is None or self._follower.done():
            self._follower = background(self._follow())

    def settings(self, mode: Mode) -> Settings:
        """What packets are to be judged by in a mode."""
        config = self.config
        settings = Settings(
            mode=mode,
            profile=config.driver_profile,
            exempt=config.exempt_value,
            host=self.host,
            boot_exemptions=config.startup.exemptions,
            table=self.policies.table,
            dialup_table=self.policies.dialup_table,
            dialup_interfaces=config.dialup_interfaces,
            generation=self._generation,
            learn_blocked=unrecorded(config.diagnostics.level),
        )
        return settings if self.shadow is None else self.shadow.beside(settings)

    @property
    def mode_then(self) -> Mode:
        """The mode once other policies are in force: they end only the block mode that those they
        replace had led to, not a mode set by hand."""
        return Mode.SECURE if self.trouble and self.mode_reason == self.trouble else self.mode

    def startup_mode(self, config: Config) -> Mode:
        """The start-up mode of a start now, with this configuration (spec 6.1)."""
        return config.startup.driver_mode(ever_assigned=self.memory.ever_assigned)

    async def _follow(self) -> None:
        """Judge by the host as it is now, however often it has to be tried."""
        host = None
        while host is not self.host:
            async with self.lock:
                host = self.host
                try:
                    await self._judge(self.mode)
                except KernelError as error:
                    host = None
                    warning = f"packets are judged by the addresses that this host had: {error}"
                    if self.warnings.get(HOST) != warning:  # said once, however often it is tried
                        self.event(Event.FAILURE, warning)
                    self.warnings[HOST] = warning
                else:
                    self.warnings.pop(HOST, None)
            if host is None:
                await asyncio.sleep(RETRY_SECONDS)

    async def read(
        self, places: Places, stores: StoreReader | None = None, load: Load | None = None
    ) -> PolicySet:
        """Read what counts, and compile it. Raises IpsecfdError with all mistakes."""
        parts = self.parts
        return await asyncio.to_thread(
            self._read, places, stores or parts.stores, load or parts.load
        )

    def _read(self, places: Places, stores: StoreReader, load: Load) -> PolicySet:
        with garbage.kept():
            return compiled(
                gather(places, stores, load),
                self.config.driver_profile,
                self.policies.version + 1,
                previous=self.policies,
                now=self.parts.now(),
            )

    async def put_in_force(
        self, new: PolicySet, event: Event, message: str, places: Places | None = None
    ) -> None:
        """Swap the policies whole, and with them the places they were read from, if others.

        Raises StateError or KernelError, and the old ones stay, when they cannot be remembered or
        the kernel refuses.
        """
        shadow = None if self.shadow is None else await self.shadow.following(new)
        places = places or self.places
        await asyncio.to_thread(self.memory.remember, new, places)
        before = self.policies, self.places, self.shadow
        self.policies, self.places, self.shadow = new, places, shadow
        mode = self.mode_then
        try:
            await self._judge_in(mode)
        except BaseException:
            self.policies, self.places, self.shadow = before
            raise
        first = self.memory.applied(new, places)
        self.warnings.pop(RELOAD, None)
        if new.was_assigned:
            self.warnings.pop(NEW, None)
        if first:
            await self.keep_boot_file()
        self.applied(event, message)
        self.trouble = None
        if mode is not self.mode:
            self.entered(mode)

    async def take_config(self, config: Config) -> None:
        """Of a configuration read again, what can change while running does."""
        diagnostics = config.diagnostics
        if diagnostics != self.config.diagnostics:
            await self.pool.set_diagnostics(diagnostics.level, float(diagnostics.interval))
            other_level = diagnostics.level != self.config.diagnostics.level
            live = {"level": diagnostics.level, "interval": diagnostics.interval}
            kept = self.config.diagnostics.model_copy(update=live)
            self.config = self.config.model_copy(update={"diagnostics": kept})
            if other_level:  # what was learnt would not be recorded
                await self._judge_in(self.mode)

    def entered(self, mode: Mode) -> None:
        """Packets are judged in a mode by now: log it, and say it."""
        self.mode = mode
        self.mode_reason = self.trouble
        event, message = ENTERED[mode]
        self.event(event, message, mode=str(mode))

    def in_trouble(self, why: str) -> None:
        """What was assigned cannot be applied, for another reason than before."""
        if self.mode_reason == self.trouble:
            self.mode_reason = why
        self.trouble = why

    def applied(self, event: Event, message: str) -> None:
        """The policies in force are others: log it, and say it."""
        new = self.policies
        self.event(
            event,
            f"{message}: {new}",
            policies=[source.policy.name for source in new.sources],
            version=new.version,
            filters=new.filters,
        )

    def event(self, event: Event, message: str, **fields: object) -> None:
        """Log it under Windows' number, and say it."""
        self.parts.log.event(int(event), message, **fields)
        self.parts.say(message)

    async def _judge_in(self, mode: Mode) -> None:
        """The same as `_judge`, and a refusal is logged."""
        try:
            await self._judge(mode)
        except KernelError as error:
            self.event(Event.FAILURE, f"refused: {error}")
            raise

    async def _judge(self, mode: Mode) -> None:
        """Have packets judged in a mode, by what holds now; raises KernelError, and nothing has
        changed.

        First the kernel forgets what it has learnt, so that there is no moment in which it lets
        pass by itself what the new settings would block. To count that can wait until they hold.
        """
        before = self._generation
        self._generation = self.hook.following(before)
        settings = self.settings(mode)
        try:
            await self.hook.relearn(settings)
        except KernelError:
            self._generation = before  # else some refusals later the next would be this one again
            self.hook.settle()
            raise
        await self.pool.install(settings)
        self.hook.settle()
