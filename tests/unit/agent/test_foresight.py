"""What the agent foresees of a change, and that looking changes nothing."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.assigning import Choice
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.foresight import LISTED, foresee
from ipsecfd.agent.report import Foresight
from ipsecfd.agent.start import start
from ipsecfd.driver.host import Host
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.connections import TcpConnection
from ipsecfd.policy.model import Store
from tests.unit.agent.stage import Stage, content

ME, PEER = (ipaddress.ip_address(text) for text in ("192.0.2.10", "203.0.113.66"))
SSH = TcpConnection(ME, 22, PEER, 50_412, served=True)
WEB = TcpConnection(ME, 80, PEER, 4_000, served=True)
SESSION = "203.0.113.66 50412 192.0.2.10 22"


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Two connections, nothing assigned, and a local store that would close the host."""
    stage = Stage(tmp_path)
    stage.connections = [WEB, SSH]
    stage.interfaces = {ME: "eth0"}
    stage.stores.replace(Store.LOCAL, content("closed", "me <-> any", assigned=False))
    return stage


@pytest.fixture
async def agent(stage: Stage) -> AsyncIterator[Agent]:
    """An agent that runs."""
    agent = stage.agent()
    agent.host = Host(frozenset({ME}), delivered=True)
    await start(agent)
    stage.happened()
    yield agent
    await agent.stop()


async def look(
    agent: Agent, choice: Choice | None = None, mode: str | None = None, session: str = ""
) -> Foresight:
    """What a change would cut."""
    return await foresee(agent, Changes(agent), choice or Choice(), mode=mode, session=session)


async def test_stored_policy(stage: Stage, agent: Agent) -> None:
    """The own session comes first; nothing is assigned, nothing happens."""
    found = await look(agent, Choice(name="closed"), session=SESSION)
    assert (found.connections, found.cut) == (2, 2)
    assert [(one.connection, one.own) for one in found.cuts] == [
        (str(SSH), True),
        (str(WEB), False),
    ]
    assert (found.cuts[0].rule, found.cuts[0].filter) == ("r", "me <-> any")
    assert stage.happened() == []
    assert stage.stores.read(Store.LOCAL).assigned is None
    assert agent.policies.sources == ()


async def test_file(stage: Stage, agent: Agent) -> None:
    """A file is read, compiled and asked, and not assigned."""
    path = stage.policy_file("web", "block me <-> any", "permit any <-> me:80 tcp")
    found = await look(agent, Choice(file=path))
    assert [one.connection for one in found.cuts] == [str(SSH)]
    assert not found.cuts[0].own
    assert stage.happened() == []


async def test_unassigning(stage: Stage, agent: Agent) -> None:
    """No policy cuts nothing."""
    await Changes(agent).assign("closed")
    stage.connections = [SSH]
    assert (await look(agent)).cut == 0


async def test_mode(agent: Agent) -> None:
    """The mode itself is the reason."""
    found = await look(agent, mode="block")
    assert [(one.reason, one.detail) for one in found.cuts] == [("mode", "block")] * 2
    assert (await look(agent, mode="permit")).cut == 0
    assert str(agent.mode) == "secure"


async def test_mistakes(stage: Stage, agent: Agent) -> None:
    """What could not be done is refused beforehand."""
    for choice, mode, words in (
        (Choice(file=Path("/nowhere")), None, "cannot be read"),
        (Choice(name="other"), None, "other"),
        (Choice(), "open", "not a mode"),
    ):
        with pytest.raises(IpsecfdError, match=words):
            await look(agent, choice, mode)


async def test_nothing_is_foreseen_while_something_is_on_trial(agent: Agent) -> None:
    """The change would be refused."""
    changes = Changes(agent)
    await changes.set_mode("permit", 60)
    with pytest.raises(IpsecfdError, match="on trial"):
        await foresee(agent, changes, Choice(), mode="block", session="")


async def test_very_many(stage: Stage, agent: Agent) -> None:
    """All are counted, some are told, the own one among them."""
    others = [WEB._replace(remote_port=port) for port in range(1, 1500)]
    stage.connections = [*others, SSH]
    found = await look(agent, Choice(name="closed"), session=SESSION)
    assert (found.connections, found.cut, len(found.cuts)) == (1500, 1500, LISTED)
    assert found.cuts[0].own
