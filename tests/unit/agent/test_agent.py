"""The agent's order of events, as transcripts: what is done, what comes of it, line by line."""

from __future__ import annotations

import asyncio
import ipaddress
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.agent import state
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.events import MODES
from ipsecfd.agent.flow_list import FlowChoice
from ipsecfd.agent.start import start
from ipsecfd.agent.state import StateError
from ipsecfd.driver.host import Host
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.counters import Counters
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.flows import Flow
from ipsecfd.kernel.rules import RulesConfig
from ipsecfd.policy.model import (
    Action,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Policy,
    Rule,
    Store,
)
from ipsecfd.policy.names import Renewal
from tests.builders import policy, rule
from tests.unit.agent.stage import Stage, content, learnt, settled

BLOCK_ALL = "block me <-> any"
WEB = "permit any <-> me:80 tcp"


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that comes by itself."""
    for _ in range(20_000):
        if holds():
            return
        await asyncio.sleep(0.001)
    raise TimeoutError


async def test_stop_under_systemd_keeps_the_rules(stage: Stage) -> None:
    """Whether a stop is a restart is known to systemd alone."""
    agent = stage.agent(stage.policy_file("web", WEB), managed=True)
    await start(agent)
    stage.happened()
    await agent.stop()
    assert stage.happened() == ["88: ends"]


async def test_reload_swaps_whole_or_not_at_all(stage: Stage) -> None:
    """Reload, mistake, reload: the old policy stays until a good one is there."""
    path = stage.policy_file("web", WEB)
    agent = stage.agent(path)
    await start(agent)
    stage.happened()

    stage.policy_file("web", WEB, BLOCK_ALL)
    await Changes(agent).reload()
    assert stage.happened() == ["88: secure v2", "event 5465"]

    stage.files[path] = IpsecfdError("web: rule[2].filters[1]: mistake\nweb: name: mistake")
    with pytest.raises(IpsecfdError, match="mistake"):
        await Changes(agent).reload()
    assert stage.happened() == ["event 5461"]
    assert "web: name: mistake" in stage.events[-1][1]
    assert (agent.policies.version, agent.policies.filters) == (2, 2)

    stage.policy_file("web", BLOCK_ALL)
    await Changes(agent).reload()
    assert stage.happened() == ["88: secure v3", "event 5465"]
    await agent.stop()


async def test_modes_change_live(stage: Stage) -> None:
    """permit, block, stateful, secure, each with Windows' event; a reload keeps the mode."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    for name, line, event in (
        ("permit", "88: permit v1", "event 4293"),
        ("block", "88: block v1", "event 4292"),
        ("stateful", "88: stateful v1", "event 4291"),
    ):
        await Changes(agent).set_mode(name)
        assert [line, event] == stage.happened()
        assert agent.mode_reason == "set by hand, until the next start"
    await Changes(agent).reload()
    assert stage.happened() == ["88: stateful v2", "event 5465"]
    await Changes(agent).set_mode("secure")
    assert stage.happened() == ["88: secure v2", "event 4294"]
    assert agent.mode_reason is None
    await agent.stop()


async def test_learnt_flows_are_forgotten_before_other_settings_come(stage: Stage) -> None:
    """No moment in which the kernel lets pass what the new settings would block; what it had
    learnt is counted when they hold."""
    agent = stage.agent(stage.policy_file("web", WEB))
    stage.tells_learning = True
    await start(agent)
    await settled(agent)
    assert [line for line in stage.happened() if not line.startswith("event")] == [
        "88: starts",
        "88: startup-permit v0",
        "rules",
        "learn 1",
        "learn 2",
        "88: secure v1",
        "read 1",
        "read 2",
        "forget 1",
    ]
    await Changes(agent).set_mode("block")
    assert stage.happened()[:2] == ["learn 3", "88: block v1"]
    assert stage.processes[88].settings is not None
    assert stage.processes[88].settings.generation == 3


