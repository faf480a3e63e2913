"""Changes on trial: confirmed in time they stay, otherwise what was before comes back."""

from __future__ import annotations

import asyncio
import errno
from functools import partial
from pathlib import Path

import pytest

from ipsecfd.agent import dynamictext, state, trial
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.agent.trials import LOOK_SECONDS
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.errors import KernelError
from ipsecfd.policy import durable
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicContent
from tests.builders import policy
from tests.unit.agent.stage import Stage, content

WEB = "permit any <-> me:80 tcp"
CLOSED = "block me <-> any"


async def started(stage: Stage, *policies: Path) -> tuple[Agent, Changes]:
    """A run of the agent, as the service starts it."""
    agent, changes = await just_started(stage, *policies)
    await changes.trials.after_start()
    stage.happened()
    return agent, changes


async def just_started(stage: Stage, *policies: Path) -> tuple[Agent, Changes]:
    """A run of the agent that has not yet looked at what an earlier one had on trial."""
    agent = stage.agent(*policies)
    changes = Changes(agent)
    await changes.trials.before_start()
    await start(agent)
    return agent, changes


async def killed_and_started(stage: Stage, agent: Agent, *policies: Path) -> tuple[Agent, Changes]:
    """The next run, after SIGKILL."""
    stage.crash(agent)
    return await started(stage, *policies)


async def with_closed_on_trial(stage: Stage) -> tuple[Agent, Changes]:
    """An agent with the file "web" assigned, and "closed" in its place for 60 seconds."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("web", WEB))
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    return agent, changes


def in_force(agent: Agent) -> list[str]:
    """The names of the policies in force."""
    return [source.policy.name for source in agent.policies.sources]


async def after(stage: Stage, changes: Changes, seconds: float) -> None:
    """Let time pass, and the agent look at the time once."""
    stage.clock.seconds += seconds
    await changes.trials.check()


# --- in one run ---


async def test_unconfirmed_file_is_taken_back(stage: Stage) -> None:
    """Policy, assigned file and log: all is as it was before, when the time is over."""
    agent, changes = await with_closed_on_trial(stage)
    assert in_force(agent) == ["closed"]
    stage.happened()
    await after(stage, changes, 59.9)
    assert stage.happened() == []
    await after(stage, changes, 0.2)
    assert stage.happened() == ["88: secure v4", "event 5460", "event 5460"]
    assert "not confirmed in time: policy /etc/ipsecfd/closed" in stage.events[-1][1]
    assert in_force(agent) == ["web"]
    assert state.load(stage.state_dir).assigned == Path("/etc/ipsecfd/web")
    assert trial.load(stage.state_dir) is None
    await after(stage, changes, 1000)
    assert stage.happened() == []
    await agent.stop()


async def test_a_trial_wakes_whoever_watches(stage: Stage) -> None:
    """Nobody looks at the time while nothing is on trial; each trial ends in time all the same."""
    agent, changes = await started(stage, stage.policy_file("web", WEB))
    watching = asyncio.create_task(changes.trials.watch())
    for _ in range(2):
        await asyncio.sleep(0.01)
        await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
        await asyncio.sleep(0.01)
        assert in_force(agent) == ["closed"]
        stage.clock.seconds += 60
        await asyncio.sleep(2 * LOOK_SECONDS)
        assert in_force(agent) == ["web"]
    watching.cancel()
    await agent.stop()


async def test_confirmed_file_stays(stage: Stage) -> None:
    """Nothing happens when the time is over."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    stage.clock.seconds += 59
    assert changes.trials.left == 1
    assert await changes.trials.confirm() == "policy /etc/ipsecfd/closed"
    assert trial.load(stage.state_dir) is None
    await after(stage, changes, 1000)
    assert in_force(agent) == ["closed"]
    with pytest.raises(
        IpsecfdError, match=r"^nothing is on trial; policy .*closed was confirmed at"
    ):
        await changes.trials.confirm()
    await agent.stop()


async def test_late_confirmation_is_told_what_holds(stage: Stage) -> None:
    """A policy that was confirmed may have been unassigned since."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    await changes.trials.confirm()
    for change, now in (
        (None, 'secure mode, "closed"'),
        (changes.unassign, "secure mode, no policy"),
    ):
        if change is not None:
            await change()
        with pytest.raises(IpsecfdError, match=rf"was confirmed at [\d:]+; now {now}$"):
            await changes.trials.confirm()
    await agent.stop()


async def test_rollback_at_once(stage: Stage) -> None:
    """Nobody has to wait for the time to be over."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert await changes.trials.rollback("rolled back") == "policy /etc/ipsecfd/closed"
    assert in_force(agent) == []
    for again in (changes.trials.rollback("rolled back"), changes.trials.confirm()):
        with pytest.raises(
            IpsecfdError, match=r"^nothing is on trial; policy .* was taken back at"
        ):
            await again
    await agent.stop()


