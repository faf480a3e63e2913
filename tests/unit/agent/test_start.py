"""A start of the agent, as transcripts: what is done, what comes of it, line by line."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from ipsecfd.agent import state
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.rules import Installed, RulesConfig
from tests.unit.agent.stage import Stage

BLOCK_ALL = "block me <-> any"
WEB = "permit any <-> me:80 tcp"


async def test_first_start_goes_through_the_startup_mode(stage: Stage) -> None:
    """Boot mode, then policies, then secure mode (spec 6.5); never assigned means permit (6.1)."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert stage.happened() == [
        "event 4709",
        "88: starts",
        "88: startup-permit v0",
        "rules",
        "event 4295",
        "event 5460",
        "88: secure v1",
        "event 4294",
    ]
    await agent.stop()
    assert stage.happened() == ["no rules", "event 4293", "88: ends"]


async def test_startup_mode_after_a_policy_was_assigned(stage: Stage) -> None:
    """Stateful is the default once a policy was ever in force (spec 6.1)."""
    path = stage.policy_file("web", WEB)
    first = stage.agent(path)
    await start(first)
    await first.stop()
    stage.happened()
    again = stage.agent(path)
    await start(again)
    assert stage.happened()[2:5] == ["88: stateful v0", "rules", "event 4291"]
    await again.stop()


@pytest.mark.parametrize(
    ("configured", "mode", "event"),
    [
        ("permit", "startup-permit", 4295),
        ("block", "startup-block", 4296),
        ("stateful", "stateful", 4291),
    ],
)
async def test_configured_startup_mode(
    stage: Stage, configured: str, mode: str, event: int
) -> None:
    """`startup.mode` decides, whatever was assigned before."""
    stage.config_text = f'[startup]\nmode = "{configured}"\n'
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert [f"88: {mode} v0", "rules", f"event {event}"] == stage.happened()[2:5]
    await agent.stop()


async def test_nothing_assigned_is_secure_mode_without_filters(stage: Stage) -> None:
    """A store that never existed is "no policy" (design)."""
    agent = stage.agent()
    await start(agent)
    assert stage.happened()[-2:] == ["88: secure v1", "event 4294"]
    assert state.State() == state.load(stage.state_dir)
    await agent.stop()


async def test_start_after_a_crash_never_opens(stage: Stage) -> None:
    """Leftover rules keep the host closed until secure mode; no start-up mode in between."""
    path = stage.policy_file("web", WEB)
    first = stage.agent(path)
    await start(first)
    stage.crash(first)
    again = stage.agent(path)
    await start(again)
    assert (stage.happened()) == [
        "event 4709",
        "event 4288",
        "event 5460",
        "88: starts",
        "88: secure v1",
        "rules",
        "event 4294",
    ]
    await again.stop()


async def test_failed_start_after_a_crash_leaves_the_rules(stage: Stage) -> None:
    """A start that fails never opens what should be closed."""
    path = stage.policy_file("web", WEB)
    first = stage.agent(path)
    await start(first)
    stage.crash(first)
    stage.files[path] = IpsecfdError("web: rule[1].action: missing")
    with pytest.raises(IpsecfdError, match="rule"):
        await start(stage.agent(path))
    assert stage.happened() == ["event 4709", "event 4288", "event 5461"]
    assert stage.rules_there


async def test_killed_run_is_told_of_once(stage: Stage) -> None:
    """A restart is no crash, and neither is a start that failed."""
    path = stage.policy_file("web", WEB)
    killed = stage.agent(path)
    await start(killed)
    stage.crash(killed)
    stage.files[path] = IpsecfdError("web: mistake")
    for events in (["event 4709", "event 4288", "event 5461"], ["event 4709", "event 5461"]):
        with pytest.raises(IpsecfdError, match="mistake"):
            await start(stage.agent(path))
        assert stage.happened() == events
    stage.policy_file("web", WEB)
    for _ in range(2):
        restarted = stage.agent(path, managed=True)
        await start(restarted)
        await restarted.stop()
        assert "event 4288" not in stage.happened()
    told = f"the agent before this one, process {os.getpid()}, was killed or crashed"
    assert [text for number, text in stage.events if number == 4288] == [told]


