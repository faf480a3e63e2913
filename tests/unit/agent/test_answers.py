"""The agent's answers: reports of what it is and does, and warnings."""

from __future__ import annotations

import asyncio
import ipaddress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.agent import dynamictext
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.answers import Answers
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.start import start
from ipsecfd.agent.tally import Cause, Row
from ipsecfd.agent.transfer import Judged
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import exact
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Renewal
from ipsecfd.policy.stores.dynamic import DynamicContent
from tests.unit.agent.stage import BLOCKED, Stage, content, dynamic
from tests.unit.agent.test_status import page


def answers(agent: Agent) -> Answers:
    """Answers about an agent."""
    return Answers(agent, Changes(agent), page(agent))


async def test_stats_add_up_over_processes(agent: Agent) -> None:
    """The same decision made by two processes is one line."""
    for _ in range(2):
        blocked = Decision(Verdict.BLOCK, Reason.FILTER, rule="x", filter="f")
        agent.tally.judged([Judged(Direction.IN, blocked, 5, 300)])
    [count] = [one for one in (await answers(agent).stats()).counts if one.rule == "x"]
    assert (count.direction, count.filter, count.packets) == ("in", "f", 10)


async def test_show_policy(agent: Agent) -> None:
    """Rules with their filters as written; an unknown name is refused."""
    [text] = await answers(agent).show_policy(name="web")
    assert [rule.action for rule in text.rules] == ["permit", "block"]
    assert text.rules[0].filters == ["any <-> me:80 tcp"]
    assert await answers(agent).show_policy(name=None) == [text]
    with pytest.raises(IpsecfdError, match="no policy named"):
        await answers(agent).show_policy(name="other")


async def test_where_the_stores_are(agent: Agent) -> None:
    """In the `state_dir` that the service runs with, whatever its file says by now."""
    assert answers(agent).state_dir() == str(agent.config.state_dir)


async def test_a_change_on_trial_is_told(agent: Agent) -> None:
    """`status` and GetTrial have it until it is confirmed."""
    asked = answers(agent)
    assert asked.trial() is None
    await asked.set_mode(mode="block", confirm=60)
    found = asked.trial()
    assert found is not None
    assert (found.what, found.seconds, found.left) == ("mode block", 60, 60)
    assert (await asked.status()).trial == found
    assert await asked.confirm() == "mode block"
    assert asked.trial() is None


async def test_policies_in_force_are_told_exactly(agent: Agent) -> None:
    """What was told reads back as the policy."""
    found = answers(agent).in_force()
    assert (found.profile, found.exempt, found.forward) == ("linux", 3, False)
    [one] = found.policies
    assert one.store == "local"
    assert exact.parse(one.text) == agent.policies.sources[0].policy


async def test_assign_wants_an_absolute_path(agent: Agent) -> None:
    """The daemon's working directory is nobody else's."""
    with pytest.raises(IpsecfdError, match="absolute"):
        await answers(agent).assign_file(file="web.toml", confirm=None)


