"""The shadow policy: beside what it judges, what it finds, and when it begins anew."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ipsecfd.agent import shadow as shadow_module
from ipsecfd.agent import shadowing
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.counts import why_off
from ipsecfd.agent.start import start
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.shadow import Change, Compared, FlowKey
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.errors import KernelError
from ipsecfd.policy.model import Store
from tests.builders import Clock, ask
from tests.unit.agent.stage import Stage, content, settled

NOW = Decision(Verdict.PERMIT, Reason.FILTER, policy="web", rule="r", filter="any <-> me:80 tcp")
LATER = Decision(
    *(Verdict.PERMIT, Reason.FILTER, "web", "r", None, "any <-> me:80 tcp"), learnable=True
)
THEN = Decision(Verdict.BLOCK, Reason.FILTER, policy="new", rule="r", filter="me <-> any")


@pytest.fixture
async def agent(stage: Stage) -> AsyncIterator[Agent]:
    """An agent with a policy, and another policy's file."""
    stage.policy_file("new", "permit any <-> me:22 tcp", "block me <-> any")
    agent = stage.agent(stage.policy_file("web", "permit any <-> me:80 tcp", "block me <-> any"))
    await start(agent)
    stage.happened()
    yield agent
    await agent.stop()


def judged_by(stage: Stage) -> Settings:
    """What the packet process judges by."""
    found = stage.processes[88].settings
    assert found is not None
    return found


def verdicts(settings: Settings | None, *ports: int) -> list[str]:
    """What settings do with a stranger's packets to these ports."""
    assert settings is not None
    driver = Driver(settings, Clock())
    packets = (f"in tcp 203.0.113.66:4000 -> 192.0.2.10:{port}" for port in ports)
    return [ask(driver, text).verdict.value for text in packets]


def flow(port: int) -> FlowKey:
    """A flow to a port of ours."""
    return FlowKey(b"\xcb\x00\x71\x42", b"\xc0\x00\x02\x0a", 6, 4000, port)


def finds(stage: Stage, *changes: Change, number: int | None = None, packets: int = 10) -> None:
    """Have the packet process find changes, of the running comparison if nothing else is said."""
    running = judged_by(stage).comparison
    stage.processes[88].found = Compared(number or running, packets, 0, changes)


async def start_shadow(agent: Agent) -> None:
    """Put the other policy beside the first."""
    await shadowing.start(agent, Path("/etc/ipsecfd/new"))


async def test_it_judges_beside_and_decides_nothing(stage: Stage, agent: Agent) -> None:
    """What is in force stays, and is what decides."""
    await start_shadow(agent)
    settings = judged_by(stage)
    assert verdicts(settings, 80, 22) == ["permit", "block"]
    assert verdicts(settings.candidate, 80, 22) == ["block", "permit"]
    assert agent.policies.version == 1
    await shadowing.stop(agent)
    assert judged_by(stage).candidate is None


async def test_the_kernel_forgets_what_it_learnt(stage: Stage, agent: Agent) -> None:
    """Packets of learnt flows meet no judge; the packet process teaches nothing meanwhile."""
    await settled(agent)
    stage.happened()
    stage.tells_learning = True
    assert why_off(agent) is None
    await start_shadow(agent)
    assert stage.happened()[:2] == ["learn 3", "88: secure v1"]
    assert "shadow" in str(why_off(agent))
    await shadowing.stop(agent)
    assert why_off(agent) is None


async def test_it_stands_in_for_the_local_policy_alone(stage: Stage, agent: Agent) -> None:
    """What the persistent store adds is part of both sides."""
    stage.stores.replace(Store.PERSISTENT, content("always", "any -> me:22 tcp"))
    await Changes(agent).take_stores()
    await start_shadow(agent)
    settings = judged_by(stage)
    assert verdicts(settings, 80, 22) == ["permit", "block"]
    assert verdicts(settings.candidate, 80, 22) == ["block", "block"]


async def test_it_judges_as_in_secure_mode(stage: Stage, agent: Agent) -> None:
    """Whatever the mode is: that is what a policy is for."""
    await start_shadow(agent)
    await Changes(agent).set_mode("permit")
    settings = judged_by(stage)
    assert settings.mode is Mode.PERMIT
    assert settings.candidate is not None
    assert settings.candidate.mode is Mode.SECURE
    assert (await shadowing.report(agent, most=1, flows=1)).mode == "permit"


