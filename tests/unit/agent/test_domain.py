"""The domain policy: when it is looked for, and what counts until it is found (1.5, 1.6)."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.start import start
from ipsecfd.driver.driver import Settings
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.errors import KernelError
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores.content import Content
from tests.unit.agent.stage import NOW, Stage, content

URL = "https://policies.example/web"
GONE = IpsecfdError(f"{URL}: cannot be reached: no route")


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """A host whose configuration names a domain source."""
    stage = Stage(tmp_path)
    stage.config_text = f'[domain]\nsource = "{URL}"\n'
    return stage


def polled(seconds: int) -> Content:
    """A domain policy with this polling interval."""
    found = content("domain")
    policies = {key: replace(one, polling=seconds) for key, one in found.policies.items()}
    return replace(found, policies=policies)


def known(agent: Agent) -> Domain:
    """The agent's domain."""
    assert agent.domain is not None
    return agent.domain


def in_force(agent: Agent) -> list[str]:
    """The names of the policies in force."""
    return [source.policy.name for source in agent.policies.sources]


async def refuse(_: Settings) -> None:
    """Packet processes that take no settings."""
    raise KernelError("packet process 1 did not answer in 10 s")


async def look(stage: Stage, agent: Agent) -> float:
    """One look, whatever comes of it; minutes until the next."""
    stage.clock.seconds += known(agent).next_look
    with contextlib.suppress(IpsecfdError):
        await Changes(agent).domain.look()
    return known(agent).next_look / 60


async def test_first_look_is_due_at_once(stage: Stage) -> None:
    """A restart of the service forces a refresh (spec 1.6)."""
    agent = stage.agent()
    assert known(agent).next_look == 0


async def test_retries_come_ever_later(stage: Stage) -> None:
    """N := min((n + 1)^2, 166) minutes from n = 0; a success starts over (spec 1.6)."""
    agent = stage.agent()
    await start(agent)
    stage.source = GONE
    assert [await look(stage, agent) for _ in range(5)] == [1, 4, 25, 166, 166]
    stage.source = content("domain")
    assert await look(stage, agent) == 180
    stage.source = GONE
    assert await look(stage, agent) == 1
    await agent.stop()


@pytest.mark.parametrize(("polling", "minutes"), [(600, 10), (0, 180), (1, 1)])
async def test_polling_is_the_policys_own(stage: Stage, polling: int, minutes: float) -> None:
    """Each policy says how often it is looked for; 0 is the default, and there is a floor."""
    agent = stage.agent()
    await start(agent)
    stage.source = polled(polling)
    assert await look(stage, agent) == minutes
    stage.source = None
    assert await look(stage, agent) == minutes
    await agent.stop()


async def test_url_is_looked_for_after_the_start(stage: Stage) -> None:
    """Closed until policies decide, a host could not reach its server; the start does not wait."""
    stage.source = content("domain")
    agent = stage.agent()
    await start(agent)
    assert f"fetch {URL}" not in stage.happened()
    assert in_force(agent) == []
    await Changes(agent).domain.look()
    assert stage.happened() == [f"fetch {URL}", "88: secure v2", "event 5456"]
    assert in_force(agent) == ["domain"]
    await agent.stop()


async def test_file_is_read_at_the_start(stage: Stage) -> None:
    """A domain policy that is a file is in force with the others, at once."""
    stage.config_text = '[domain]\nsource = "/srv/domain.toml"\n'
    stage.source = content("domain")
    agent = stage.agent()
    await start(agent)
    assert stage.happened()[-4:] == [*("event 5460", "event 5456", "88: secure v1", "event 4294")]
    assert in_force(agent) == ["domain"]
    await agent.stop()


async def test_copy_counts_while_the_source_is_away(stage: Stage) -> None:
    """5458 copy applied, 5457 source away, 5468 reachable again and applied (spec 7.2)."""
    first = stage.agent()
    await start(first)
    stage.source = content("domain")
    await Changes(first).domain.look()
    await first.stop()
    assert stage.stores.read(Store.DOMAIN) == stage.source

    again = stage.agent()
    stage.happened()
    await start(again)
    assert in_force(again) == ["domain"]
    assert "event 5458" in stage.happened()
    assert known(again).from_copy
    stage.source = GONE
    await look(stage, again)
    assert stage.happened() == [f"fetch {URL}", "event 5457"]
    assert in_force(again) == ["domain"]
    stage.source = content("newer")
    await look(stage, again)
    assert stage.happened() == [f"fetch {URL}", "88: secure v2", "event 5468"]
    assert in_force(again) == ["newer"]
    assert not known(again).from_copy
    await again.stop()


