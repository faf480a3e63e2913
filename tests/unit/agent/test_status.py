"""The page of `ipsecfd status`: what the agent is and does, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ipsecfd.agent import shadowing
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.report import QueueReport, ReasonCount
from ipsecfd.agent.start import start
from ipsecfd.agent.status import StatusPage
from ipsecfd.kernel.queue_health import Health
from tests.unit.agent.stage import Stage


@dataclass
class FakeLog:
    """A log that cannot be written at the moment."""

    path: Path = Path("/var/log/x")
    problem: str | None = "No space left on device"
    lost_drops: int = 7
    lost_events: int = 0


def page(agent: Agent, *, forwarding: bool = False) -> StatusPage:
    """The page of an agent whose queue has seen 3 packets too many."""
    return StatusPage(
        agent,
        FakeLog(),
        health=lambda _number: Health(1, 3, 0),
        forwarding=lambda: forwarding,
    )


async def test_status(agent: Agent) -> None:
    """Everything that design.md wants of `status`."""
    found = await page(agent).status(None)
    assert (found.mode, found.mode_reason, found.startup_mode) == ("secure", None, "stateful")
    assert (found.profile, found.exempt, found.hook) == ("linux", 3, "nft queue")
    assert found.addresses == ["192.0.2.9", "192.0.2.10", "2001:db8::10"]
    assert found.servers == {"dns": ["192.0.2.53"]}
    assert found.version == 1
    [policy] = found.policies
    assert (policy.name, policy.store, policy.rules, policy.filters) == ("web", "local", 2, 2)
    assert found.packets == [ReasonCount("block", "filter", 5)]
    assert found.queues == [QueueReport(88, 1088, 30_000_000, 1, 3, 0)]
    assert (found.log.lost_drops, found.log.problem) == (7, "No space left on device")


async def test_warnings(stage: Stage, agent: Agent) -> None:
    """Queue, log, process, configuration: whatever is wrong is among the warnings."""
    asked = page(agent)
    asked.watch()
    asked.warn("a group is missing")
    stage.config_text = 'on_failure = "permit"\n'
    await Changes(agent).reload()
    stage.queue_taken = True
    stage.processes[88].die("signal 9")
    text = "\n".join((await asked.status(None)).warnings)
    for words in (
        "a group is missing",
        "on_failure changed from block to permit",
        "queue 88 was full: 3 packets",
        "a packet process is down",
        "/var/log/x: cannot be written: No space left on device",
    ):
        assert words in text


async def test_lost_packets_are_logged(stage: Stage, agent: Agent) -> None:
    """Once, however often the queue is looked at."""
    asked = page(agent)
    before = len(stage.events)
    asked.watch()
    asked.watch()
    assert stage.events[before:] == [
        (4288, "queue 88: packets were dropped unjudged: 3 because too many were waiting")
    ]


async def test_start_up_mode_of_this_start_and_of_the_next(stage: Stage) -> None:
    """A first start was permit, whatever was assigned since; the next one does as it is told."""
    agent = stage.agent(stage.policy_file("web", "block me <-> any"))
    await start(agent)
    found = await page(agent).status(None)
    assert (found.started_in, found.startup_mode) == ("permit", "stateful")
    stage.config_text = '[startup]\nmode = "block"\n'
    found = await page(agent).status(None)
    assert (found.started_in, found.startup_mode) == ("permit", "block")
    stage.config_text = "damaged"
    assert (await page(agent).status(None)).startup_mode == "stateful"
    stage.config_text = ""
    stage.crash(agent)
    again = stage.agent()
    await start(again)
    found = await page(again).status(None)
    assert (found.started_in, found.startup_mode) == (None, "stateful")
    await again.stop()


async def test_a_full_memory_of_conversations_is_told(stage: Stage, agent: Agent) -> None:
    """What stateful mode has no room for is counted, for somebody to see (spec 6.4)."""
    assert not any("stateful" in one for one in (await page(agent).status(None)).warnings)
    stage.processes[88].refused = 1200
    text = "\n".join((await page(agent).status(None)).warnings)
    assert "no room for more conversations: the answers to 1,200 packets" in text


async def test_advice_is_part_of_the_warnings(agent: Agent) -> None:
    """Forwarding that is on and not judged is told."""
    assert any(
        "forward" in one for one in (await page(agent, forwarding=True).status(None)).warnings
    )


async def test_a_shadow_policy_is_among_the_warnings(stage: Stage, agent: Agent) -> None:
    """It costs throughput, and may have been forgotten."""
    found = await page(agent).status(None)
    assert (found.cache.on, found.cache.why_off) == (True, None)
    await shadowing.start(agent, stage.policy_file("new", "block me <-> any"))
    found = await page(agent).status(None)
    assert any("`ipsecfd shadow off` ends it" in one for one in found.warnings)
    assert not found.cache.on
