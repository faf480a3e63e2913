"""Whenever the agent is killed or the power goes, the old policy counts then or the new one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ipsecfd.agent import dynamictext
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.content import StoredPolicy
from tests.property.disk import CutError, Disk
from tests.unit.agent.stage import Stage, content, dynamic

SECONDS = 60
"""How long each trial is."""
ONE_FILE = 5
"""Steps in which a file is replaced: create, write, sync, replace, sync the directory."""

Act = Callable[[Stage, Changes], Awaitable[object]]


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    """All that is written in the test, by one thread."""

    async def at_once(
        function: Callable[..., object], *arguments: object, **named: object
    ) -> object:
        return function(*arguments, **named)

    monkeypatch.setattr(asyncio, "to_thread", at_once)
    return Disk(monkeypatch)


async def started(stage: Stage) -> tuple[Agent, Changes]:
    """A run of the agent, as the service starts it."""
    agent = stage.agent()
    changes = Changes(agent)
    await changes.trials.before_start()
    await start(agent)
    await changes.trials.after_start()
    return agent, changes


def in_force(agent: Agent) -> str:
    """The mode, and the policies that count."""
    return " ".join([str(agent.mode), *(one.policy.name for one in agent.policies.sources)])


def reboot(stage: Stage, disk: Disk) -> None:
    """The power went, and came back."""
    disk.lose_power()
    shutil.rmtree(stage.directory / "run")
    stage.boot, stage.rules_there = "another boot", False


async def interrupted(
    directory: Path,
    disk: Disk,
    before: Act,
    act: Act,
    *,
    power: bool,
    configuration: str = "",
) -> tuple[set[str], set[str], int]:
    """Cut an act before each of its steps: what is in force after the next start, what when no
    trial can go on any more, and how many steps there were."""
    then, finally_ = set(), set()
    for last in itertools.count():
        place = directory / str(last)
        place.mkdir()
        stage = Stage(place)
        stage.config_text = configuration
        stage.policy_file("web", "permit any <-> me:80 tcp")
        stage.policy_file("other", "block me <-> any")
        agent, changes = await started(stage)
        await before(stage, changes)
        disk.begin(stage.state_dir, last)
        with contextlib.suppress(CutError):
            await act(stage, changes)
        disk.end()
        stage.crash(agent)
        if power:
            reboot(stage, disk)
        agent, changes = await started(stage)
        then.add(in_force(agent))
        stage.clock.seconds += SECONDS + 1
        await changes.trials.check()
        finally_.add(in_force(agent))
        stage.crash(agent)
        agent, _ = await started(stage)
        finally_.add(in_force(agent))
        stage.crash(agent)
        if not disk.cut:
            return then, finally_, len(disk.steps)
    raise AssertionError


def having(assigned: str) -> Act:
    """A host with a policy in its store, and this one assigned."""

    async def before(stage: Stage, changes: Changes) -> None:
        stage.stores.replace(Store.LOCAL, content("stored", assigned=False))
        await changes.take_stores()
        await choosing(assigned, None)(stage, changes)

    return before


def choosing(name: str, confirm: int | None) -> Act:
    """Have another policy assigned: a file, the stored one, or none."""

    async def act(_: Stage, changes: Changes) -> None:
        if name == "stored":
            await changes.assign(name, confirm)
        elif name:
            await changes.assign_file(Path("/etc/ipsecfd") / name, confirm)
        else:
            await changes.unassign(None, confirm)

    return act


def secure(*names: str) -> set[str]:
    """What is in force where these are, one or the other; "" stands for none."""
    return {f"secure {name}".strip() for name in names}


CHANGES = [
    ("web", "other"),
    ("web", "stored"),
    ("web", ""),
    ("stored", "other"),
    ("stored", ""),
    ("", "stored"),
    ("", "other"),
]


POWER = pytest.mark.parametrize("power", [False, True], ids=["kill", "power"])


@POWER
@pytest.mark.parametrize(("old", "new"), CHANGES)
async def test_assignment(tmp_path: Path, disk: Disk, old: str, new: str, *, power: bool) -> None:
    """A file, a policy of the store, or none, in place of another one."""
    then, finally_, steps = await interrupted(
        tmp_path, disk, having(old), choosing(new, None), power=power
    )
    assert then <= secure(old, new)
    assert finally_ <= secure(old, new)
    assert steps >= ONE_FILE


TRIALS = [("stored", "other"), ("", "stored")]


def both(*acts: Act) -> Act:
    """One after the other."""

    async def act(stage: Stage, changes: Changes) -> None:
        for one in acts:
            await one(stage, changes)

    return act


@POWER
@pytest.mark.parametrize(("old", "new"), TRIALS)
async def test_begin_of_a_trial(
    tmp_path: Path, disk: Disk, old: str, new: str, *, power: bool
) -> None:
    """However far it came, the old policy is back when the time is over or the host has booted."""
    then, finally_, steps = await interrupted(
        tmp_path, disk, having(old), choosing(new, SECONDS), power=power
    )
    assert then == (secure(old) if power else secure(old, new))
    assert finally_ == secure(old)
    assert steps > ONE_FILE


@POWER
@pytest.mark.parametrize(("old", "new"), TRIALS)
async def test_confirmation(tmp_path: Path, disk: Disk, old: str, new: str, *, power: bool) -> None:
    """It holds or it does not."""
    before = both(having(old), choosing(new, SECONDS))
    then, finally_, _ = await interrupted(
        tmp_path, disk, before, lambda _, changes: changes.trials.confirm(), power=power
    )
    assert then == (secure(old, new) if power else secure(new))
    assert finally_ == secure(old, new)


async def roll_back(_: Stage, changes: Changes) -> None:
    """What `ipsecfd rollback` does."""
    await changes.trials.rollback("rolled back")


async def run_out(stage: Stage, changes: Changes) -> None:
    """The time of a trial is over while the agent runs."""
    stage.clock.seconds += SECONDS
    await changes.trials.check()


async def start_too_late(stage: Stage, changes: Changes) -> None:
    """The agent was killed, and the next run begins after the time."""
    stage.crash(changes._agent)
    stage.clock.seconds += SECONDS
    await started(stage)


@POWER
@pytest.mark.parametrize("end", [roll_back, run_out, start_too_late])
@pytest.mark.parametrize(("old", "new"), TRIALS)
async def test_end_of_a_trial(
    tmp_path: Path, disk: Disk, old: str, new: str, end: Act, *, power: bool
) -> None:
    """To take a change back goes on where it was cut."""
    before = both(having(old), choosing(new, SECONDS))
    then, finally_, steps = await interrupted(tmp_path, disk, before, end, power=power)
    assert then <= (secure(old, new) if end is roll_back else secure(old))
    assert finally_ == secure(old)
    assert steps >= ONE_FILE


async def delete_stored(stage: Stage, changes: Changes) -> None:
    """Delete the policy that was assigned before the trial."""
    with stage.stores.edit(Store.LOCAL) as draft:
        draft.delete_policy("stored")
    await changes.take_stores()


@POWER
@pytest.mark.parametrize("end", [roll_back, start_too_late])
async def test_end_of_a_trial_without_its_old_policy(
    tmp_path: Path, disk: Disk, end: Act, *, power: bool
) -> None:
    """Also a policy that is in no store any more comes back, or the new one stays meanwhile."""
    before = both(having("stored"), choosing("other", SECONDS), delete_stored)
    then, finally_, _ = await interrupted(tmp_path, disk, before, end, power=power)
    assert then <= secure("stored", "other")
    assert finally_ == secure("stored")


async def assign_in_store(stage: Stage, changes: Changes) -> None:
    """What a command does with the store; then it tells the agent."""
    with stage.stores.edit(Store.LOCAL) as draft:
        draft.add_policy(StoredPolicy("second"))
        draft.assign("second")
    await changes.take_stores()


@POWER
@pytest.mark.parametrize("old", ["web", "stored", ""])
async def test_change_of_a_store(tmp_path: Path, disk: Disk, old: str, *, power: bool) -> None:
    """The store before or after, and the policy that goes with it."""
    then, finally_, steps = await interrupted(
        tmp_path, disk, having(old), assign_in_store, power=power
    )
    assert then == finally_ == secure(old, "second")
    assert steps >= ONE_FILE


async def nothing(_: Stage, __: Changes) -> None:
    """A host on which nothing was ever assigned or stored."""


@POWER
@pytest.mark.parametrize("store", [Store.LOCAL, Store.PERSISTENT])
async def test_first_store(tmp_path: Path, disk: Disk, store: Store, *, power: bool) -> None:
    """It is there or not, with the mark that it was ever there or without."""

    async def act(stage: Stage, changes: Changes) -> None:
        stage.stores.replace(store, content("first"))
        await changes.take_stores()

    then, finally_, steps = await interrupted(tmp_path, disk, nothing, act, power=power)
    assert then == finally_ == secure("", "first")
    assert steps > ONE_FILE


@POWER
async def test_dynamic_rules_that_are_kept(tmp_path: Path, disk: Disk, *, power: bool) -> None:
    """All of them or none."""

    async def act(stage: Stage, changes: Changes) -> None:
        rules = dynamictext.render(dynamic("any -> me:22 tcp", "any -> me:23 tcp"))
        await changes.set_dynamic(changes._agent.dynamic_revision, rules)

    then, finally_, _ = await interrupted(
        tmp_path, disk, having("web"), act, power=power, configuration="dynamic_persist = true"
    )
    assert then == finally_ == {"secure web", "secure web Dynamic rules"}