async def test_changes_wait_for_no_reading(stage: Stage) -> None:
    """As long as a full set takes to read, and however many want it read; what was learnt before
    is counted afterwards, all of it once."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    await settled(agent)
    stage.flows[2] = [learnt(packets=5)]
    stage.reading.clear()
    readers = [asyncio.create_task(agent.hook.flows(FlowChoice(port=one), 9)) for one in (80, 81)]
    count = asyncio.create_task(agent.hook.read_learnt())
    stage.happened()
    for name in ("block", "permit"):
        async with asyncio.timeout(5):
            await Changes(agent).set_mode(name)
    assert [line for line in stage.happened() if line[0] == "8"] == [
        "88: block v1",
        "88: permit v1",
    ]
    stage.reading.set()
    await asyncio.gather(*readers, count)
    await settled(agent)
    await agent.hook.read_learnt()
    assert [row.learnt for row in agent.tally.rows.values() if row.learnt] == [4]


async def test_numbers_of_settings_come_round_while_a_set_is_read(stage: Stage) -> None:
    """What was learnt under the same number long ago is not taken for what is learnt now but said
    to be missing, and what is in use is not removed."""
    stage.config_text = "[queue]\nmark = 0xf8000000\n"  # three numbers
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    await settled(agent)
    stage.tells_learning = True
    stage.flows[2] = [learnt(packets=5)]
    stage.reading.clear()
    for name in ("block", "permit", "secure"):
        await Changes(agent).set_mode(name)
    stage.flows[2] = [learnt(packets=3)]
    stage.counters = Counters(4 + 2, 400 + 200)
    stage.reading.set()
    await settled(agent)
    await agent.hook.read_learnt()
    assert [row.learnt for row in agent.tally.rows.values() if row.learnt] == [2]
    assert agent.tally.missing == (4, 400)
    happened = stage.happened()
    assert [line for line in happened if line.startswith("learn")] == [
        "learn 3",
        "learn 1",
        "learn 2",
    ]
    assert {line for line in happened if line.startswith("forget")} == {"forget 1", "forget 3"}


async def test_sets_that_a_refused_change_would_have_removed_are_read(stage: Stage) -> None:
    """Their number comes round, nft refuses the change, so they are there, and nothing of what they
    counted is missing; they are removed when they are read."""
    stage.config_text = "[queue]\nmark = 0xf8000000\n"  # three numbers
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    await settled(agent)
    stage.tells_learning = True
    stage.flows[2], stage.counters = [learnt(packets=5)], Counters(4, 400)
    stage.reading.clear()
    for name in ("block", "permit"):
        await Changes(agent).set_mode(name)
    stage.refuses_rules = True
    with pytest.raises(KernelError, match="nft refused"):
        await Changes(agent).set_mode("secure")
    stage.reading.set()
    await settled(agent)
    assert [row.learnt for row in agent.tally.rows.values() if row.learnt] == [4]
    assert agent.tally.missing == (0, 0)
    assert {line for line in stage.happened() if line[0] == "f"} == {"forget 2", "forget 3"}


async def test_sets_replaced_while_they_are_read_are_read_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets passed by them after that reading: what they counted was not complete."""
    begun, go, read = threading.Event(), threading.Event(), stage.read_flows

    def slow(config: RulesConfig, generation: Generation) -> list[Flow]:
        if generation.number == 3:
            begun.set()
            assert go.wait(20)
        return read(config, generation)

    monkeypatch.setattr(stage, "read_flows", slow)
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    await settled(agent)
    stage.tells_learning = True
    await Changes(agent).set_mode("block")
    assert await asyncio.to_thread(begun.wait, 20)
    await Changes(agent).set_mode("permit")
    go.set()
    await settled(agent)
    happened = stage.happened()
    assert "read 3" in happened[happened.index("forget 2") : happened.index("forget 3")]