@pytest.mark.parametrize("restarted", [False, True])
async def test_missing_rules_close_first(stage: Stage, restarted: bool) -> None:
    """Somebody flushed them after a crash, or while the service was restarted: the host is closed
    until the policies decide, and the log says that they were missing."""
    path = stage.policy_file("web", WEB)
    first = stage.agent(path, managed=True)
    await start(first)
    if restarted:
        await first.stop()
    stage.crash(first)
    stage.rules_there = False
    again = stage.agent(path)
    await start(again)
    crash = [] if restarted else ["event 4288"]
    assert stage.happened() == [
        *("event 4709", *crash, "closed", "event 4288"),
        *("event 5460", "88: starts", "88: secure v1", "rules", "event 4294"),
    ]
    assert any("removed our rules while no agent ran" in text for _, text in stage.events)
    assert not any("rules of an earlier run are there" in line for line in stage.said)
    await again.stop()


async def test_missing_rules_where_nobody_expects_any(stage: Stage) -> None:
    """After a stop, or where no policy ever was, nothing is closed; nor where on_failure says so,
    but there it is logged."""
    path = stage.policy_file("web", WEB)
    unassigned = stage.agent()
    await start(unassigned)
    stage.crash(unassigned)
    stage.rules_there = False
    stopped = stage.agent(path)
    await start(stopped)
    await stopped.stop()
    stage.config_text = 'on_failure = "permit"\n'
    killed = stage.agent(path)
    await start(killed)
    assert "closed" not in stage.happened()
    stage.crash(killed)
    stage.rules_there = False
    again = stage.agent(path)
    await start(again)
    assert stage.happened()[:4] == ["event 4709", "event 4288", "event 4288", "88: starts"]
    assert any("packets may have passed, as on_failure has it" in text for _, text in stage.events)
    await again.stop()


@pytest.mark.parametrize("booted", [None, Mode.STARTUP_STATEFUL, Mode.STARTUP_PERMIT])
async def test_rules_removed_during_a_start(stage: Stage, booted: Mode | None) -> None:
    """Leftover rules, and those of the boot, hold until the policies decide: if somebody removes
    them the host is closed; unless they filtered nothing."""
    path = stage.policy_file("web", WEB)
    state.save(stage.state_dir, None)
    stage.rules_there, stage.boot_file.in_force = True, booted
    stage.taking = asyncio.Event()
    agent = stage.agent(path)
    starting = asyncio.create_task(start(agent))
    while "88: starts" not in stage.happened():  # noqa: ASYNC110 - nobody sets an event for it
        await asyncio.sleep(0.01)
    assert await agent.keep_rules(time.monotonic())
    assert stage.happened() == []
    stage.rules_there = False
    assert await agent.keep_rules(time.monotonic())
    if booted is Mode.STARTUP_PERMIT:
        assert stage.happened() == []
    else:
        assert stage.happened() == ["closed", "event 4288"]
        assert "our rules; this host is closed after at most" in stage.events[-1][1]
        stage.rules_there = False  # and again, so late that the start itself finds out
    stage.taking.set()
    await starting
    assert stage.happened() == ["88: secure v1", "rules", "event 4294"]
    assert await agent.keep_rules(time.monotonic())
    gap = [] if booted is Mode.STARTUP_PERMIT else ["event 4288"]
    assert stage.happened() == gap
    await agent.stop()


async def test_rules_that_fail_to_close_are_told_of(stage: Stage) -> None:
    """Once, and it is tried again."""
    path = stage.policy_file("web", WEB)
    stage.rules_there, stage.refuses_rules = True, True
    agent = stage.agent(path)
    assert await agent.hook.hold()
    stage.rules_there = False
    for _ in range(3):
        assert not await agent.keep_rules(time.monotonic())
    stage.refuses_rules = False
    assert await agent.keep_rules(time.monotonic())
    assert stage.happened() == ["event 4288", "closed", "event 4288"]


