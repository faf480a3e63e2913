"""A shadow policy put beside the policies in force, told of, and taken away."""

from __future__ import annotations

import asyncio
import ipaddress
from heapq import nlargest
from pathlib import Path
from typing import Final

from ipsecfd.agent import garbage
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.desk import local_time
from ipsecfd.agent.packet_reports import ShadowChange, ShadowFlow, ShadowReport, Why
from ipsecfd.agent.shadow import Row, Shadow, Turn
from ipsecfd.agent.tally import Cause
from ipsecfd.driver.shadow import FlowKey
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import TCP, UDP, packet_protocol_name
from ipsecfd.policy.tomlfile import Loaded

MOST: Final = 1_000
"""Changes in one answer, and flows of each."""


async def start(agent: Agent, path: Path) -> list[str]:
    """Have a file's policy judge beside those in force; returns notes about it.

    Raises IpsecfdError; then everything stays as it is.
    """
    async with agent.lock:
        loaded = await asyncio.to_thread(_load, agent, path)
        profile = agent.config.driver_profile
        shadow = await Shadow.of(
            path, loaded.policy, profile, agent.policies, agent.parts.now, agent.shadow
        )
        await agent.put_beside(shadow)
        agent.parts.say(f"shadow policy {path}: judges beside the policies in force")
        return [str(one) for one in loaded.warnings]


async def stop(agent: Agent) -> None:
    """Take the shadow policy away. Raises IpsecfdError when there is none."""
    async with agent.lock:
        _present(agent)
        await agent.put_beside(None)
        agent.parts.say("no shadow policy judges any more")


async def report(agent: Agent, *, most: int, flows: int) -> ShadowReport:
    """What the shadow policy would change: `most` pairs of causes, with so many flows each.

    Raises IpsecfdError when there is none.
    """
    if not (0 < most <= MOST and 0 <= flows <= MOST):
        raise IpsecfdError(f"{most} changes with {flows} flows each: expected at most {MOST}")
    _present(agent)
    await agent.count()
    shadow = _present(agent)
    rows = shadow.rows
    changed = shadow.untold + sum(row.packets for row in rows.values())
    listed = nlargest(most, rows.items(), key=lambda one: one[1].packets)
    return ShadowReport(
        file=str(shadow.path),
        policy=shadow.policy.name,
        store=shadow.store.name.lower(),
        since=local_time(shadow.since),
        mode=str(agent.mode),
        packets=shadow.packets,
        changed=changed,
        changes=[_change(turn, row, flows) for turn, row in listed],
        left_out=len(rows) - len(listed),
        left_out_packets=changed - sum(row.packets for _, row in listed),
        faults=shadow.faults,
    )


def _load(agent: Agent, path: Path) -> Loaded:
    with garbage.kept():
        return agent.parts.load(path)


def _present(agent: Agent) -> Shadow:
    if agent.shadow is None:
        raise IpsecfdError(
            "there is no shadow policy, none outlasts the service: `ipsecfd shadow FILE` begins one"
        )
    return agent.shadow


def _change(turn: Turn, row: Row, flows: int) -> ShadowChange:
    listed = nlargest(flows, row.flows.items(), key=lambda one: one[1])
    told = sum(row.flows.values())
    return ShadowChange(
        direction=str(turn.now.direction),
        now=_why(turn.now),
        then=_why(turn.then),
        packets=row.packets,
        flows=[_flow(*one) for one in listed],
        left_out=len(row.flows) - len(listed),
        left_out_packets=told - sum(packets for _, packets in listed),
        untold_packets=row.packets - told,
    )


def _why(cause: Cause) -> Why:
    return Why(*cause[1:])


def _flow(flow: FlowKey, packets: int) -> ShadowFlow:
    ported = flow.protocol in (TCP, UDP)
    return ShadowFlow(
        protocol=None if flow.protocol is None else packet_protocol_name(flow.protocol),
        source=str(ipaddress.ip_address(flow.source)),
        source_port=flow.source_port if ported else None,
        destination=str(ipaddress.ip_address(flow.destination)),
        destination_port=flow.destination_port if ported else None,
        packets=packets,
    )