async def test_a_host_that_never_had_a_policy_is_one_again(stage: Stage) -> None:
    """Also its start-up mode is permit again, not stateful (spec 6.1)."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert state.load(stage.state_dir).ever_assigned
    await after(stage, changes, 61)
    assert not state.load(stage.state_dir).ever_assigned
    assert str(agent.startup_mode(agent.config)) == "startup-permit"
    assert stage.boot_file.kept[-2:] == ["stateful", "startup-permit"]
    await agent.stop()


async def test_store_is_assigned_again(stage: Stage) -> None:
    """A policy of the local store that a file replaced, and one that none replaced."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert stage.stores.read(Store.LOCAL).assigned is None
    await after(stage, changes, 61)
    assert stage.stores.read(Store.LOCAL).assigned == "mine"
    assert in_force(agent) == ["mine"]
    await changes.unassign(None, 60)
    assert stage.events[-1][1].startswith("the unassignment is on trial for 60 s")
    assert in_force(agent) == []
    await after(stage, changes, 61)
    assert in_force(agent) == ["mine"]
    await agent.stop()


async def test_edited_file_does_not_come_back_as_it_is_now(stage: Stage) -> None:
    """Who edits the assigned file and applies it gets back what it said before, at the next start
    as well."""
    agent, changes = await started(stage)
    path = stage.policy_file("web", WEB)
    await changes.assign_file(path)
    stage.policy_file("web", CLOSED)
    await changes.assign_file(path, 60)
    await after(stage, changes, 61)
    assert in_force(agent) == ["web"]
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    kept = state.load(stage.state_dir).assigned
    assert kept == stage.state_dir / "restored.json"
    agent, _ = await killed_and_started(stage, agent)
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    await agent.stop()


async def test_vanished_file_comes_back(stage: Stage) -> None:
    """The file of the policy before was removed meanwhile: what it said is known."""
    agent, changes = await started(stage)
    path = stage.policy_file("web", WEB)
    await changes.assign_file(path)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    del stage.files[path]
    await after(stage, changes, 61)
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    await agent.stop()


async def test_deleted_store_policy_comes_back(stage: Stage) -> None:
    """So does a policy that was deleted in the store."""
    stage.stores.replace(Store.LOCAL, content("mine", "any -> me:80 tcp"))
    agent, changes = await started(stage)
    before = agent.policies.sources[0].policy
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    stage.stores.replace(Store.LOCAL, Content())
    await after(stage, changes, 61)
    assert [source.policy for source in agent.policies.sources] == [before]
    await agent.stop()


async def test_given_files_come_back(stage: Stage) -> None:
    """What `--policy` named is in force again, edited or not."""
    path = stage.policy_file("web", WEB)
    agent, changes = await started(stage, path)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    await after(stage, changes, 61)
    assert (in_force(agent), agent.places.given) == (["web"], (path,))
    stage.policy_file("web", CLOSED)
    await changes.assign_file(path, 60)
    await after(stage, changes, 61)
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    await agent.stop()


async def test_mode_is_taken_back(stage: Stage) -> None:
    """To the mode that was set by hand before, or to what the policies say."""
    agent, changes = await started(stage)
    await changes.set_mode("block", 30)
    assert str(agent.mode) == "block"
    await after(stage, changes, 31)
    assert (str(agent.mode), agent.mode_reason) == ("secure", None)
    await changes.set_mode("permit")
    await changes.set_mode("secure", 30)
    await after(stage, changes, 31)
    assert str(agent.mode) == "permit"
    assert agent.mode_reason is not None
    await changes.set_mode("stateful", 30)
    await changes.trials.confirm()
    await after(stage, changes, 31)
    assert str(agent.mode) == "stateful"
    await agent.stop()


async def test_a_trial_needs_a_directory(stage: Stage) -> None:
    """Without one the change is refused, and it is said what is wrong with it."""
    agent, changes = await started(stage)
    stage.state_dir.write_text("")
    with pytest.raises(IpsecfdError, match=r"trial\.json: cannot be written: .*; `state_dir` must"):
        await changes.set_mode("permit", 60)
    assert str(agent.mode) == "secure"
    stage.state_dir.unlink()
    await agent.stop()


