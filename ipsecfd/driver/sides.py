"""The ends of a specific filter: an address prefix, or a role that only the host can fill."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Sequence
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.exemptions import Profile
from ipsecfd.driver.host import Host
from ipsecfd.policy.model import (
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    IPNetwork,
    Me,
    Prefix,
    ServerKind,
)

ADDRESS_BITS: Final = {4: 32, 6: 128}


class Role(enum.Enum):
    """What an address can be to the host; each is as specific as a single address."""

    ME = "me"
    WINS = "wins"
    DNS = "dns"
    DHCP = "dhcp"
    GATEWAY = "gateway"


_ROLE_OF_SERVER: Final = {kind: Role(kind.value) for kind in ServerKind}
_NO_ROLES: Final[frozenset[Role]] = frozenset()
_ME: Final = frozenset({Role.ME})


class Side(NamedTuple):
    """One end of a specific filter: the first `bits` bits of `value`, or a role."""

    family: int
    bits: int
    value: int = 0
    """The prefix's bits, moved down to the lowest places."""
    role: Role | None = None

    @classmethod
    def of_network(cls, network: IPNetwork) -> Side:
        """The side that matches the addresses of a network."""
        shift = network.max_prefixlen - network.prefixlen
        return cls(network.version, network.prefixlen, int(network.network_address) >> shift)

    def matches(self, address: int, roles: frozenset[Role]) -> bool:
        """Whether an address of this side's family, filling these roles, is meant."""
        if self.role is not None:
            return self.role in roles
        return address >> (ADDRESS_BITS[self.family] - self.bits) == self.value

    def __str__(self) -> str:
        if self.role is not None:
            return self.role.value
        if not self.bits:
            return "any"
        width = ADDRESS_BITS[self.family]
        value = self.value << (width - self.bits)
        make = ipaddress.IPv4Network if self.family == 4 else ipaddress.IPv6Network
        network = make((value, self.bits))
        return str(network.network_address if self.bits == width else network)


def expand(address: Address, family: int) -> Sequence[Side]:
    """The sides an address of a policy stands for in one family; none if it has no part in it."""
    match address:
        case Prefix():
            if address.family != family:
                return ()
            shift = ADDRESS_BITS[family] - address.bits
            return (Side(family, address.bits, address.first >> shift),)
        case AnyAddress():
            return (_ANY[family],)
        case Me():
            return (_ROLES[family, Role.ME],)
        case AddressRange(first, last):
            if first.version != family:
                return ()
            return [*map(Side.of_network, ipaddress.summarize_address_range(first, last))]
        case DnsName(_, addresses):
            bits = ADDRESS_BITS[family]
            return [Side(family, bits, int(one)) for one in addresses if one.version == family]
        case _:
            return (_ROLES[family, _ROLE_OF_SERVER[address.kind]],)


_ANY: Final = {family: Side(family, 0) for family in ADDRESS_BITS}
_ROLES: Final = {
    (family, role): Side(family, bits, role=role)
    for family, bits in ADDRESS_BITS.items()
    for role in Role
}


class Roles:
    """Which roles an address has, for one host and profile."""

    def __init__(self, host: Host, profile: Profile) -> None:
        self._delivered = host.delivered
        self._me_covers_groups = profile.me_covers_groups
        self._broadcasts = frozenset(int(address) for address in host.broadcasts)
        known: dict[int, dict[int, set[Role]]] = {4: {}, 6: {}}
        for address in host.addresses:
            known[address.version].setdefault(int(address), set()).add(Role.ME)
        for kind, servers in host.servers.items():
            for address in servers:
                known[address.version].setdefault(int(address), set()).add(_ROLE_OF_SERVER[kind])
        self._known = {
            family: {address: frozenset(roles) for address, roles in addresses.items()}
            for family, addresses in known.items()
        }

    def group(self, family: int, address: int) -> str | None:
        """What a destination that means many hosts is: "multicast", "broadcast", or None."""
        if family == 6:
            return "multicast" if address >> 120 == 0xFF else None
        if address >> 28 == 0xE:
            return "multicast"
        return "broadcast" if address in self._broadcasts else None

    def is_me(self, family: int, address: int) -> bool:
        """Whether this is one of the host's own addresses."""
        return Role.ME in self._known[family].get(address, _NO_ROLES)

    def settled(self, family: int, source: int, destination: int, direction: Direction) -> bool:
        """Whether the host's end of a packet is an address known as its own, or a group: what is
        decided about others holds only until the table knows them."""
        if direction is Direction.IN:
            group = self.group(family, destination)
            return self.is_me(family, destination) or group is not None
        return direction is Direction.FORWARD or self.is_me(family, source)

    def of_source(self, family: int, address: int, direction: Direction) -> frozenset[Role]:
        """The roles of a packet's source, wherever it goes; `of_ends` tells those of a packet.

        What the host itself sends comes from the host, also from an address that no table knows
        yet; only the unspecified address is nobody's (design, kernel facts). In IPv6 what comes in
        never does: its own multicasts that come back to it look as any others, and the kernel lets
        everybody on the link forge them. In IPv4 it refuses what is forged.
        """
        roles = self._known[family].get(address, _NO_ROLES)
        if direction is Direction.OUT:
            return roles | _ME if self._delivered and address else roles
        return roles - _ME if roles and family == 6 else roles

    def of_ends(
        self, family: int, source: int, destination: int, direction: Direction
    ) -> tuple[frozenset[Role], frozenset[Role]]:
        """The roles of a packet's source and of its destination.

        Only the host's own multicasts and broadcasts come back to it: what it sends to its own
        addresses is loopback (spec 4.2), so another packet that comes in from one of them is
        forged, which with `accept_local` the kernel takes in IPv4 as well.
        """
        roles = self.of_source(family, source, direction)
        if direction is not Direction.OUT and roles and self.group(family, destination) is None:
            roles -= _ME
        return roles, self.of_destination(family, destination, direction)

    def of_destination(self, family: int, address: int, direction: Direction) -> frozenset[Role]:
        """The roles of a packet's destination.

        An inbound packet that the kernel delivered is for the host whatever the table knows; to a
        multicast or broadcast address it is for `me` only where the profile says so.
        """
        roles = self._known[family].get(address, _NO_ROLES)
        if direction is Direction.IN and (
            self._me_covers_groups if self.group(family, address) else self._delivered
        ):
            return roles | _ME
        return roles