async def test_changes_are_told_by_filter_with_flows(stage: Stage, agent: Agent) -> None:
    """First and later packets of a flow are one; what is left out is counted."""
    await start_shadow(agent)
    many = tuple((flow(port), 1) for port in (1, 2, 3))
    finds(
        stage,
        Change(Direction.IN, NOW, THEN, 4, ((flow(80), 1), *many)),
        Change(Direction.IN, LATER, THEN, 9, ((flow(80), 7),)),
        Change(Direction.OUT, THEN, NOW, 1, ((flow(80), 1),)),
    )
    found = await shadowing.report(agent, most=1, flows=2)
    assert (found.policy, found.store, found.packets, found.changed) == ("new", "local", 10, 14)
    assert (found.left_out, found.left_out_packets) == (1, 1)
    [change] = found.changes
    assert (change.direction, change.packets) == ("in", 13)
    assert (change.now.verdict, change.now.filter) == ("permit", "any <-> me:80 tcp")
    assert (change.then.verdict, change.then.policy) == ("block", "new")
    assert [(one.destination_port, one.packets) for one in change.flows] == [(80, 8), (1, 1)]
    assert (change.left_out, change.left_out_packets, change.untold_packets) == (2, 2, 2)


async def test_counts_add_up_from_reading_to_reading(stage: Stage, agent: Agent) -> None:
    """Packet processes forget what they told."""
    await start_shadow(agent)
    for _ in range(2):
        finds(stage, Change(Direction.IN, NOW, THEN, 3, ((flow(80), 3),)))
        await agent.count()
    found = await shadowing.report(agent, most=1, flows=1)
    assert (found.packets, found.changed, found.changes[0].flows[0].packets) == (20, 6, 6)


async def test_other_policies_in_force_begin_it_anew(stage: Stage, agent: Agent) -> None:
    """It survives the reload, and what was found by the policies before is no part of it."""
    await start_shadow(agent)
    finds(stage, Change(Direction.IN, NOW, THEN, 3, ()))
    await agent.count()
    number = judged_by(stage).comparison
    stage.policy_file("web", "permit any <-> me:25 tcp", "block me <-> any")
    await Changes(agent).reload()
    settings = judged_by(stage)
    assert settings.comparison != number
    assert verdicts(settings, 25) == ["permit"]
    assert verdicts(settings.candidate, 22) == ["permit"]
    finds(stage, Change(Direction.IN, NOW, THEN, 3, ()), number=number)
    assert (await shadowing.report(agent, most=1, flows=1)).changed == 0


async def test_another_mode_or_address_goes_on(stage: Stage, agent: Agent) -> None:
    """The policies compared are the same."""
    await start_shadow(agent)
    number = judged_by(stage).comparison
    await Changes(agent).set_mode("block")
    assert judged_by(stage).comparison == number


async def test_another_candidate_is_another_comparison(stage: Stage, agent: Agent) -> None:
    """It takes the place of the one before."""
    await start_shadow(agent)
    number = judged_by(stage).comparison
    stage.policy_file("third", "permit any <-> me:23 tcp", "block me <-> any")
    await shadowing.start(agent, Path("/etc/ipsecfd/third"))
    settings = judged_by(stage)
    assert settings.comparison != number
    assert verdicts(settings.candidate, 22, 23) == ["block", "permit"]


async def test_a_replaced_packet_process_judges_by_it(stage: Stage, agent: Agent) -> None:
    """Its successor gets the same settings."""
    await start_shadow(agent)
    before = stage.processes[88]
    before.die("signal 9")
    await asyncio.sleep(0.05)
    assert stage.processes[88] is not before
    assert verdicts(judged_by(stage).candidate, 22) == ["permit"]


async def test_what_cannot_be_read_or_installed_changes_nothing(stage: Stage, agent: Agent) -> None:
    """Neither what is in force nor the shadow policy that is there."""
    with pytest.raises(IpsecfdError, match="cannot be read"):
        await shadowing.start(agent, Path("/etc/ipsecfd/missing"))
    stage.refuses_rules = True
    with pytest.raises(KernelError):
        await start_shadow(agent)
    assert agent.shadow is None
    assert stage.happened() == ["event 4288"]


async def test_without_one_there_is_nothing_to_tell(agent: Agent) -> None:
    """Also after a restart of the service, which the refusal says."""
    with pytest.raises(IpsecfdError, match="none outlasts the service"):
        await shadowing.report(agent, most=1, flows=1)
    with pytest.raises(IpsecfdError, match="no shadow policy"):
        await shadowing.stop(agent)


async def test_memory_is_bounded_and_counts_are_exact(
    stage: Stage, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of very many flows and causes not all are told apart."""
    monkeypatch.setattr(shadow_module, "MOST_FLOWS", 2)
    monkeypatch.setattr(shadow_module, "MOST_ROWS", 1)
    await start_shadow(agent)
    finds(
        stage,
        Change(Direction.IN, NOW, THEN, 5, tuple((flow(port), 1) for port in range(5))),
        Change(Direction.OUT, THEN, NOW, 7, ()),
    )
    found = await shadowing.report(agent, most=5, flows=5)
    assert (found.changed, found.left_out, found.left_out_packets) == (12, 0, 7)
    [change] = found.changes
    assert (len(change.flows), change.untold_packets) == (2, 3)
    with pytest.raises(IpsecfdError, match="at most"):
        await shadowing.report(agent, most=5000, flows=1)