async def test_mode_stays_when_learnt_flows_cannot_be_forgotten(stage: Stage) -> None:
    """A change that is in force only for new flows would be none."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    stage.refuses_rules = True
    with pytest.raises(KernelError, match="nft refused"):
        await Changes(agent).set_mode("block")
    assert str(agent.mode) == "secure"
    assert stage.happened() == ["event 4288"]


async def test_refusals_do_not_bring_a_number_back(stage: Stage) -> None:
    """Verdicts given by the settings in force must not be learnt under those that replace them,
    however many changes were refused in between: there are only so many numbers."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    changes = Changes(agent)
    for refusals in range(10):
        before = agent.settings(agent.mode).generation
        stage.refuses_rules = True
        for _ in range(refusals):
            with pytest.raises(KernelError):
                await changes.set_mode("block")
        stage.refuses_rules = False
        assert agent.settings(agent.mode).generation == before
        await changes.set_mode("block" if refusals % 2 else "permit")
        assert agent.settings(agent.mode).generation != before
    await agent.stop()


async def test_policy_that_cannot_be_remembered_is_refused(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be in force now and unknown to the next start: nothing of it is in force."""

    def full(*_: object) -> None:
        raise StateError("assigned.json: cannot be written: No space left on device")

    agent = stage.agent()
    await start(agent)
    stage.stores.replace(Store.LOCAL, content("web", "any -> me:80 tcp"))
    stage.happened()
    monkeypatch.setattr(state, "save", full)
    with pytest.raises(StateError, match="No space"):
        await Changes(agent).take_stores()
    assert agent.policies.sources == ()
    assert "88: secure v1" not in stage.happened()
    await agent.stop()


async def test_refused_first_assignment_is_forgotten(stage: Stage) -> None:
    """What is assigned next is the first: it is written down, and the next boot begins closed."""
    agent = stage.agent()
    await start(agent)
    changes = Changes(agent)
    stage.boot_file.kept.clear()
    stage.refuses_rules = True
    with pytest.raises(KernelError):
        await changes.assign_file(stage.policy_file("web", WEB))
    stage.refuses_rules = False
    stage.stores.replace(Store.LOCAL, content("web", "any -> me:80 tcp"))
    await changes.take_stores()
    assert state.load(stage.state_dir).ever_assigned
    assert stage.boot_file.kept
    await changes.reload()
    await agent.stop()
    agent = stage.agent()
    await start(agent)
    assert str(agent.mode) == "secure"
    await agent.stop()


async def test_change_that_comes_while_the_rules_go_brings_none_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody would judge what they queue, and the host would be closed."""
    begun, go, remove = threading.Event(), threading.Event(), stage.remove

    def slow() -> None:
        begun.set()
        assert go.wait(20)
        remove()

    monkeypatch.setattr(stage, "remove", slow)
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stopping = asyncio.create_task(agent.stop())
    assert await asyncio.to_thread(begun.wait, 20)
    change = asyncio.create_task(agent.enter(MODES["block"]))
    for _ in range(10):
        await asyncio.sleep(0)  # until it waits for its turn
    go.set()
    await asyncio.gather(stopping, change)
    assert not stage.rules_there


async def test_refusals_of_the_kernel_are_logged(stage: Stage) -> None:
    """Nobody may be there to be told: a reload by SIGHUP has no other words."""
    web = stage.policy_file("web", WEB)
    agent = stage.agent(web)
    await start(agent)
    changes = Changes(agent)
    for change in (changes.reload, lambda: changes.assign_file(web)):
        stage.refuses_rules = True
        with pytest.raises(KernelError, match="nft refused"):
            await change()
        stage.refuses_rules = False
        assert stage.events[-1] == (
            4288,
            "refused: nft refused our rules",
        )


async def test_without_a_cache_nothing_is_learnt(stage: Stage) -> None:
    """`cache = "off"` queues every packet, and no verdict carries a mark."""
    stage.config_text = 'cache = "off"\n'
    agent = stage.agent(stage.policy_file("web", WEB))
    stage.tells_learning = True
    await start(agent)
    assert [line for line in stage.happened() if "learn" in line] == ["learn nothing"]
    assert stage.processes[88].settings is not None
    assert stage.processes[88].settings.generation == 0


async def test_rules_that_another_program_flushed_come_back(stage: Stage) -> None:
    """A flushed rule set must not leave the host open without anybody noticing; the same
    generation goes on, in new sets, so that packets are judged as before."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    assert await agent.keep_rules(time.monotonic())
    assert stage.happened() == []
    await settled(agent)
    assert agent.tally.loss is None
    stage.rules_there = False
    stage.tells_learning = True
    assert await agent.keep_rules(time.monotonic() - 1)
    assert stage.happened() == ["rules", "learn 2", "event 4288"]
    assert "1,00" in stage.events[-1][1]
    assert agent.tally.loss is not None
    assert agent.tally.loss.times == 1
    await agent.stop()
    assert await agent.keep_rules(time.monotonic())
    assert not stage.rules_there


async def test_rules_that_cannot_come_back_are_told_of_once(stage: Stage) -> None:
    """However often it is tried; and then they come."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    stage.rules_there, stage.refuses_rules = False, True
    for _ in range(3):
        assert not await agent.keep_rules(time.monotonic())
    assert stage.happened() == ["event 4288"]
    stage.refuses_rules = False
    assert await agent.keep_rules(time.monotonic())
    assert stage.happened() == ["rules", "event 4288"]
    await agent.stop()


async def test_change_that_finds_no_rules_puts_them_back(stage: Stage) -> None:
    """A mode or policy is not refused because another program was here a moment ago, and the log
    has the gap all the same."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    stage.rules_there = False
    await agent.enter(MODES["block"])
    assert stage.happened() == ["rules", "88: block v1", "event 4292"]
    await agent.keep_rules(time.monotonic())
    assert stage.happened() == ["event 4288"]
    await agent.stop()


async def test_unknown_mode_is_refused(stage: Stage) -> None:
    """The refusal names the modes there are."""
    agent = stage.agent()
    await start(agent)
    with pytest.raises(IpsecfdError, match="permit, block, stateful, secure"):
        await Changes(agent).set_mode("open")
    await agent.stop()


async def test_assigned_policy_comes_back(stage: Stage) -> None:
    """Assigning another policy un-assigns the first (spec 1.1), and a restart keeps it."""
    one, other = stage.policy_file("one", WEB), stage.policy_file("other", BLOCK_ALL)
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(one)
    await Changes(agent).assign_file(other)
    assert [source.policy.name for source in agent.policies.sources] == ["other"]
    await agent.stop()

    again = stage.agent()
    await start(again)
    assert [source.policy.name for source in again.policies.sources] == ["other"]
    await Changes(again).unassign("other")
    assert again.policies.sources == ()
    await again.stop()
    assert state.State(ever_assigned=True) == state.load(stage.state_dir)


async def test_bad_assignment_changes_nothing(stage: Stage) -> None:
    """A policy with mistakes is refused; what was assigned stays."""
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(stage.policy_file("good", WEB))
    stage.happened()
    with pytest.raises(IpsecfdError, match="cannot be read"):
        await Changes(agent).assign_file(Path("/etc/ipsecfd/missing"))
    assert stage.happened() == ["event 5461"]
    with pytest.raises(IpsecfdError, match=r'no local policy named "bad".*"good"'):
        await Changes(agent).unassign("bad")
    assert Path("/etc/ipsecfd/good") == state.load(stage.state_dir).assigned
    await agent.stop()


async def test_reload_of_damaged_memory_does_not_open(stage: Stage) -> None:
    """As long as nobody knows what was assigned, a reload must not find "nothing"."""
    state.save(stage.state_dir, None)
    (stage.state_dir / state.FILE_NAME).write_text("{")
    agent = stage.agent()
    await start(agent)
    with pytest.raises(IpsecfdError, match="damaged"):
        await Changes(agent).reload()
    assert str(agent.mode) == "block"
    await agent.stop()


async def test_new_addresses_need_no_compilation(stage: Stage) -> None:
    """A change of address is a new Host for the same tables."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    host = Host(frozenset({ipaddress.ip_address("192.0.2.7")}), delivered=True)
    agent.host_changed(Host(delivered=True))
    agent.host_changed(host)
    await asyncio.sleep(0.01)
    assert stage.happened() == ["88: secure v1"]
    settings = stage.processes[88].settings
    assert settings is not None
    assert host == settings.host
    await agent.stop()


async def test_new_addresses_are_tried_until_the_kernel_takes_them(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody tells of them a second time. It is logged once, and a warning for as long."""
    monkeypatch.setattr("ipsecfd.agent.agent.RETRY_SECONDS", 0.001)
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    host = Host(frozenset({ipaddress.ip_address("192.0.2.7")}), delivered=True)
    stage.refuses_rules = True
    agent.host_changed(host)
    await until(lambda: "addresses" in agent.warnings)
    await asyncio.sleep(0.02)
    assert stage.happened() == ["event 4288"]
    assert "addresses that this host had: nft refused" in agent.warnings["addresses"]
    stage.refuses_rules = False
    await until(lambda: "addresses" not in agent.warnings)
    assert stage.happened() == ["88: secure v1"]
    assert stage.processes[88].settings is not None
    assert host == stage.processes[88].settings.host
    assert agent.warnings == {}
    await agent.stop()


async def test_names_of_interfaces_count_where_rules_ask_for_them(stage: Stage) -> None:
    """The same host told again: an interface has another name, which matters to rules for dial-up
    or LAN alone."""
    path = stage.policy_file("web", WEB)
    agent = stage.agent(path)
    await start(agent)
    stage.happened()
    agent.host_changed(replace(agent.host))
    await asyncio.sleep(0.01)
    assert stage.happened() == []
    stage.files[path] = policy(rule("block", "me <-> any", connection=Connection.DIALUP))
    await Changes(agent).reload()
    stage.happened()
    agent.host_changed(replace(agent.host))
    await asyncio.sleep(0.01)
    assert stage.happened() == ["88: secure v2"]
    await agent.stop()


async def test_exempt_waits_for_the_next_start(stage: Stage) -> None:
    """T16: the old value until restart, and a warning; the log level changes at once."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    stage.config_text = "exempt = 0\n[diagnostics]\nlevel = 2\ninterval = 60\n"
    notes = await Changes(agent).reload()
    assert stage.happened() == [
        "88: secure v2",
        "event 5465",
        "88: level 2, interval 60",
        "88: secure v2",  # so that what may be learnt follows the level
    ]
    assert notes == ["exempt changed from unset to 0: takes effect at the next start"]
    assert notes == agent.pending
    assert agent.config.exempt_value == 3
    await agent.stop()

    again = stage.agent()
    assert (again.config.exempt_value, again.pending) == (0, [])


async def test_wrong_configuration_refuses_the_reload(stage: Stage) -> None:
    """Nothing is reloaded when the configuration has a mistake."""
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    stage.happened()
    stage.config_text = "exempt = 9\n"
    with pytest.raises(IpsecfdError, match='exempt: "9": expected'):
        await Changes(agent).reload()
    assert stage.happened() == ["event 5461"]
    await agent.stop()


async def test_names_are_resolved_anew_on_demand(stage: Stage) -> None:
    """`policy resolve` asks for the names in force and compiles the answers."""
    old, new = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")
    named = Filter(AnyAddress(), DnsName("www.example", (old,)))
    rule = Rule("r", FilterList("l", (named,)), FilterAction.both("block", Action.BLOCK))
    path = stage.policy_file("named")
    stage.files[path] = Policy("named", (rule,))
    stage.renewals = (Renewal("www.example", (old,), (new,)),)
    agent = stage.agent(path)
    await start(agent)
    stage.happened()
    assert await Changes(agent).resolve() == stage.renewals
    assert stage.happened() == ["resolve www.example", "88: secure v2", "event 5465"]
    await agent.stop()


async def test_on_failure_permit_lets_packets_pass_unjudged(stage: Stage) -> None:
    """`on_failure` is the queue's bypass flag."""
    stage.config_text = 'on_failure = "permit"\n'
    agent = stage.agent()
    await start(agent)
    assert "rules, bypass" in stage.happened()
    await agent.stop()
