"""What a change would do to whoever is connected, told before it is made."""

from __future__ import annotations

import asyncio
from typing import Final

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.assigning import Choice
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.cuts import Cut, cuts, own_connections
from ipsecfd.agent.hand_mode import mode_named
from ipsecfd.agent.report import CutReport, Foresight
from ipsecfd.driver.driver import Settings

LISTED: Final = 1_000
"""Connections told one by one."""


async def foresee(
    agent: Agent, changes: Changes, choice: Choice, *, mode: str | None, session: str
) -> Foresight:
    """What a mode, or else a choice, would cut; nothing is changed. Raises IpsecfdError.

    `session` is the caller's SSH_CONNECTION, or empty.
    """
    changes.trials.check_none_pending()
    if mode is not None:
        then = agent.settings(mode_named(agent, mode))
    else:
        then = await changes.settings_with(choice)
    return await asyncio.to_thread(_foresight, agent, then, session)


def _foresight(agent: Agent, then: Settings, session: str) -> Foresight:
    connections = agent.parts.connections()
    own = own_connections(session, connections)
    found = cuts(connections, agent.settings(agent.mode), then, agent.parts.interfaces())
    found.sort(key=lambda one: one.connection not in own)
    reports = [_report(one, own=one.connection in own) for one in found[:LISTED]]
    return Foresight(len(connections), len(found), reports)


def _report(one: Cut, *, own: bool) -> CutReport:
    decision = one.decision
    return CutReport(
        str(one.connection),
        own,
        str(one.direction),
        decision.reason.value,
        decision.rule,
        decision.filter,
        decision.mirrored,
        decision.detail,
    )
