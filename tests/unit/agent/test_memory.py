"""What an agent takes over from earlier runs: a lost `state_dir` is not a new one."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ipsecfd.agent import bootfile, state
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store
from tests.unit.agent.stage import Stage, content

WEB = "permit any <-> me:80 tcp"


def in_force(agent: Agent) -> list[str]:
    """Mode and names of the policies in force."""
    return [str(agent.mode), *(source.policy.name for source in agent.policies.sources)]


async def started(stage: Stage) -> Agent:
    """Another run, by now."""
    agent = stage.agent()
    await start(agent)
    return agent


async def assigned(stage: Stage, kind: str) -> Agent:
    """A run with a policy called web."""
    if kind == "persistent":
        stage.stores.replace(Store.PERSISTENT, content("web"))
    elif kind == "stored":
        stage.stores.replace(Store.LOCAL, content("web"))
    agent = await started(stage)
    if kind == "file":
        await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert in_force(agent) == ["secure", "web"]
    return agent


def empty(directory: Path) -> None:
    """Remove what is in a directory."""
    shutil.rmtree(directory)
    directory.mkdir()


@pytest.mark.parametrize(
    ("kind", "end", "lose"),
    [
        ("file", "stop", shutil.rmtree),
        ("file", "crash", empty),
        ("stored", "crash", shutil.rmtree),
        ("persistent", "stop", empty),
    ],
)
async def test_lost_directory_is_operational_block(
    stage: Stage, kind: str, end: str, lose: Callable[[Path], None]
) -> None:
    """However the agent ended: a policy was assigned in this boot, and nobody knows which (spec
    6.5). It stays so after a boot."""
    agent = await assigned(stage, kind)
    if end == "stop":
        await agent.stop()
    else:
        stage.crash(agent)
    lose(stage.state_dir)
    for boot in ("same", "same", "next"):
        if boot == "next":
            shutil.rmtree(stage.directory / "run")
        agent = await started(stage)
        assert in_force(agent) == ["block"]
        assert str(stage.state_dir) in str(agent.mode_reason)
        assert ("lost: " in str(agent.mode_reason)) == (boot == "same")
        with pytest.raises(IpsecfdError):
            await Changes(agent).reload()
        with pytest.raises(IpsecfdError):
            await Changes(agent).take_stores()
        assert stage.boot_file.kept[-1] == "stateful"
        await agent.stop()


@pytest.mark.parametrize("way", ["put back", "assign", "unassign"])
async def test_ways_out_of_a_loss(stage: Stage, way: str) -> None:
    """The directory is put back, or the administrator says what is to be assigned."""
    agent = await assigned(stage, "file")
    shutil.copytree(stage.state_dir, stage.directory / "backup")
    await agent.stop()
    shutil.rmtree(stage.state_dir)
    agent = await started(stage)
    changes = Changes(agent)
    if way == "put back":
        shutil.copytree(stage.directory / "backup", stage.state_dir, dirs_exist_ok=True)
        await changes.reload()
    elif way == "assign":
        await changes.assign_file(stage.policy_file("web", WEB))
    else:
        await changes.unassign()
    expected = ["secure"] if way == "unassign" else ["secure", "web"]
    assert in_force(agent) == expected
    await agent.stop()
    agent = await started(stage)
    assert in_force(agent) == expected
    await agent.stop()


@pytest.mark.parametrize("lose", [lambda _: None, Path.mkdir])
async def test_host_that_was_closed_at_its_boot(stage: Stage, lose: Callable[[Path], None]) -> None:
    """The start-up rules could not be read, nor can the memory: as where it is not mounted."""
    stage.rules_there = True
    lose(stage.state_dir)
    agent = await started(stage)
    assert in_force(agent) == ["block"]
    assert "is its file system mounted?" in str(agent.trouble)
    stage.crash(agent)
    agent = await started(stage)
    assert in_force(agent) == ["block"]
    await Changes(agent).unassign()
    assert in_force(agent) == ["secure"]
    await agent.stop()


async def test_rules_of_a_host_that_never_had_a_policy(stage: Stage) -> None:
    """Rules of a run that was killed, or of a boot, do not make an assignment."""
    agent = await started(stage)
    stage.crash(agent)
    agent = await started(stage)
    assert in_force(agent) == ["secure"]
    stage.crash(agent)
    shutil.rmtree(stage.directory / "run")
    stage.state_dir.mkdir()
    (stage.state_dir / bootfile.FILE_NAME).write_text("any run leaves one")
    agent = await started(stage)
    assert in_force(agent) == ["secure"]
    await agent.stop()


async def test_loss_under_a_running_agent(stage: Stage) -> None:
    """What is in force stays: neither a reload nor a change of something else finds "nothing"."""
    agent = await assigned(stage, "stored")
    shutil.rmtree(stage.state_dir)
    changes = Changes(agent)
    for change in (changes.take_stores(), changes.reload()):
        with pytest.raises(IpsecfdError, match="lost: "):
            await change
        assert in_force(agent) == ["secure", "web"]
    assert "a start would end in block mode: " in agent.warnings["reload"]
    await agent.stop()


async def test_unassigned_is_nothing_to_lose(stage: Stage) -> None:
    """Who unassigned the policy may begin anew; so may who took back the first one ever."""
    agent = await assigned(stage, "file")
    await Changes(agent).unassign()
    await agent.stop()
    shutil.rmtree(stage.state_dir)
    agent = await started(stage)
    assert in_force(agent) == ["secure"]
    changes = Changes(agent)
    await changes.assign_file(stage.policy_file("web", WEB), 60)
    await changes.trials.rollback("rolled back")
    assert in_force(agent) == ["secure"]
    await changes.reload()
    await agent.stop()
    agent = await started(stage)
    assert (in_force(agent), str(agent.started_in)) == (["secure"], "startup-permit")
    await agent.stop()


async def test_new_directory_is_told(stage: Stage) -> None:
    """A first start may be one by mistake: log and status say it until a policy is assigned."""
    agent = await started(stage)
    (warning,) = agent.warnings.values()
    assert warning.startswith(f"{stage.state_dir} is new: no policy was ever assigned here")
    assert (4288, warning) in stage.events
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert agent.warnings == {}
    await agent.stop()


async def test_given_policies_lose_nothing(stage: Stage) -> None:
    """With `--policy` a new directory is no matter, and no assignment is noted."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert (agent.warnings, stage.noted.place()) == ({}, None)
    await agent.stop()


