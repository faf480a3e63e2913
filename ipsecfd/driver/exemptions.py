"""Profiles, and the packets each of them never shows to a filter (spec section 4, design)."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import Packet
from ipsecfd.policy.model import TCP, UDP

KERBEROS_PORT, IKE_PORT, NATT_PORT = 88, 500, 4500
EXEMPTION_PORTS = frozenset({KERBEROS_PORT, IKE_PORT, NATT_PORT})
"""Ports that `default_exemption` asks for, of TCP or UDP."""
RSVP = 46
NEIGHBOUR_DISCOVERY = frozenset(range(133, 138))
MULTICAST_LISTENER = frozenset({130, 131, 132, 143})
_LINK_LOCAL = 0xFE80 >> 6  # fe80::/10


@dataclass(frozen=True, slots=True)
class Profile:
    """Which Windows the driver behaves like."""

    name: str
    default_exempt: int
    """The value of NoDefaultExempt when none is set (spec 4.1)."""
    allowed_exempt: frozenset[int]
    wide_ike: bool = False
    """IKE exempt by either port 500, not only by both (X2)."""
    natt_exempt: bool = False
    """UDP 4500 to 4500 exempt, IPv4 only."""
    inbound_group_exempt: bool = True
    """Inbound multicast and broadcast stay exempt with values 2 and 3 (X3)."""
    filters_ipv6: bool = False
    me_covers_groups: bool = False
    """`me` as the destination of an inbound packet also means multicast and broadcast."""
    neighbours_exempt: bool = False
    """IPv6 neighbour discovery and MLD pass in every mode, DHCPv6 wherever DHCP does."""


_ALL_VALUES = frozenset({0, 1, 2, 3})

PROFILES = {
    profile.name: profile
    for profile in (
        Profile("win2000", 0, frozenset({0, 1}), wide_ike=True),
        Profile("winxp", 0, frozenset({0, 1})),
        Profile("winxpsp2", 1, _ALL_VALUES),
        Profile("win2003", 3, _ALL_VALUES),
        Profile("vista", 3, _ALL_VALUES, natt_exempt=True, filters_ipv6=True),
        Profile(
            "linux",
            3,
            _ALL_VALUES,
            inbound_group_exempt=False,
            filters_ipv6=True,
            me_covers_groups=True,
            neighbours_exempt=True,
        ),
    )
}


def always_exempt(packet: Packet, direction: Direction, profile: Profile) -> str | None:
    """The exemption of packets that no mode may stop, or None (design, profile `linux`).

    They concern one link, so what is routed is none of them. What this host bridges may be.
    """
    if not profile.neighbours_exempt or packet.icmpv6_type is None:
        return None
    if direction is Direction.FORWARD and not _stays_on_its_link(packet):
        return None
    if packet.icmpv6_type in NEIGHBOUR_DISCOVERY and packet.hop_limit == 255:
        return "EX:ND"
    if packet.icmpv6_type in MULTICAST_LISTENER:  # kernels themselves ask for hop limit 1
        return "EX:MLD"
    return None


def _stays_on_its_link(packet: Packet) -> bool:
    """Whether an IPv6 packet that goes on is bridged: with br_netfilter the kernel shows us both.

    A routed one has lost one of its hop limit by then, and a router leaves these sources where they
    are (RFC 4291, 2.5.2 and 2.5.6).
    """
    link_local = packet.source >> 118 == _LINK_LOCAL
    return packet.hop_limit == 255 or link_local or not packet.source


def default_exemption(
    packet: Packet, direction: Direction, profile: Profile, exempt: int, *, group: str | None
) -> str | None:
    """The exemption that keeps this packet from the filters in secure mode, or None (spec 4.2).

    `exempt` is the NoDefaultExempt value 0-3; `group` is "multicast" or "broadcast" for packets to
    such a destination, of which IPv4's alone are exempt. Routed packets are never exempt: nobody
    wrote them for this host.
    """
    if direction is Direction.FORWARD:
        return None
    if packet.has_ports and packet.protocol == UDP:
        ports = (packet.source_port, packet.destination_port)
        if ports == (IKE_PORT, IKE_PORT) or (profile.wide_ike and IKE_PORT in ports):
            return "EX:IKE"
        if profile.natt_exempt and packet.family == 4 and ports == (NATT_PORT, NATT_PORT):
            return "EX:NATT"
    if exempt in (0, 2):
        if packet.protocol == RSVP:
            return "EX:RSVP"
        if (
            packet.has_ports
            and packet.protocol in (TCP, UDP)
            and KERBEROS_PORT in (packet.source_port, packet.destination_port)
        ):
            return "EX:KRB"
    if group is not None and packet.family == 4:
        name = "EX:MCAST" if group == "multicast" else "EX:BCAST"
        if exempt in (0, 1):
            return name
        if direction is Direction.IN and profile.inbound_group_exempt:
            return f"{name}-IN"
    return None


def dhcp_exemption(packet: Packet, direction: Direction, profile: Profile) -> str | None:
    """The DHCP allowance of the start-up modes block and stateful, or None (spec 6.2)."""
    if packet.protocol != UDP or not packet.has_ports:
        return None
    ports = (packet.source_port, packet.destination_port)
    if packet.family == 4:
        allowed = (68, 67) if direction is Direction.OUT else (67, 68)
        return "EX:DHCP" if direction is not Direction.FORWARD and ports == allowed else None
    if profile.neighbours_exempt:
        allowed = (546, 547) if direction is Direction.OUT else (547, 546)
        return "EX:DHCPV6" if direction is not Direction.FORWARD and ports == allowed else None
    return None
