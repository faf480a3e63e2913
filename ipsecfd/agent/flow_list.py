"""Learnt flows as reports: chosen by address, port, rule and direction."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Final

from ipsecfd.agent.learnt import Found, Known
from ipsecfd.agent.packet_reports import FlowList, FlowReport
from ipsecfd.agent.tally import Cause
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import to_address
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.flows import Flow
from ipsecfd.policy.model import TCP, UDP, IPNetwork, packet_protocol_name

MOST: Final = 10_000
"""Flows in one answer."""


@dataclass(frozen=True, slots=True)
class FlowChoice:
    """Which flows are wanted; None asks for nothing."""

    network: IPNetwork | None = None
    """Either end is in it."""
    port: int | None = None
    """Either end has it."""
    rule: str | None = None
    """In any case of letters."""
    direction: Direction | None = None

    @classmethod
    def of(
        cls, address: str | None, port: int | None, rule: str | None, direction: str | None
    ) -> FlowChoice:
        """Read what was asked for; raises IpsecfdError."""
        try:
            network = None if address is None else ipaddress.ip_network(address, strict=False)
        except ValueError:
            raise IpsecfdError(f"address {address!r}: expected an address or a prefix") from None
        if direction is not None and direction not in map(str, Direction):
            raise IpsecfdError(f"direction {direction!r}: expected in, out or forward")
        way = None if direction is None else Direction[direction.upper()]
        return cls(network, port, None if rule is None else rule.casefold(), way)

    def has(self, flow: Flow) -> bool:
        """Whether a flow may be wanted, as far as addresses, ports and direction say."""
        if self.direction is not None and flow.direction is not self.direction:
            return False
        if self.port is not None and (
            flow.protocol not in (TCP, UDP)
            or self.port not in (flow.source_port, flow.destination_port)
        ):
            return False
        return self.network is None or any(
            to_address(flow.family, end) in self.network for end in (flow.source, flow.destination)
        )

    def has_cause(self, cause: Cause) -> bool:
        """Whether a flow is wanted that goes its way for this cause."""
        return self.rule is None or (cause.rule is not None and cause.rule.casefold() == self.rule)


def flow_list(found: Found, off: str | None) -> FlowList:
    """The flows that were found; `off` says why the kernel learns nothing."""
    flows = [_report(one) for one in found.flows]
    return FlowList(off, found.total, found.packets, found.octets, flows)


def _report(known: Known) -> FlowReport:
    flow, cause = known.flow, known.cause
    ported = flow.protocol in (TCP, UDP)
    return FlowReport(
        direction=str(flow.direction),
        verdict=flow.verdict.value,
        interface=known.interface or None,
        protocol=packet_protocol_name(flow.protocol),
        source=str(to_address(flow.family, flow.source)),
        source_port=flow.source_port if ported else None,
        destination=str(to_address(flow.family, flow.destination)),
        destination_port=flow.destination_port if ported else None,
        packets=flow.packets,
        octets=flow.octets,
        seconds_left=round(flow.seconds_left),
        reason=cause.reason,
        policy=cause.policy,
        rule=cause.rule,
        filter=cause.filter,
        mirrored=cause.mirrored,
        exemption=cause.exemption,
    )