async def test_unchanged_policy_is_not_compiled_again(stage: Stage) -> None:
    """What the source says has not changed is left alone, and the source is shown its etag."""
    agent = stage.agent()
    await start(agent)
    stage.source = content("domain")
    await look(stage, agent)
    stage.happened()
    stage.source = None
    assert await Changes(agent).domain.look() == "the domain policy has not changed"
    assert stage.happened() == [f"fetch {URL} if not etag"]
    await agent.stop()


async def test_damaged_copy_is_operational_block(stage: Stage) -> None:
    """A damaged store is operational block, until the source replaces it."""
    stage.stores.replace(Store.DOMAIN, content("domain"))
    stage.stores.path(Store.DOMAIN).write_text("version = [")
    agent = stage.agent()
    await start(agent)
    assert str(agent.mode) == "block"
    assert "event 5459" in stage.happened()
    stage.source = content("domain")
    await look(stage, agent)
    assert str(agent.mode) == "secure"
    assert in_force(agent) == ["domain"]
    await agent.stop()
    assert stage.stores.read(Store.DOMAIN) == stage.source


async def test_domain_replaces_the_local_policy(stage: Stage) -> None:
    """And it does so even before it is known; persistent policy and dynamic rules stay."""
    stage.stores.replace(Store.LOCAL, content("mine"))
    stage.stores.replace(Store.PERSISTENT, content("always"))
    agent = stage.agent()
    await start(agent)
    assert in_force(agent) == ["always"]
    stage.source = content("domain")
    await look(stage, agent)
    assert in_force(agent) == ["always", "domain"]
    await agent.stop()


async def test_fallback_by_choice(stage: Stage) -> None:
    """`fallback = "local"`: the local policy counts while nothing is known of the domain's."""
    stage.config_text += 'fallback = "local"\n'
    stage.stores.replace(Store.LOCAL, content("mine"))
    agent = stage.agent()
    await start(agent)
    assert in_force(agent) == ["mine"]
    stage.source = content("domain")
    await look(stage, agent)
    assert in_force(agent) == ["domain"]
    await agent.stop()


async def test_policy_that_cannot_be_put_in_force_is_tried_again(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old policy stays, nothing is kept, and the next look is soon."""
    agent = stage.agent()
    await start(agent)
    stage.source = content("domain")
    monkeypatch.setattr(agent.pool, "install", refuse)
    assert await look(stage, agent) == 1
    assert in_force(agent) == []
    assert stage.stores.read(Store.DOMAIN) == Content()
    assert "did not answer" in str(known(agent).error)
    await agent.stop()


async def test_copy_that_cannot_be_kept_is_told(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The policy is in force all the same; the event says that a start would not know it."""

    def full(_store: Store, _content: Content) -> None:
        raise IpsecfdError("no space left")

    monkeypatch.setattr(stage.stores, "replace", full)
    agent = stage.agent()
    await start(agent)
    stage.happened()
    stage.source = content("domain")
    await look(stage, agent)
    assert stage.happened()[-2:] == ["event 5456", "event 5459"]
    assert in_force(agent) == ["domain"]
    await agent.stop()


async def test_without_a_source_there_is_nothing_to_refresh(tmp_path: Path) -> None:
    """The refusal says where a source is set."""
    agent = Stage(tmp_path).agent()
    with pytest.raises(IpsecfdError, match=r"`source` .* \[domain\]"):
        await Changes(agent).domain.look()


async def test_success_is_remembered(stage: Stage) -> None:
    """Status can say when the source was last reached."""
    agent = stage.agent()
    await start(agent)
    stage.source = content("domain")
    await look(stage, agent)
    assert known(agent).last_success == NOW
    await agent.stop()
