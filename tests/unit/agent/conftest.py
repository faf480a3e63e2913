"""The stage that agents play on, and an agent that runs on it."""

from __future__ import annotations

import ipaddress
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.start import start
from ipsecfd.driver.host import Host
from ipsecfd.policy.model import ServerKind
from tests.unit.agent.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    """Nothing runs, nothing was ever assigned."""
    return Stage(tmp_path)


@pytest.fixture
async def agent(stage: Stage) -> AsyncIterator[Agent]:
    """An agent that runs with one policy of two rules."""
    agent = stage.agent(stage.policy_file("web", "permit any <-> me:80 tcp", "block me <-> any"))
    agent.host = Host(
        frozenset(map(ipaddress.ip_address, ("2001:db8::10", "192.0.2.10", "192.0.2.9"))),
        servers={ServerKind.DNS: frozenset({ipaddress.ip_address("192.0.2.53")})},
        delivered=True,
    )
    await start(agent)
    yield agent
    await agent.stop()
