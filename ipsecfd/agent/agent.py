"""The Policy Agent: start-up order, modes and policies (spec 1.5, 6.5). It judges nothing itself.

What it acts through (rules, packet processes, log) is handed to it, so every order of events can
be played in a test without a kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from pathlib import Path

from ipsecfd.agent import state
from ipsecfd.agent.config import Config
from ipsecfd.agent.events import ENTERED, MODES, Event
from ipsecfd.agent.hook import Hook
from ipsecfd.agent.parts import Parts
from ipsecfd.agent.policies import PolicySet, read
from ipsecfd.agent.pool import Pool
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.errors import KernelError
from ipsecfd.policy.names import Renewal


class Agent:
    """One run of the agent, from start to stop.

    `policies` are the files of `--policy`; without any, what was assigned in an earlier run is in
    force. `managed` says that systemd decides after the end whether the rules stay.
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
        self.mode_reason: str | None = None
        """Why the mode is not secure, in words."""
        self.trouble: str | None = None
        """Why the assigned policy could not be applied; the mode is then block (spec 6.5)."""
        self.policies = PolicySet()
        self.pending: list[str] = []
        """Changes of the configuration that wait for the next start (T16)."""
        self.hook = Hook(parts.rules, config)
        self.started = parts.now()
        self.judging_since = self.started
        """When mode, policies or addresses last changed."""
        self._parts = parts
        self._given = bool(policies)
        self._paths = tuple(policies)
        self._managed = managed
        self._ever_assigned = False
        self._lock = asyncio.Lock()  # one change at a time
        self._follower: asyncio.Task[None] | None = None
        numbers = range(config.queue.number, config.queue.number + config.queue.processes)
        drops = (config.diagnostics.level, float(config.diagnostics.interval))
        self.pool = Pool(
            numbers, parts.start_process, drops, lambda text: self._event(Event.FAILURE, text)
        )

    async def start(self) -> None:
        """From nothing, or from what an earlier run left, to the policies in force (spec 6.5).

        Leftover rules keep the host closed until it is judged in secure mode. Raises IpsecfdError
        when there is no way; then leftover rules still stand, and there are none where none were
        before, unless this is the boot of a host that had a policy: systemd decides about those.
        """
        parts = self._parts
        async with self._lock:
            leftover = await self.hook.present()
            self._event(Event.STARTED, "the policy agent starts")
            try:
                self._recall()
            except state.StateError as error:
                if not self._given:
                    self.trouble = str(error)
            startup_mode = self.startup_mode()
            reading = asyncio.create_task(self._read(self._paths))
            try:
                if leftover:
                    parts.say("rules of an earlier run are there: closed until policies decide")
                    mode = await self._first_mode(reading)
                    await self.pool.open(self.settings(mode))
                    await self.hook.install()
                else:
                    await self.pool.open(self.settings(startup_mode))
                    await self.hook.install()
                    self._entered(startup_mode)
                    mode = await self._first_mode(reading)
                    await self._judge_by(self.settings(mode))
            except BaseException:
                reading.cancel()
                with contextlib.suppress(asyncio.CancelledError, IpsecfdError):
                    await reading
                keep = leftover or (self._managed and self._ever_assigned)
                if self.hook.kind and not keep:
                    await self.hook.remove()
                await self.pool.close()
                raise
            self._entered(mode)
            parts.say(f"packets come by {self.hook.kind}, queue {self.config.queue.number}")

    async def stop(self) -> None:
        """The service ends: no rules, no filtering (M15), unless systemd decides about them."""
        if self._follower is not None:
            self._follower.cancel()
        if self._managed:
            self._parts.say("stopping; whether the rules stay is systemd's to say")
        else:
            await self.hook.remove()
            self._event(Event.PERMIT, "the policy agent stopped: nothing is filtered")
        await self.pool.close()

    async def keep_rules(self) -> None:
        """Put the rules back when another program flushed them; call it every few seconds."""
        if self._lock.locked():
            return  # whoever changes something now may take long; the next call will do
        async with self._lock:
            try:
                if not await self.hook.present():
                    await self.hook.install()
                    self._event(Event.FAILURE, "our rules were gone: installed again")
            except KernelError as error:
                self._event(Event.FAILURE, f"our rules cannot be looked after: {error}")

    async def set_mode(self, name: str) -> None:
        """Change the mode until the next start or change; raises IpsecfdError when it cannot be."""
        if name not in MODES:
            raise IpsecfdError(f"{name!r} is not a mode: expected one of {', '.join(MODES)}")
        async with self._lock:
            mode = MODES[name]
            if mode is Mode.SECURE and self.trouble:
                raise IpsecfdError(
                    f"the assigned policy cannot be applied, so there is no secure mode:\n"
                    f"{self.trouble}\nmend it, then `ipsecfd reload`"
                )
            await self._judge_by(self.settings(mode))
            self._entered(mode)
            if mode is not Mode.SECURE:
                self.mode_reason = "set by hand, until the next start"

    async def reload(self) -> list[str]:
        """Read configuration and policies again; what is wrong is refused and the old stays.

        Returns notes for who asked. Raises IpsecfdError with all mistakes.
        """
        async with self._lock:
            try:
                config = await asyncio.to_thread(self._parts.load_config)
                if self.trouble:
                    self._recall()
                new = await self._read(self._paths)
            except IpsecfdError as error:
                self._refused("reload refused, the old policies stay", error)
                raise
            await self._put_in_force(new, Event.RELOADED, "policies reloaded")
            return await self._take_config(config) + new.warnings

    async def resolve(self) -> tuple[Renewal, ...]:
        """Resolve the DNS names of the policies in force anew, and filter by the answers."""
        async with self._lock:
            renewals = await asyncio.to_thread(self._parts.renew, self.policies.dns_names)
            if not renewals:
                return ()
            try:
                new = await self._read(self._paths)
            except IpsecfdError as error:
                self._refused("the new answers are not used, the old policies stay", error)
                raise
            await self._put_in_force(new, Event.RELOADED, "DNS names resolved anew")
            return renewals

    async def assign(self, path: Path) -> list[str]:
        """Make a file the local policy, in place of what was assigned, now and at later starts."""
        async with self._lock:
            try:
                new = await self._read((path,))
            except IpsecfdError as error:
                self._refused("assignment refused, the old policies stay", error)
                raise
            state.save(self.config.state_dir, path)
            await self._put_in_force(new, Event.APPLIED, "policy assigned")
            self._paths = (path,)
            return self._note_given() + new.warnings

    async def unassign(self, name: str | None = None) -> list[str]:
        """Take the local policy away, or only if it has this name; nothing is filtered then."""
        async with self._lock:
            assigned = [source.policy.name for source in self.policies.sources]
            if name is not None and name not in assigned:
                raise IpsecfdError(f'no policy named "{name}" is in force: {self.policies}')
            new = await self._read(())
            state.save(self.config.state_dir, None)
            await self._put_in_force(new, Event.APPLIED, "policy unassigned")
            self._paths = ()
            return self._note_given()

    def host_changed(self, host: Host) -> None:
        """Follow a change of addresses or servers; several at once are one."""
        self.host = host
        if self._follower is None or self._follower.done():
            self._follower = asyncio.create_task(self._follow())

    def settings(self, mode: Mode) -> Settings:
        """What packets are to be judged by in a mode."""
        config = self.config
        return Settings(
            mode=mode,
            profile=config.driver_profile,
            exempt=config.exempt_value,
            host=self.host,
            boot_exemptions=config.startup.exemptions,
            table=self.policies.table,
            dialup_table=self.policies.dialup_table,
            dialup_interfaces=config.dialup_interfaces,
        )

    def startup_mode(self) -> Mode:
        """The start-up mode of the next start (spec 6.1)."""
        return self.config.startup.driver_mode(ever_assigned=self._ever_assigned)

    async def _follow(self) -> None:
        host = None
        while host is not self.host:
            async with self._lock:
                host = self.host
                try:
                    await self._judge_by(self.settings(self.mode))
                except IpsecfdError as error:
                    self._parts.say(f"new addresses could not be taken over: {error}")

    def _recall(self) -> None:
        """Learn what earlier runs left in `state_dir`; raises StateError when it is damaged."""
        self._ever_assigned = True  # as long as nothing says that it was not so
        found = state.load(self.config.state_dir)
        self._ever_assigned = found.ever_assigned
        if not self._given:
            self._paths = () if found.assigned is None else (found.assigned,)

    async def _first_mode(self, reading: asyncio.Task[PolicySet]) -> Mode:
        """The policies of a start, when they are read, and the mode that follows from them.

        A policy that was assigned and cannot be applied is operational block (spec 6.5); a file
        that the command line names is a mistake of the command.
        """
        try:
            policies = await reading
            if policies.sources and not self._ever_assigned:
                state.save(self.config.state_dir, None)
                self._ever_assigned = True
        except IpsecfdError as error:
            if self._given:
                self._parts.log.event(int(Event.FAILED), f"policy not applied: {error}")
                raise
            self.trouble = str(error)
        if self.trouble:
            self._event(Event.FAILED, f"the assigned policy cannot be applied: {self.trouble}")
            return Mode.BLOCK
        self.policies = policies
        if policies.sources:
            self._applied(Event.APPLIED, "policy applied")
        return Mode.SECURE

    async def _read(self, paths: Sequence[Path]) -> PolicySet:
        return await asyncio.to_thread(
            read,
            paths,
            self._parts.load,
            self.config.driver_profile,
            self.policies.version + 1,
            previous=self.policies,
            now=self._parts.now(),
        )

    async def _put_in_force(self, new: PolicySet, event: Event, message: str) -> None:
        """Swap the policies whole; when the packet processes refuse, the old ones stay."""
        old, self.policies = self.policies, new
        mode = Mode.SECURE if self.trouble else self.mode
        try:
            await self._judge_by(self.settings(mode))
        except BaseException:
            self.policies = old
            raise
        if new.sources:
            self._ever_assigned = True
        self._applied(event, message)
        if self.trouble:
            self.trouble = None
            self._entered(mode)

    async def _take_config(self, config: Config) -> list[str]:
        """Of a configuration read again, what can change while running does."""
        diagnostics = config.diagnostics
        if diagnostics != self.config.diagnostics:
            await self.pool.set_diagnostics(diagnostics.level, float(diagnostics.interval))
            live = {"level": diagnostics.level, "interval": diagnostics.interval}
            kept = self.config.diagnostics.model_copy(update=live)
            self.config = self.config.model_copy(update={"diagnostics": kept})
        self.pending = [
            f"{change}: takes effect at the next start" for change in self.config.changes(config)
        ]
        return self.pending

    async def _judge_by(self, settings: Settings) -> None:
        await self.pool.install(settings)
        self.judging_since = self._parts.now()

    def _note_given(self) -> list[str]:
        if not self._given:
            return []
        return ["ipsecfd runs with --policy: at the next start those files are in force again"]

    def _entered(self, mode: Mode) -> None:
        self.mode = mode
        self.mode_reason = self.trouble
        event, message = ENTERED[mode]
        self._event(event, message, mode=str(mode))

    def _applied(self, event: Event, message: str) -> None:
        new = self.policies
        self._event(
            event,
            f"{message}: {new}",
            policies=[source.policy.name for source in new.sources],
            version=new.version,
            filters=new.filters,
        )

    def _refused(self, message: str, error: IpsecfdError) -> None:
        self._event(Event.FAILED, f"{message}: {error}")

    def _event(self, event: Event, message: str, **fields: object) -> None:
        self._parts.log.event(int(event), message, **fields)
        self._parts.say(message)