async def test_other_directory_does_not_know(stage: Stage) -> None:
    """Another `state_dir` never had a policy: a reload says that the assignment does not move
    along, a start that the directory before says that one is assigned."""
    agent = await assigned(stage, "file")
    before, stage.state_dir = stage.state_dir, stage.directory / "other"
    note = f"what is assigned does not move along: copy what is in {before} to {stage.state_dir}"
    assert (await Changes(agent).reload())[-1] == f"{note} first"
    await agent.stop()
    for _ in range(2):
        agent = await started(stage)
        assert in_force(agent) == ["secure"]
        (warning,) = agent.warnings.values()
        assert f"{stage.state_dir} knows of no policy, while {before} says" in warning
        assert (4288, warning) in stage.events
        await agent.stop()
    shutil.copytree(before, stage.state_dir, dirs_exist_ok=True)
    agent = await started(stage)
    assert (in_force(agent), agent.warnings) == (["secure", "web"], {})
    assert stage.noted.place() == stage.state_dir
    await agent.stop()


async def test_trouble_is_nothing_to_lose_either(stage: Stage) -> None:
    """What was assigned could not be applied: its memory must not be lost all the same."""
    state.save(stage.state_dir, Path("/etc/ipsecfd/missing"))
    agent = await started(stage)
    assert in_force(agent) == ["block"]
    await agent.stop()
    shutil.rmtree(stage.state_dir)
    agent = await started(stage)
    assert in_force(agent) == ["block"]
    await agent.stop()