async def test_one_change_at_a_time(stage: Stage) -> None:
    """While one is on trial all others are refused, and told what to do first."""
    agent, changes = await started(stage)
    path = stage.policy_file("closed", CLOSED)
    await changes.assign_file(path, 60)
    stage.happened()
    for change in (
        changes.assign_file(path),
        changes.assign_file(path, 30),
        changes.assign("mine"),
        changes.unassign(),
        changes.set_mode("permit"),
    ):
        with pytest.raises(IpsecfdError, match=r"on trial for another 60 s.*confirm.*rollback"):
            await change
    assert stage.happened() == []
    await agent.stop()


async def test_assigned_in_the_store_meanwhile(stage: Stage) -> None:
    """netsh, which knows of no trial, assigns all the same; it tells that this may not last."""
    agent, changes = await with_closed_on_trial(stage)
    stage.stores.replace(Store.LOCAL, content("mine"))
    [note] = await changes.take_stores()
    assert note.startswith("policy /etc/ipsecfd/closed is on trial for another 60 s")
    assert in_force(agent) == ["mine"]
    stage.stores.replace(Store.LOCAL, content("mine", "any -> me:80 tcp"))
    assert await changes.take_stores() == []
    await after(stage, changes, 60)
    assert in_force(agent) == ["web"]
    assert stage.stores.read(Store.LOCAL).assigned is None
    await changes.set_mode("permit", 60)
    stage.stores.replace(Store.LOCAL, content("mine"))
    assert not any("on trial" in one for one in await changes.take_stores())
    await agent.stop()


@pytest.mark.parametrize("seconds", [0, -1, 86_401])
async def test_odd_times(stage: Stage, seconds: int) -> None:
    """Refused, and nothing is changed."""
    agent, changes = await started(stage)
    with pytest.raises(IpsecfdError, match="1 to 86400"):
        await changes.assign_file(stage.policy_file("closed", CLOSED), seconds)
    assert in_force(agent) == []
    await agent.stop()


async def test_refused_candidate_leaves_no_trial(stage: Stage) -> None:
    """A policy with a mistake changes nothing, on disk neither."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent, changes = await started(stage)
    with pytest.raises(IpsecfdError, match="cannot be read"):
        await changes.assign_file(Path("/nowhere"), 60)
    assert trial.load(stage.state_dir) is None
    assert changes.trials.pending is None
    assert stage.stores.read(Store.LOCAL).assigned == "mine"
    await agent.stop()


async def test_change_that_fails_is_undone(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was assigned stays assigned when the kernel does not take the new policy."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent, changes = await started(stage)
    before = state.raw(stage.state_dir)

    async def refuse(*_: object) -> None:
        raise KernelError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(agent.pool, "install", refuse)
        with pytest.raises(KernelError):
            await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert (in_force(agent), changes.trials.pending) == (["mine"], None)
    assert stage.stores.read(Store.LOCAL).assigned == "mine"
    assert state.raw(stage.state_dir) == before
    assert trial.load(stage.state_dir) is None
    await agent.stop()


async def test_a_refused_change_leaves_no_record_on_a_full_disk(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there was room for the record alone: it would undo another change at the next start."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("web", WEB))
    closed = stage.policy_file("closed", CLOSED)
    with monkeypatch.context() as patched:
        room_for_one_file(patched, stage.state_dir)
        with pytest.raises(IpsecfdError, match=r"assigned\.json: cannot be written: No space left"):
            await changes.assign_file(closed, 60)
        assert (trial.load(stage.state_dir), agent.warnings) == (None, {})
        await changes.set_mode("permit", 60)
        await changes.trials.rollback("on demand")
    await changes.assign_file(closed)
    stage.clock.seconds += 61
    agent, _ = await killed_and_started(stage, agent)
    assert in_force(agent) == ["closed"]
    await agent.stop()


@pytest.mark.parametrize("seconds", [None, 60])
async def test_a_refused_change_is_undone_when_there_is_room(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, seconds: int | None
) -> None:
    """The disk was filled after it took the new policy and before the kernel refused that: until
    it says again what is in force, `status` tells it."""
    agent, changes = await started(stage)
    web = stage.policy_file("web", WEB)
    await changes.assign_file(web)
    with monkeypatch.context() as patched:

        async def refuse(*_: object) -> None:
            full_disk(patched)
            raise KernelError("no memory")

        patched.setattr(agent.pool, "install", refuse)
        with pytest.raises(KernelError):
            await changes.assign_file(stage.policy_file("closed", CLOSED), seconds)
        (warning,) = agent.warnings.values()
        assert "closed was refused, but that cannot be written down" in warning
        with pytest.raises(IpsecfdError, match="No space left"):
            await changes.assign_file(web)
        with pytest.raises(KernelError):
            await changes.set_mode("block")
        assert (trial.load(stage.state_dir) is None) == (seconds is None)
    await after(stage, changes, 5)
    assert (in_force(agent), agent.warnings) == (["web"], {})
    assert state.load(stage.state_dir).assigned == web
    assert trial.load(stage.state_dir) is None
    await agent.stop()


async def test_taking_back_is_tried_until_it_succeeds(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each failure is logged, and the next try comes seconds later; too late to confirm."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)

    async def refuse(*_: object) -> None:
        raise KernelError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(agent.pool, "install", refuse)
        await after(stage, changes, 61)
    assert stage.events[-1] == (
        4288,
        "policy /etc/ipsecfd/closed cannot be taken back yet: no memory",
    )
    with pytest.raises(IpsecfdError, match="too late"):
        await changes.trials.confirm()
    await after(stage, changes, 5)
    assert in_force(agent) == []
    assert changes.trials.pending is None
    await agent.stop()


def full_disk(patched: pytest.MonkeyPatch) -> None:
    """Nothing can be written any more."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    patched.setattr(durable, "write", refuse)


