"""Changes of the policies while the agent runs; each is put in force whole or refused whole."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Final

from ipsecfd.agent import dynamictext, hand_mode, state
from ipsecfd.agent.agent import RELOAD, Agent
from ipsecfd.agent.assigning import Choice, Chosen
from ipsecfd.agent.domain_updates import DomainUpdates
from ipsecfd.agent.events import Event
from ipsecfd.agent.policies import PolicySet, Remembering
from ipsecfd.agent.sources import Held, Load, Places
from ipsecfd.agent.trials import Trials
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.names import Renewal
from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.stores.renewal import renew

_NOT_ASSIGNED: Final = "assignment refused, the old policies stay"
_NOT_RELOADED: Final = "reload refused, the old policies stay"


class Changes:
    """What may be changed of a running agent's policies."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self.trials = Trials(agent)
        self.domain = DomainUpdates(agent, self._remembered)

    async def reload(self) -> list[str]:
        """Read configuration and policies again; what is wrong is refused and the old stays.

        Returns notes for who asked. Raises IpsecfdError with all mistakes.
        """
        agent = self._agent
        async with agent.lock:
            try:
                with self._refusing(_NOT_RELOADED):
                    await self.trials.write_down()
                    config = await asyncio.to_thread(agent.parts.load_config)
            except IpsecfdError:
                await self._note_pending()
                raise
            try:
                with self._refusing(_NOT_RELOADED):
                    places = await asyncio.to_thread(agent.memory.recall, agent.places)
                    new = await agent.read(places)
            except IpsecfdError as error:
                self._note_mistakes("the last reload was refused", error)
                raise
            if places.dynamic != agent.places.dynamic:
                agent.dynamic_revision += 1
            await agent.put_in_force(new, Event.RELOADED, "policies reloaded", places)
            await self._forget_superseded(new)
            await agent.take_config(config)
            await self._note_pending()
            return hand_mode.notes(agent) + agent.pending + new.warnings

    async def take_stores(self) -> list[str]:
        """The stores, or the properties, were changed: have what they hold now in force.

        Returns notes for who asked. Raises IpsecfdError; then what was in force stays.
        """
        agent = self._agent
        async with agent.lock:
            await self._note_pending()
            load = Remembering(agent.parts.load, agent.policies)
            places = await self._remembered()
            new = await self._read(places, load)
            reassigned = _assigned(new.held) != _assigned(agent.policies.held)
            on_trial = self.trials.notes() if reassigned else []
            if new.sources == agent.policies.sources:
                agent.policies = replace(agent.policies, held=new.held)
                if not agent.trouble:
                    standing_in = self._standing_in(agent.places) if reassigned else []
                    return load.notes + standing_in + on_trial
            await agent.put_in_force(new, Event.APPLIED, "the stores changed", places)
            await self._forget_superseded(new)
            standing_in = self._standing_in(agent.places)
            return load.notes + hand_mode.notes(agent) + standing_in + on_trial

    async def resolve(self) -> tuple[Renewal, ...]:
        """Resolve the DNS names of the policies in force anew, and filter by the answers.

        Raises IpsecfdError; then the old answers stay in force.
        """
        agent = self._agent
        async with agent.lock:
            places = await self._remembered()
            names = agent.policies.dns_names
            renewals = await asyncio.to_thread(agent.parts.renew, names)
            if not renewals:
                return ()
            answers = {one.name: one.after for one in renewals if one.after}
            await asyncio.to_thread(self._resolve_stores, answers)
            new = await self._read(places)
            await agent.put_in_force(new, Event.RELOADED, "DNS names resolved anew", places)
            return renewals

    async def assign_file(self, path: Path, confirm: int | None = None) -> list[str]:
        """Make a file the local policy, in place of what was assigned, now and at later starts.

        With `confirm`, taken back after so many seconds unless somebody confirms it. Raises
        IpsecfdError; then the old policies stay.
        """
        return await self._choose(Choice(file=path), "policy assigned", confirm)

    async def assign(self, name: str, confirm: int | None = None) -> list[str]:
        """Assign a policy of the local store; raises IpsecfdError when there is none so named.

        `confirm` as for `assign_file`.
        """
        return await self._choose(Choice(name=name), "policy assigned", confirm)

    async def unassign(self, name: str | None = None, confirm: int | None = None) -> list[str]:
        """Take the local policy away, or only if it has this name; IpsecfdError if it has not.

        `confirm` as for `assign_file`.
        """
        agent = self._agent
        if name is not None and not self._is_assigned(name):
            raise IpsecfdError(
                f'no local policy named "{name}" is assigned; in force: {agent.policies}'
            )
        return await self._choose(Choice(), "policy unassigned", confirm)

    async def set_mode(self, name: str, confirm: int | None = None) -> None:
        """Change the mode until the next start or change; raises IpsecfdError when it cannot be."""
        agent = self._agent
        async with agent.lock:
            self.trials.check_none_pending()
            mode = hand_mode.mode_named(agent, name)
            by_hand = None if mode is Mode.SECURE else name
            async with self.trials.change(f"mode {name}", confirm, mode=by_hand, assigns=False):
                await hand_mode.set_mode(agent, name)

    async def settings_with(self, choice: Choice) -> Settings:
        """What packets would be judged by after another assignment. Raises IpsecfdError."""
        agent = self._agent
        async with agent.lock:
            _, new = await self._candidate(choice)
            settings = agent.settings(agent.mode_then)
            return replace(settings, table=new.table, dialup_table=new.dialup_table)

    async def set_dynamic(self, revision: int, text: str) -> list[str]:
        """Put these dynamic rules in place of those of this revision (spec 8.3).

        Raises IpsecfdError, also when they are not the latest any more; then nothing is changed.
        """
        agent = self._agent
        content = await asyncio.to_thread(dynamictext.parse, text)
        async with agent.lock:
            if revision != agent.dynamic_revision:
                raise IpsecfdError("somebody else has just changed the dynamic rules: try again")
            places = replace(await self._remembered(), dynamic=content)
            load = Remembering(agent.parts.load, agent.policies)
            new = await self._read(places, load)
            await self._keep_dynamic(content)
            try:
                await agent.put_in_force(new, Event.APPLIED, "dynamic rules changed", places)
            except IpsecfdError:
                await self._keep_dynamic(agent.places.dynamic)
                raise
            agent.dynamic_revision += 1
            return load.notes

    async def _note_pending(self) -> None:
        """Work out what waits for the next start (T16)."""
        agent = self._agent
        try:
            coming = await asyncio.to_thread(agent.parts.load_next_config)
            behind = agent.memory.left_behind(coming)
        except IpsecfdError as error:
            agent.pending = [f"the next start will fail: {_first(error, 'ipsecfd run --check')}"]
        else:
            changes = agent.config.changes(coming)
            agent.pending = [f"{change}: takes effect at the next start" for change in changes]
            agent.pending += behind
            await agent.keep_boot_file()

    async def look_again(self) -> None:
        """See whether a start could read what is assigned, and have `status` say if it could not.

        For whoever holds the lock, after a failure that may be of that. Where there is trouble
        already, that is told.
        """
        agent = self._agent
        if agent.starting or agent.trouble:
            return
        try:
            await agent.read(agent.places)
        except IpsecfdError as error:
            self._note_mistakes("what is assigned can no longer be read", error)
        else:
            agent.warnings.pop(RELOAD, None)

    def _note_mistakes(self, what: str, error: IpsecfdError) -> None:
        """Have `status` tell what the next start would find in the policies."""
        agent = self._agent
        if agent.trouble:
            agent.in_trouble(str(error))
            return
        outcome = "fail" if agent.given else "end in block mode"
        mistake = _first(error, "ipsecfd reload")
        agent.warnings[RELOAD] = f"{what}, and a start would {outcome}: {mistake}"

    async def _read(self, places: Places, load: Load | None = None) -> PolicySet:
        try:
            with self._refusing("the change is not in force, the old policies stay"):
                found = await self._agent.read(places, load=load)
        except IpsecfdError:
            await self.look_again()
            raise
        if RELOAD in self._agent.warnings:
            await self.look_again()
        return found

    async def _choose(self, choice: Choice, message: str, confirm: int | None) -> list[str]:
        """Have another local policy in force."""
        agent = self._agent
        async with agent.lock:
            self.trials.check_none_pending()
            places, new = await self._candidate(choice)
            by_hand = hand_mode.hand_mode(agent)
            async with self.trials.change(str(choice), confirm, mode=by_hand, assigns=True):
                with self._refusing(_NOT_ASSIGNED):
                    await asyncio.to_thread(self.trials.assignments.choose, choice)
                await agent.put_in_force(new, Event.APPLIED, message, places)
        notes = hand_mode.notes(agent)
        if agent.given:
            notes.append(
                "ipsecfd runs with --policy: at the next start those files are in force again"
            )
        return notes + self._standing_in(places) + new.warnings

    async def _candidate(self, choice: Choice) -> tuple[Places, PolicySet]:
        """What would be in force with another assignment; nothing is changed."""
        agent = self._agent
        places = replace(agent.places, given=(), assigned=choice.file)
        try:
            with self._refusing(_NOT_ASSIGNED):
                if choice.file is not None and places.domain is not None:
                    await asyncio.to_thread(agent.parts.load, choice.file)  # wrong, in force or not
                return places, await agent.read(places, Chosen(agent.parts.stores, choice))
        except IpsecfdError:
            await self.look_again()
            raise

    async def _keep_dynamic(self, content: DynamicContent) -> None:
        """Have dynamic rules at the next start, where that is asked for; raises IpsecfdError."""
        config = self._agent.config
        if config.dynamic_persist:
            with self._refusing("the dynamic rules stay as they are"):
                await asyncio.to_thread(dynamictext.save, config.state_dir, content)

    @staticmethod
    def _standing_in(places: Places) -> list[str]:
        """Notes on why a policy of the local store may not be in force."""
        if places.domain is not None and places.domain.replaces_local:
            return ["the domain policy replaces the local one, which is not in force"]
        if places.given:
            return ["ipsecfd runs with --policy: the policy of the local store is not in force"]
        return []

    async def _remembered(self) -> Places:
        """The places; what could not be recalled at the start must be by now, what was must not be
        lost, and what was taken back must be written down.

        Raises IpsecfdError: as long as nobody knows what was assigned, nothing is opened.
        """
        agent = self._agent
        with self._refusing("the change is not in force"):
            await self.trials.write_down()
            if agent.trouble:
                return await asyncio.to_thread(agent.memory.recall, agent.places)
            await asyncio.to_thread(agent.memory.check, agent.places)
        return agent.places

    def _is_assigned(self, name: str) -> bool:
        policies = self._agent.policies
        in_force = (one.policy.name for one in policies.sources if one.store is Store.LOCAL)
        stored = (one.assigned for one in policies.held if one.store is Store.LOCAL)
        return name_key(name) in {name_key(one) for one in (*in_force, *stored) if one}

    async def _forget_superseded(self, new: PolicySet) -> None:
        """A policy was assigned in the local store: a file that was is not any more (spec 1.1)."""
        agent = self._agent
        stored = any(one.store is Store.LOCAL and one.assigned for one in new.held)
        if agent.places.assigned is not None and stored:
            await asyncio.to_thread(state.save, agent.config.state_dir, None)
            agent.places = replace(agent.places, assigned=None)

    def _resolve_stores(self, answers: Mapping[str, tuple[IPAddress, ...]]) -> None:
        """Put new addresses of DNS names into the stores, which keep those they had."""
        for store in (Store.LOCAL, Store.PERSISTENT):
            if any(one.store is store for one in self._agent.policies.sources):
                with self._agent.parts.stores.edit(store) as draft:
                    renew(draft, answers)

    @contextlib.contextmanager
    def _refusing(self, message: str) -> Iterator[None]:
        """Log what the body raises as the reason why something is refused."""
        try:
            yield
        except IpsecfdError as error:
            self._agent.event(Event.FAILED, f"{message}: {error}")
            raise


def _assigned(held: Iterable[Held]) -> str | None:
    """The policy that is assigned in the local store."""
    return next((one.assigned for one in held if one.store is Store.LOCAL), None)


def _first(error: IpsecfdError, command: str) -> str:
    """The first of several mistakes, and which command tells the others."""
    mistake, *others = str(error).split("\n")
    return f"{mistake} (and {len(others):,} more: `{command}`)" if others else mistake