async def test_failed_first_start_leaves_the_host_as_it_was(stage: Stage) -> None:
    """A mistyped policy on a host without one locks nobody out."""
    path = stage.policy_file("web", WEB)
    stage.files[path] = IpsecfdError("web: rule[1].action: missing")
    with pytest.raises(IpsecfdError, match="rule"):
        await start(stage.agent(path))
    assert stage.happened()[-2:] == ["no rules", "88: ends"]
    assert state.State() == state.load(stage.state_dir)


async def test_failed_boot_under_systemd_stays_closed(stage: Stage) -> None:
    """A host that had a policy is not opened by a failing boot; systemd's stop step decides."""
    state.save(stage.state_dir, None)
    path = stage.policy_file("web", WEB)
    stage.files[path] = IpsecfdError("web: rule[1].action: missing")
    with pytest.raises(IpsecfdError):
        await start(stage.agent(path, managed=True))
    assert stage.rules_there


async def test_taken_queue_ends_the_start(stage: Stage) -> None:
    """Without a queue there are no rules either."""
    stage.queue_taken = True
    with pytest.raises(KernelError, match="queue 88"):
        await start(stage.agent(stage.policy_file("web", WEB)))
    assert not stage.rules_there


async def test_mistakes_of_all_files_at_once(stage: Stage) -> None:
    """Several policies are refused with the mistakes of each."""
    one, other = stage.policy_file("one", WEB), stage.policy_file("other", WEB)
    for path in (one, other):
        stage.files[path] = IpsecfdError(f"{path.name}: mistake")
    with pytest.raises(IpsecfdError, match="one: mistake\nother: mistake"):
        await start(stage.agent(one, other))


async def test_assigned_policy_that_vanished_is_operational_block(stage: Stage) -> None:
    """Configured but not to be applied: block, stay until fixed (spec 6.5)."""
    path = stage.policy_file("web", WEB)
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(path)
    await agent.stop()
    stage.files[path] = IpsecfdError("web: cannot be read")
    stage.happened()

    again = stage.agent()
    await start(again)
    assert stage.happened()[-4:] == ["event 4291", "event 5461", "88: block v0", "event 4292"]
    with pytest.raises(IpsecfdError, match="web: cannot be read"):
        await Changes(again).set_mode("secure")
    with pytest.raises(IpsecfdError):
        await Changes(again).reload()
    stage.happened()

    stage.policy_file("web", WEB)
    await Changes(again).reload()
    assert stage.happened() == ["88: secure v1", "event 5465", "event 4294"]
    await again.stop()


async def test_damaged_memory_is_operational_block(stage: Stage) -> None:
    """What was assigned is unknown then, which is not the same as nothing."""
    state.save(stage.state_dir, None)
    (stage.state_dir / state.FILE_NAME).write_text("{")
    agent = stage.agent()
    await start(agent)
    assert str(agent.mode) == "block"
    assert "damaged" in str(agent.mode_reason)
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert str(agent.mode) == "secure"
    await agent.stop()


async def test_unwritable_memory_ends_the_start(stage: Stage, tmp_path: Path) -> None:
    """`state_dir` must be usable before a policy is in force."""
    stage.state_dir = tmp_path / "file" / "state"
    (tmp_path / "file").write_text("")
    agent = stage.agent(stage.policy_file("web", WEB))
    with pytest.raises(IpsecfdError, match="state"):
        await start(agent)
    assert not stage.rules_there


async def test_stop_in_the_middle_of_a_start(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rules that a thread is just installing do not come back after the stop."""

    def slowly(config: RulesConfig, generation: Generation | None) -> Installed:
        time.sleep(0.1)
        return Stage.install(stage, config, generation)

    monkeypatch.setattr(stage, "install", slowly)
    agent = stage.agent(stage.policy_file("web", WEB))
    starting = asyncio.create_task(start(agent))
    await asyncio.sleep(0.05)
    starting.cancel()
    await asyncio.wait([starting])
    await agent.stop()
    await asyncio.sleep(0.1)
    assert not stage.rules_there