def room_for_one_file(patched: pytest.MonkeyPatch, directory: Path) -> None:
    """Room for one small file more; what takes the place of another needs it as well."""
    write = durable.write

    def files() -> int:
        return sum(one.is_file() for one in directory.rglob("*"))

    most = files() + 1

    def write_if_room(path: Path, data: bytes) -> None:
        if files() >= most:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(path, data)

    patched.setattr(durable, "write", write_if_room)


async def test_full_disk_locks_nobody_out(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was before is in force in time, other changes are possible, and once there is room the
    disk says so, too."""
    agent, changes = await with_closed_on_trial(stage)
    with monkeypatch.context() as patched:
        full_disk(patched)
        await after(stage, changes, 61)
        assert (in_force(agent), changes.trials.pending) == (["web"], None)
        assert agent.policies.sources[0].origin == "/etc/ipsecfd/web"
        (warning,) = agent.warnings.values()
        assert "is taken back, but that cannot be written down" in warning
        assert "No space left on device" in warning
        stage.happened()
        await after(stage, changes, 5)
        assert stage.happened() == []
        await changes.set_mode("permit")
        with pytest.raises(IpsecfdError, match="No space left"):
            await changes.assign_file(Path("/etc/ipsecfd/closed"))
    assert state.load(stage.state_dir).assigned == Path("/etc/ipsecfd/closed")
    await after(stage, changes, 5)
    assert (in_force(agent), str(agent.mode)) == (["web"], "permit")
    assert state.load(stage.state_dir).assigned == Path("/etc/ipsecfd/web")
    assert (trial.load(stage.state_dir), agent.warnings) == (None, {})
    await agent.stop()


async def test_full_disk_and_an_edited_file(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is what was in force that comes back, not what the file says by now."""
    agent, changes = await with_closed_on_trial(stage)
    stage.policy_file("web", CLOSED)
    with monkeypatch.context() as patched:
        full_disk(patched)
        await changes.trials.rollback("on demand")
        assert agent.policies.policies[0][1] == policy(WEB, name="web")
    await after(stage, changes, 5)
    assert agent.policies.policies[0][1] == policy(WEB, name="web")
    await agent.stop()


async def test_full_disk_and_a_store(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A policy of the local store comes back as well, and so does having none."""
    agent, changes = await started(stage)
    path = stage.policy_file("closed", CLOSED)
    await changes.assign_file(path, 60)
    with monkeypatch.context() as patched:
        full_disk(patched)
        await after(stage, changes, 61)
        assert in_force(agent) == []
    await after(stage, changes, 5)
    stage.stores.replace(Store.LOCAL, content("mine"))
    await changes.take_stores()
    await changes.assign_file(path, 60)
    with monkeypatch.context() as patched:
        full_disk(patched)
        await after(stage, changes, 61)
        assert in_force(agent) == ["mine"]
    await after(stage, changes, 5)
    assert in_force(agent) == ["mine"]
    assert stage.stores.read(Store.LOCAL).assigned == "mine"
    await agent.stop()


async def test_full_disk_and_a_reload(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk still says what was taken back, no change reads the policies from there: they
    are refused, and once there is room the first of them finds what was before."""
    agent, changes = await with_closed_on_trial(stage)
    with monkeypatch.context() as patched:
        full_disk(patched)
        await after(stage, changes, 61)
        warnings = dict(agent.warnings)
        for change in (
            changes.reload,
            changes.take_stores,
            changes.resolve,
            partial(
                changes.set_dynamic, agent.dynamic_revision, dynamictext.render(DynamicContent())
            ),
        ):
            with pytest.raises(IpsecfdError, match=r"is taken back, .* first: .*No space left"):
                await change()
            assert in_force(agent) == ["web"]
        assert agent.warnings == warnings
    await changes.reload()
    assert in_force(agent) == ["web"]
    assert state.load(stage.state_dir).assigned == Path("/etc/ipsecfd/web")
    assert (trial.load(stage.state_dir), agent.warnings) == (None, {})
    await agent.stop()


async def test_full_disk_at_a_start_too_late(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed, and the time is over: what was before is in force all the same."""
    agent, _ = await with_closed_on_trial(stage)
    stage.clock.seconds += 61
    with monkeypatch.context() as patched:
        full_disk(patched)
        agent, changes = await killed_and_started(stage, agent)
        assert (in_force(agent), changes.trials.pending) == (["web"], None)
    await agent.stop()


async def test_reload_mends_the_candidate_within_its_time(stage: Stage) -> None:
    """What was before stays what comes back."""
    agent, changes = await with_closed_on_trial(stage)
    stage.policy_file("closed", CLOSED, WEB)
    await changes.reload()
    await after(stage, changes, 61)
    assert in_force(agent) == ["web"]
    await agent.stop()


# --- the agent is killed in between ---


async def test_killed_within_the_time(stage: Stage) -> None:
    """The candidate stays for the time that is left, then what was before comes back."""
    agent, changes = await with_closed_on_trial(stage)
    stage.clock.seconds += 20
    agent, changes = await killed_and_started(stage, agent)
    assert (in_force(agent), changes.trials.left) == (["closed"], 40)
    await after(stage, changes, 39)
    assert in_force(agent) == ["closed"]
    await after(stage, changes, 2)
    assert in_force(agent) == ["web"]
    await agent.stop()


async def test_killed_and_confirmed(stage: Stage) -> None:
    """The next run takes the confirmation as well."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    agent, changes = await killed_and_started(stage, agent)
    await changes.trials.confirm()
    agent, changes = await killed_and_started(stage, agent)
    await after(stage, changes, 1000)
    assert in_force(agent) == ["closed"]
    await agent.stop()


async def test_killed_until_it_was_too_late(stage: Stage) -> None:
    """The candidate is not in force for a single moment of the next run."""
    agent, changes = await with_closed_on_trial(stage)
    stage.clock.seconds += 61
    stage.crash(agent)
    agent, changes = await just_started(stage)
    assert in_force(agent) == ["web"]
    await changes.trials.after_start()
    assert "not confirmed in time" in stage.events[-1][1]
    assert trial.load(stage.state_dir) is None
    await agent.stop()


async def test_edited_file_and_killed_until_it_was_too_late(stage: Stage) -> None:
    """Nor is the new text of the file that was assigned before."""
    agent, changes = await started(stage)
    path = stage.policy_file("web", WEB)
    await changes.assign_file(path)
    stage.policy_file("web", CLOSED)
    await changes.assign_file(path, 60)
    stage.clock.seconds += 61
    stage.crash(agent)
    agent, changes = await just_started(stage)
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    await changes.trials.after_start()
    assert agent.policies.sources[0].policy == policy(WEB, name="web")
    await agent.stop()


async def test_another_boot_is_too_late(stage: Stage) -> None:
    """Whatever its clock says; and modes end with their boot."""
    agent, changes = await started(stage)
    await changes.set_mode("permit")
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    stage.boot, stage.clock.seconds = "second boot", 0.0
    agent, _ = await killed_and_started(stage, agent)
    assert (in_force(agent), str(agent.mode)) == ([], "secure")
    assert trial.load(stage.state_dir) is None
    await agent.stop()


async def test_killed_with_a_mode_on_trial(stage: Stage) -> None:
    """The mode stays for the time that is left, then the one before is back."""
    agent, changes = await started(stage)
    await changes.set_mode("permit")
    await changes.set_mode("block", 60)
    agent, changes = await killed_and_started(stage, agent)
    assert str(agent.mode) == "block"
    await after(stage, changes, 61)
    assert str(agent.mode) == "permit"
    await changes.set_mode("secure", 60)
    stage.clock.seconds += 61
    agent, changes = await killed_and_started(stage, agent)
    assert str(agent.mode) == "permit"
    await agent.stop()


async def test_killed_before_anything_was_applied(stage: Stage) -> None:
    """The record is there first; that the change is missing harms nobody."""
    agent, changes = await started(stage)
    await changes.assign_file(stage.policy_file("web", WEB))
    path = stage.policy_file("closed", CLOSED)
    places = state.raw(stage.state_dir)
    await changes.assign_file(path, 60)
    state.put_back(stage.state_dir, places)
    agent, changes = await killed_and_started(stage, agent)
    assert in_force(agent) == ["web"]
    await after(stage, changes, 61)
    assert in_force(agent) == ["web"]
    await agent.stop()


async def test_start_with_files_of_its_own(stage: Stage) -> None:
    """`--policy` decides; what was on trial is not in force and not assigned any more."""
    agent, changes = await with_closed_on_trial(stage)
    given = stage.policy_file("given", CLOSED)
    agent, changes = await killed_and_started(stage, agent, given)
    assert (in_force(agent), changes.trials.pending) == (["given"], None)
    assert state.load(stage.state_dir).assigned == Path("/etc/ipsecfd/web")
    await agent.stop()


async def test_given_files_do_not_come_back_in_a_run_without_them(stage: Stage) -> None:
    """What a command line named ends with its run."""
    agent, changes = await started(stage, stage.policy_file("web", WEB))
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    agent, changes = await killed_and_started(stage, agent)
    assert in_force(agent) == ["closed"]
    await after(stage, changes, 61)
    assert in_force(agent) == []
    await agent.stop()


async def test_damaged_record_stops_no_start(stage: Stage) -> None:
    """It is logged, and nothing is taken back; status tells it until the next trial."""
    stage.state_dir.mkdir()
    (stage.state_dir / trial.FILE_NAME).write_text("{")
    agent, changes = await started(stage)
    assert "a change may have been on trial, and is not taken back" in agent.warnings["trial"]
    assert any(event == 4288 and "damaged" in text for event, text in stage.events)
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert agent.warnings == {}
    await after(stage, changes, 61)
    assert in_force(agent) == []
    await agent.stop()


async def test_a_record_of_no_trial_undoes_no_later_change(stage: Stage) -> None:
    """One that could not be read at the start and can be later, for instance."""
    agent, changes = await with_closed_on_trial(stage)
    left = (stage.state_dir / trial.FILE_NAME).read_bytes()
    (stage.state_dir / trial.FILE_NAME).write_text("{")
    agent, changes = await killed_and_started(stage, agent)
    (stage.state_dir / trial.FILE_NAME).write_bytes(left)
    await changes.assign_file(stage.policy_file("later", CLOSED))
    assert agent.warnings == {}
    stage.clock.seconds += 61
    agent, _ = await killed_and_started(stage, agent)
    assert in_force(agent) == ["later"]
    await agent.stop()


# --- what could not be applied before ---


async def test_trouble_comes_back_as_trouble(stage: Stage) -> None:
    """A host that was closed because its policy cannot be read is closed again."""
    agent, changes = await started(stage)
    path = stage.policy_file("web", WEB)
    await changes.assign_file(path)
    del stage.files[path]
    agent, changes = await killed_and_started(stage, agent)
    assert str(agent.mode) == "block"
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    assert str(agent.mode) == "secure"
    await after(stage, changes, 61)
    assert (str(agent.mode), in_force(agent)) == ("block", [])
    stage.policy_file("web", WEB)
    await changes.reload()
    assert (str(agent.mode), in_force(agent)) == ("secure", ["web"])
    await agent.stop()


async def test_damaged_memory_comes_back_damaged(stage: Stage) -> None:
    """What was assigned is unknown before, and so it is again: never "nothing"."""
    stage.state_dir.mkdir()
    (stage.state_dir / state.FILE_NAME).write_bytes(b"\xff{")
    agent, changes = await started(stage)
    assert str(agent.mode) == "block"
    await changes.assign_file(stage.policy_file("closed", CLOSED), 60)
    await after(stage, changes, 61)
    assert str(agent.mode) == "block"
    assert (stage.state_dir / state.FILE_NAME).read_bytes() == b"\xff{"
    with pytest.raises(IpsecfdError, match="damaged"):
        await changes.reload()
    await agent.stop()
