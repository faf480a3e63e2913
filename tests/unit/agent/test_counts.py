"""Counts for the control socket: filters with and without hits, in parts; the kernel's share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ipsecfd.agent import counts
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.counts import cache_report, filter_page, stats_report
from ipsecfd.agent.packet_reports import FilterPage
from ipsecfd.agent.start import start
from ipsecfd.agent.tally import Cause, Passed
from ipsecfd.agent.transfer import Judged
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.counters import Counters
from tests.unit.agent.stage import NOW, Stage


@pytest.fixture
async def agent(stage: Stage) -> AsyncIterator[Agent]:
    """An agent with three filters, of rules with their actions' names; nothing was judged yet."""
    rules = ("permit any <-> me:80 tcp", "permit any <-> me:22 tcp", "block me <-> any")
    stage.judged = ()
    agent = stage.agent(stage.policy_file("web", *rules))
    await start(agent)
    yield agent
    await agent.stop()


def decision(written: str, rule: str, *, mirrored: bool = False) -> Decision:
    """What a filter of the policy decides."""
    reason = Reason.FILTER
    return Decision(
        Verdict.PERMIT, reason, policy="web", rule=rule, filter=written, mirrored=mirrored
    )


def judged(agent: Agent, written: str, packets: int, *, mirrored: bool = False) -> None:
    """Packets that a filter in force decided about."""
    [rule] = [
        rule.name
        for _, policy in agent.policies.policies
        for rule in policy.rules
        if written in [one.written for one in rule.filter_list.filters]
    ]
    one = decision(written, rule, mirrored=mirrored)
    agent.tally.judged([Judged(Direction.IN, one, packets, 100 * packets)])


def listed(page: FilterPage) -> list[tuple[str, int]]:
    """The filters of a part with their packets."""
    return [(one.filter, one.packets) for one in page.filters]


async def test_an_answer_has_the_most_frequent(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may look can have there be very many causes: the rest is told as a sum."""
    for rule, packets in (("a", 3), ("b", 9), ("c", 1), ("d", 5)):
        agent.tally.judged([Judged(Direction.IN, decision("f", rule), packets, 0)])
    assert (stats_report(agent).left_out, stats_report(agent).left_out_packets) == (0, 0)
    monkeypatch.setattr(counts, "MOST_COUNTS", 2)
    found = stats_report(agent)
    assert [one.packets for one in found.counts] == [9, 5]
    assert (found.left_out, found.left_out_packets) == (2, 4)


async def test_a_filter_counts_whichever_way_it_decided(agent: Agent) -> None:
    """Mirrored or not, in or out: one line with packets, bytes and the last hit."""
    judged(agent, "any <-> me:80 tcp", 5)
    judged(agent, "any <-> me:80 tcp", 2, mirrored=True)
    [one] = filter_page(agent, every=False, first=0).filters
    assert (one.policy, one.filter, one.action) == ("web", "any <-> me:80 tcp", "permit")
    assert (one.packets, one.octets, one.learnt) == (7, 700, 0)
    assert one.last is not None


async def test_filters_without_hits_are_counted_or_told(agent: Agent) -> None:
    """In the order of the policy."""
    judged(agent, "any <-> me:22 tcp", 5)
    page = filter_page(agent, every=False, first=0)
    assert (listed(page), page.left_out) == ([("any <-> me:22 tcp", 5)], 2)
    page = filter_page(agent, every=True, first=0)
    assert listed(page) == [("any <-> me:80 tcp", 0), ("any <-> me:22 tcp", 5), ("me <-> any", 0)]
    assert page.left_out == 0


async def test_parts_make_up_the_list(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each begins where the one before ends, whether filters without hits are asked for or not."""
    monkeypatch.setattr(counts, "PAGE", 1)
    judged(agent, "any <-> me:80 tcp", 5)
    judged(agent, "me <-> any", 6)
    found, left_out, first = [], 0, 0
    while True:
        page = filter_page(agent, every=False, first=first)
        found += listed(page)
        left_out += page.left_out
        if page.next is None:
            break
        first = page.next
    assert (found, left_out) == ([("any <-> me:80 tcp", 5), ("me <-> any", 6)], 1)
    assert filter_page(agent, every=True, first=99).filters == []
    with pytest.raises(IpsecfdError, match="expected 0 or more"):
        filter_page(agent, every=True, first=-1)


async def test_filters_that_are_gone_come_last(stage: Stage, agent: Agent) -> None:
    """Their packets were decided all the same; the policies' version says that the list changed."""
    judged(agent, "any <-> me:80 tcp", 5)
    before = filter_page(agent, every=True, first=0).version
    stage.policy_file("web", "block me <-> any")
    await Changes(agent).reload()
    page = filter_page(agent, every=True, first=0)
    assert listed(page) == [("me <-> any", 0), ("any <-> me:80 tcp", 5)]
    assert [one.action for one in page.filters] == ["block", ""]
    assert page.version != before


async def test_the_kernels_share(stage: Stage, agent: Agent) -> None:
    """What it decided by itself, and what of it is in no row."""
    cause = Cause.of(Direction.IN, decision("any <-> me:80 tcp", "r"))
    agent.tally.learnt(Counters(10, 1000, 3), {cause: Passed(8, 800, 0)})
    found = cache_report(agent)
    assert (found.on, found.packets, found.octets, found.refused) == (True, 10, 1000, 3)
    assert (found.missing_packets, found.missing_octets) == (2, 200)
    assert found.read is not None
    assert found.read.startswith(str(NOW.astimezone().date()))
    assert (found.losses, found.lost_since, found.lost_until) == (0, None, None)
    agent.tally.new_table(lost=True)
    found = cache_report(agent)
    assert (found.losses, found.lost_since, found.lost_until) == (1, found.read, found.read)
