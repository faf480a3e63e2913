"""What the driver must know of the host: its addresses, broadcast addresses and servers."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ipsecfd.policy.model import IPAddress, ServerKind

LIMITED_BROADCAST = ipaddress.IPv4Address("255.255.255.255")


@dataclass(frozen=True, slots=True)
class Host:
    """The host's addresses at one moment; a change of address is a new Host.

    `addresses` is what `me` stands for. Loopback addresses are never part of it.
    """

    addresses: frozenset[IPAddress] = frozenset()
    broadcasts: frozenset[IPAddress] = frozenset({LIMITED_BROADCAST})
    servers: Mapping[ServerKind, frozenset[IPAddress]] = field(default_factory=dict)
    delivered: bool = False
    """True on the live path, where the kernel has already found a packet to be for or from this
    host: an address the table does not know yet is then judged as `me`, never as a stranger."""

    @classmethod
    def from_interfaces(
        cls,
        interfaces: Iterable[ipaddress.IPv4Interface | ipaddress.IPv6Interface],
        servers: Mapping[ServerKind, frozenset[IPAddress]] | None = None,
        *,
        delivered: bool = False,
    ) -> Host:
        """The host with these addresses; broadcasts follow from their prefixes (spec 4.2)."""
        addresses: set[IPAddress] = set()
        broadcasts: set[IPAddress] = {LIMITED_BROADCAST}
        for interface in interfaces:
            if interface.ip.is_loopback:
                continue
            addresses.add(interface.ip)
            if interface.version == 4 and interface.network.prefixlen < 31:
                broadcasts.add(interface.network.broadcast_address)
        return cls(frozenset(addresses), frozenset(broadcasts), dict(servers or {}), delivered)