async def test_resolved_names_in_words(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    """What each name stands for now, what it was, and which server did not answer."""
    old, new = (ipaddress.ip_address(text) for text in ("192.0.2.1", "192.0.2.2"))
    assert await answers(agent).resolve() == ["no policy in force uses a DNS name"]

    async def resolve(_self: Changes) -> tuple[Renewal, ...]:
        return (
            Renewal("a.example", (old,), (old, new)),
            Renewal("b.example", (old,), (old,)),
            Renewal("c.example", (old,), (old,), "timed out"),
        )

    monkeypatch.setattr(Changes, "resolve", resolve)
    assert await answers(agent).resolve() == [
        "a.example: 192.0.2.1, 192.0.2.2 (was 192.0.2.1)",
        "b.example: 192.0.2.1",
        "c.example: no answer (timed out); still 192.0.2.1",
    ]


async def test_policies_of_the_local_store_are_listed(stage: Stage, agent: Agent) -> None:
    """Those in force first; a name that is only in the store can be shown as well."""
    stage.stores.replace(Store.LOCAL, content("mine", "any -> me:80 tcp"))
    listed = await answers(agent).list_policies()
    assert [(one.name, one.in_force, one.filters) for one in listed] == [
        ("web", True, 2),
        ("mine", False, 1),
    ]
    [text] = await answers(agent).show_policy(name="MINE")
    assert text.rules[0].filters == ["any -> me:80 tcp"]


async def test_status_tells_stores_domain_and_dynamic_rules(stage: Stage, agent: Agent) -> None:
    """In numbers; there is no domain where none is configured."""
    stage.stores.replace(Store.PERSISTENT, content("always"))
    await Changes(agent).take_stores()
    rules = dynamictext.render(dynamic("any -> me:22 tcp"))
    await Changes(agent).set_dynamic(agent.dynamic_revision, rules)
    found = await answers(agent).status()
    assert [(one.store, one.policies, one.assigned) for one in found.stores] == [
        ("persistent", 1, "always"),
        ("local", 0, None),
    ]
    assert (found.dynamic_rules, found.domain) == (1, None)
    with pytest.raises(IpsecfdError, match="no domain policy"):
        answers(agent).domain()


async def test_counts_may_grow_while_they_are_read(
    agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are read in a thread, and packets are judged meanwhile."""
    rows: dict[Cause, Row] = {}

    class Growing(Row):
        """A row that another one is counted beside whenever it is read."""

        def __getattribute__(self, name: str) -> Any:
            rows[Cause.of(Direction.OUT, replace(BLOCKED, rule=f"{len(rows)}"))] = Row()
            return super().__getattribute__(name)

    for rule in "ab":
        rows[Cause.of(Direction.IN, replace(BLOCKED, rule=rule))] = Growing(packets=5)
    monkeypatch.setattr(agent.tally, "_rows", rows)
    monkeypatch.setattr(agent, "count", lambda: asyncio.sleep(0))
    assert (await answers(agent).desk(keys=True)).blocked_in == 10
    assert len((await answers(agent).stats()).counts) > 2


async def test_desk(agent: Agent) -> None:
    """What commands start from: counters by direction and reason, and what the driver runs with."""
    desk = await answers(agent).desk(keys=True)
    assert (desk.blocked_in, desk.blocked_out, desk.permitted_in, desk.no_filter) == (5, 0, 0, 0)
    assert (desk.level, desk.interval, desk.exempt, desk.boot_mode) == (7, 0, 3, "stateful")
    assert desk.addresses == ["192.0.2.9", "192.0.2.10", "2001:db8::10"]
    assert dynamictext.parse(desk.dynamic) == DynamicContent()
    (file,) = desk.files
    assert (file.name, Path(file.file).is_absolute()) == ("web", True)


async def test_netdiag(agent: Agent) -> None:
    """The local policy by its name; its filters expanded to the host's addresses with debug."""
    brief = await answers(agent).netdiag(debug=False)
    assert "Local IPSec Policy Active: 'web'" in brief
    assert "filters" not in brief
    assert "Dest Addr : 192.0.2.10" in await answers(agent).netdiag(debug=True)


async def test_domain(tmp_path: Path) -> None:
    """Source, policy, whether it is the copy, and when it is looked for again."""
    stage = Stage(tmp_path)
    stage.config_text = '[domain]\nsource = "https://policies.example/web"\n'
    stage.stores.replace(Store.DOMAIN, content("domain"))
    agent = stage.agent()
    await start(agent)
    found = answers(agent).domain()
    assert (found.policy, found.known, found.copy, found.last_success) == (
        *("domain", True, True),
        None,
    )
    stage.source = content("domain")
    assert await answers(agent).refresh_domain() == "the domain policy is in force"
    found = answers(agent).domain()
    assert (found.copy, found.etag, found.error) == (False, "etag", None)
    await agent.stop()
