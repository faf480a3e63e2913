"""Which filter decides about a probe: asked of the driver itself, outside, as `explain` does.

The log names what decided about a drop, but nothing is written about what passes. Scenarios show
for it what the same driver says with the same policy.
"""

from __future__ import annotations

import time
from typing import Any, Final

from ipsecfd.agent.config import Config
from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import Profile
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import specific_filters
from ipsecfd.lab.craft import ECHO_REQUEST, icmp_message, ip_packet, tcp_segment, udp_datagram
from ipsecfd.lab.hosts import INTERFACE
from ipsecfd.lab.probes import Probe
from ipsecfd.lab.scenario import GUARDED
from ipsecfd.policy.model import ICMP, ICMPV6, TCP, UDP, Policy, Store

OPERATIONAL_MODES: Final = {
    "permit": Mode.PERMIT,
    "block": Mode.BLOCK,
    "secure": Mode.SECURE,
}
"""The modes in which a decision does not depend on earlier packets, as `ipsecfd mode` has them."""


def decide(
    probe: Probe, guard: Host, policy: Policy | None, config: dict[str, Any], mode: Mode
) -> Decision | None:
    """What the driver of a guard decides about a probe's first packet; None about those that do not
    come to it."""
    settings = Config.model_validate(config)
    active = [(Store.LOCAL, policy)] if policy else []
    profile = settings.driver_profile
    driver = Driver(
        Settings(
            mode=mode,
            profile=profile,
            exempt=settings.exempt_value,
            host=guard,
            table=compile_table(specific_filters(active, ipv6=profile.filters_ipv6, dialup=False)),
        ),
        time.monotonic,
    )
    direction = _direction(probe, guard, profile)
    return None if direction is None else driver.decide(_first_packet(probe), direction, INTERFACE)


def _direction(probe: Probe, guard: Host, profile: Profile) -> Direction | None:
    if probe.sender == GUARDED or probe.source in guard.addresses:
        return Direction.OUT
    version, destination = probe.destination.version, int(probe.destination)
    to_group = Roles(guard, profile).group(version, destination) is not None
    return Direction.IN if to_group or probe.destination in guard.addresses else None


def _first_packet(probe: Probe) -> bytes:
    if probe.raw:
        return probe.raw[0]
    ports = (probe.source_port, probe.destination_port)
    if probe.protocol == TCP:
        data = tcp_segment(probe.source, probe.destination, ports, probe.flags or "S", b"")
    elif probe.protocol == UDP:
        data = udp_datagram(ports, b"")
    elif probe.protocol in (ICMP, ICMPV6):
        kind = probe.icmp_type
        data = icmp_message(ECHO_REQUEST[probe.source.version] if kind is None else kind, 1, b"")
    else:
        data = bytes(8)
    hop_limit = 64 if probe.hop_limit is None else probe.hop_limit
    return ip_packet(probe.source, probe.destination, probe.protocol, data, hop_limit)
