"""The mode set by hand: `ipsecfd mode`, until the next start or until the policies decide again.

All functions are for whoever holds the agent's lock.
"""

from __future__ import annotations

from typing import Final

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.events import MODES
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError

BY_HAND: Final = "set by hand, until the next start"


def hand_mode(agent: Agent) -> str | None:
    """The mode that was set by hand; None when the policies decide it."""
    return str(agent.mode) if agent.mode_reason == BY_HAND else None


def notes(agent: Agent) -> list[str]:
    """For whoever changes policies that decide nothing as long as this mode holds."""
    mode = hand_mode(agent)
    if mode is None:
        return []
    return [f"{mode} mode, set by hand, goes on: `ipsecfd mode secure` has the policies decide"]


def mode_named(agent: Agent, name: str) -> Mode:
    """A mode that may be set now; raises IpsecfdError."""
    if name not in MODES:
        raise IpsecfdError(f"{name!r} is not a mode: expected one of {', '.join(MODES)}")
    if name == "secure" and agent.trouble:
        raise IpsecfdError(
            f"what is assigned cannot be applied, so there is no secure mode:\n"
            f"{agent.trouble}\nmend it, then `ipsecfd reload`"
        )
    return MODES[name]


async def set_mode(agent: Agent, name: str) -> None:
    """Change the mode until the next start or change; raises IpsecfdError when it cannot be."""
    mode = mode_named(agent, name)
    await agent.enter(mode)
    if mode is not Mode.SECURE:
        agent.mode_reason = BY_HAND


async def let_policies_decide(agent: Agent) -> None:
    """Leave a mode that was set by hand."""
    if hand_mode(agent) is not None:
        await agent.enter(Mode.BLOCK if agent.trouble else Mode.SECURE)
