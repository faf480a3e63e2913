"""Changes on trial: taken back by the agent unless somebody confirms them in time.

The time is the kernel's since boot, which no setting of the clock moves and which goes on while the
host is suspended. Another boot is too late in any case.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Final

from ipsecfd.agent import state
from ipsecfd.agent import trial as record
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.assigning import Assignments
from ipsecfd.agent.events import Event
from ipsecfd.agent.hand_mode import hand_mode, let_policies_decide, set_mode
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.sources import Places
from ipsecfd.agent.state import StateError
from ipsecfd.agent.trial import Assignment, Trial
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.boottime import BootTime

LONGEST: Final = 86_400
"""Seconds that a trial may last: whoever needs more has not been locked out."""
LOOK_SECONDS: Final = 0.5
"""How often the time left of a trial is looked at: no timer here goes on while the host is
suspended."""
RETRY_SECONDS: Final = 5.0
"""A pause after a change could not be taken back."""
_BACK: Final = "the policies before are back"
_ABOUT: Final = "trial"


class Trials:
    """The change on trial of a running agent; there is one at most."""

    def __init__(self, agent: Agent) -> None:
        self._agent = agent
        self._state_dir = agent.config.state_dir
        parts = agent.parts
        self.assignments = Assignments(parts.stores, parts.load, self._state_dir, parts.noted)
        self.pending: Trial | None = None
        self._unwritten: Trial | None = None
        """A change that is taken back, but for the disk, which took no change."""
        self._wake = asyncio.Event()
        """Set when there is something to look after again."""
        self._last = ""
        """What became of the latest change, for those who come too late."""

    @property
    def left(self) -> float:
        """Seconds until the pending change is taken back."""
        if self.pending is None:
            return 0.0
        now, end = self._agent.parts.boottime(), self.pending.end
        return max(0.0, end.seconds - now.seconds) if now.boot == end.boot else 0.0

    def check_none_pending(self) -> None:
        """Refuse another change while one is on trial: it would be unclear what comes back.

        Raises IpsecfdError then.
        """
        if self.pending is not None:
            raise IpsecfdError(
                f"{self.pending.what} is on trial for another {self.left:.0f} s: first"
                " `ipsecfd confirm` or `ipsecfd rollback`"
            )

    def notes(self) -> list[str]:
        """What to tell whoever has assigned something else all the same, in the store itself."""
        if self.pending is None or self.pending.previous is None:
            return []
        note = (
            f"{self.pending.what} is on trial for another {self.left:.0f} s: unless `ipsecfd"
            " confirm` is given by then, what was assigned before it is assigned again"
        )
        return [note]

    @asynccontextmanager
    async def change(
        self, what: str, seconds: int | None, *, mode: str | None, assigns: bool
    ) -> AsyncIterator[None]:
        """Make a change in the body; with `seconds`, on trial for so long.

        `mode` is the one set by hand that then holds, if any. What the body did to the assignment
        is undone if it fails, later where the disk takes nothing now. For whoever holds the agent's
        lock. Raises IpsecfdError.
        """
        agent = self._agent
        if seconds is not None and not 1 <= seconds <= LONGEST:
            raise IpsecfdError(f"{seconds} s on trial: expected 1 to {LONGEST}")
        if not assigns and seconds is None:  # the disk knows of no mode
            yield
            return
        await self.write_down()
        previous: Assignment | None = None
        if assigns:
            previous = await asyncio.to_thread(
                self.assignments.now,
                agent.places,
                agent.policies,
                failed=agent.trouble is not None,
            )
        trial = Trial(what, seconds or 0, self._in(seconds or 0), mode, hand_mode(agent), previous)
        if seconds is None:  # a record that is there all the same would undo this change
            await asyncio.to_thread(record.forget, self._state_dir)
        else:
            await asyncio.to_thread(record.save, self._state_dir, trial)
        try:
            yield
        except IpsecfdError:
            await self._undo_refused(trial)
            raise
        agent.warnings.pop(_ABOUT, None)
        if seconds is not None:
            self.pending = trial
            self._wake.set()
            agent.event(
                Event.APPLIED,
                f"{what} is on trial for {seconds} s: `ipsecfd confirm` keeps it",
            )

    async def confirm(self) -> str:
        """Keep the change that is on trial, and say which; IpsecfdError when there is none."""
        async with self._agent.lock:
            if self.pending is None:
                raise self._nothing()
            if not self.left:
                raise IpsecfdError(f"too late: {self.pending.what} is being taken back")
            what = self.pending.what
            await asyncio.to_thread(record.forget, self._state_dir)
            self.pending = None
            self._ended(what, "confirmed")
            self._agent.event(Event.APPLIED, f"{what} is confirmed")
            return what

    async def rollback(self, why: str) -> str:
        """Take the change back that is on trial, and say which; IpsecfdError if it cannot be.

        A disk that is full or read-only is no reason: what it should say is written later.
        """
        agent = self._agent
        async with agent.lock:
            trial = self.pending
            if trial is None:
                raise self._nothing()
            trouble = await self._policies_back(trial.previous)
            if trial.previous_mode is None:
                await let_policies_decide(agent)
            elif hand_mode(agent) != trial.previous_mode:
                await set_mode(agent, trial.previous_mode)
            self.pending = None
            agent.warnings.pop(_ABOUT, None)
            self._ended(trial.what, "taken back")
            agent.event(Event.APPLIED, f"{why}: {trial.what} is taken back")
            trouble = trouble or await self._forget_record()
            if trouble is not None:
                self._write_later(
                    trial,
                    f"{trial.what} is taken back, but that cannot be written down, so a start may"
                    f" find it on trial again: {trouble}",
                )
            await agent.keep_boot_file()
            return trial.what

    async def write_down(self) -> None:
        """Have the disk say, too, what was taken back, if it does not.

        Policies are read from disk only after this: before, it says what locked people out. For
        whoever holds the agent's lock. Raises IpsecfdError when the disk still takes nothing.
        """
        trial = self._unwritten
        if trial is None:
            return
        try:
            if trial.previous is not None:
                await self._assign_again(trial.previous)
            await asyncio.to_thread(record.forget, self._state_dir)
        except IpsecfdError as error:
            raise IpsecfdError(
                f"{trial.what} is taken back, and that must be written down first: {error}"
            ) from error
        self._unwritten = None
        self._agent.warnings.pop(_ABOUT, None)
        self._agent.event(Event.APPLIED, f"{trial.what} is taken back on disk, too")

    async def before_start(self) -> None:
        """What comes before anything else of a start: a change whose time is up is undone on disk.

        So it never is in force again. Call it before anybody can reach the agent.
        """
        agent = self._agent
        try:
            trial = await asyncio.to_thread(record.load, self._state_dir)
        except StateError as error:
            self._warn(f"a change may have been on trial, and is not taken back: {error}")
            return
        if trial is None:
            return
        given = agent.places.given  # the command line decides; what was on trial is not in force
        if trial.end.boot != agent.parts.boottime().boot:
            trial = replace(trial, mode=None, previous_mode=None)  # modes end with their run
        if trial.previous is not None and trial.previous.given:
            trial = replace(trial, previous=replace(trial.previous, given=(), policies=()))
        if given:
            trial = replace(trial, end=self._in(0))
        self.pending = trial
        if self.left or trial.previous is None:
            return
        try:
            await asyncio.to_thread(self._undo_on_disk, trial.previous)
            if given:
                self.pending = replace(trial, previous=None)
        except IpsecfdError as error:
            agent.event(Event.FAILURE, f"{trial.what} cannot be taken back yet: {error}")

    async def after_start(self) -> None:
        """Go on with what an earlier run had on trial: wait for the rest, or take it back."""
        if self.pending is None:
            return
        if not self.left:
            await self.check()
            return
        agent, trial = self._agent, self.pending
        agent.event(Event.APPLIED, f"{trial.what} is still on trial, for {self.left:.0f} s")
        async with agent.lock:
            if trial.mode is not None and self.pending is trial:
                try:
                    await set_mode(agent, trial.mode)
                except IpsecfdError as error:
                    agent.event(Event.FAILURE, f"mode {trial.mode} cannot be set again: {error}")

    async def check(self) -> float | None:
        """Take back what was not confirmed in time; seconds until the next call, None for no call
        before something is on trial."""
        if self._unwritten is not None:
            try:
                async with self._agent.lock:
                    await self.write_down()
            except IpsecfdError:
                return RETRY_SECONDS
        if self.pending is None:
            return None
        if self.left:
            return min(self.left, LOOK_SECONDS)
        try:
            await self.rollback("not confirmed in time")
        except IpsecfdError as error:
            if self.pending is not None:
                self._warn(f"{self.pending.what} cannot be taken back yet: {error}")
            return RETRY_SECONDS
        return None

    async def watch(self) -> None:
        """Take back whatever is not confirmed in time, for ever."""
        while True:
            self._wake.clear()
            pause = await self.check()
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _undo_refused(self, trial: Trial) -> None:
        """Have the disk say what it said before a change that was refused.

        The record goes last: without power in between, the next start undoes the rest.
        """
        try:
            if trial.previous is not None:
                await asyncio.to_thread(self.assignments.put_back, trial.previous)
            await asyncio.to_thread(record.forget, self._state_dir)
        except IpsecfdError as error:
            self._write_later(
                trial,
                f"{trial.what} was refused, but that cannot be written down, so a start may take"
                f" it up: {error}",
            )

    def _write_later(self, trial: Trial, warning: str) -> None:
        """Tell of it until the disk says that this change is taken back."""
        self._unwritten = trial
        self._wake.set()
        self._warn(warning)

    def _undo_on_disk(self, was: Assignment) -> None:
        self.assignments.put_back(was)
        self.assignments.kept(was, Places(assigned=state.load(self._state_dir).assigned))

    def _nothing(self) -> IpsecfdError:
        """Why there is nothing to end; and what holds now, for the latest trial may be history."""
        now = f"now {self._agent.mode} mode, {self._agent.policies}"
        return IpsecfdError(f"nothing is on trial{self._last}; {now}")

    def _ended(self, what: str, how: str) -> None:
        self._last = f"; {what} was {how} at {self._agent.parts.now().astimezone():%H:%M:%S}"

    def _warn(self, warning: str) -> None:
        """Log this, once however often it is tried, and have `status` tell it until it is over."""
        if warning != self._agent.warnings.get(_ABOUT):
            self._agent.warnings[_ABOUT] = warning
            self._agent.event(Event.FAILURE, warning)

    async def _policies_back(self, was: Assignment | None) -> IpsecfdError | None:
        """Have the policies in force that were, on disk too; says why not there. Raises
        IpsecfdError when they cannot be in force."""
        if was is not None:
            try:
                await self._assign_again(was)
            except IpsecfdError as error:
                await self._assign_unwritten(was, error)
                return error
        return None

    async def _forget_record(self) -> IpsecfdError | None:
        """Have nothing on trial for later starts; says why that is not so."""
        try:
            await asyncio.to_thread(record.forget, self._state_dir)
        except StateError as error:
            return error
        return None

    async def _assign_again(self, was: Assignment) -> None:
        """Have the policies in force that were."""
        agent = self._agent
        await asyncio.to_thread(self.assignments.put_back, was)
        try:
            places = replace(agent.memory.recall(agent.places), given=was.given)
            places = await asyncio.to_thread(self.assignments.kept, was, places)
            new = await agent.read(places)
        except IpsecfdError as error:
            if not was.failed:
                raise
            await self._close_again(error)
        else:
            await agent.put_in_force(new, Event.APPLIED, _BACK, places)

    async def _assign_unwritten(self, was: Assignment, trouble: IpsecfdError) -> None:
        """The same when the disk takes nothing, as `trouble` says."""
        if was.failed:
            await self._close_again(trouble)
            return
        agent = self._agent
        sources = await asyncio.to_thread(self.assignments.unwritten, was, agent.places)
        await agent.put_in_force(await agent.read(*sources), Event.APPLIED, _BACK, sources[0])

    async def _close_again(self, error: IpsecfdError) -> None:
        """What was assigned cannot be applied, as before the change."""
        agent = self._agent
        agent.policies = PolicySet(version=agent.policies.version)
        agent.trouble = str(error)  # as at a start (spec 6.5)
        agent.event(Event.FAILED, f"what is assigned cannot be applied: {error}")
        await agent.enter(Mode.BLOCK)

    def _in(self, seconds: int) -> BootTime:
        now = self._agent.parts.boottime()
        return BootTime(now.boot, now.seconds + seconds)
