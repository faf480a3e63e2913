"""From the filters of a binary value to the filters of a policy (spec 2.1, 8.6)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from ipsecfd.policy.grammar import GrammarError, check_filter, parse_address
from ipsecfd.policy.model import (
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    Server,
    ServerKind,
    by_family,
)
from ipsecfd.policy.registry.layout import (
    Address2,
    Filter1,
    Filter2,
    Kind,
    Ports2,
    Special,
)
from ipsecfd.policy.registry.tree import RegistryFileError
from ipsecfd.policy.stores.content import FilterIdentity, filter_identity

_DESTINATION: Final = 0x80
_EVERY_BIT: Final = 0xFFFFFFFF
_SPECIAL: Final = {
    Special.DNS: ServerKind.DNS,
    Special.WINS: ServerKind.WINS,
    Special.DHCP: ServerKind.DHCP,
    Special.GATEWAY: ServerKind.GATEWAY,
}
_SERVER: Final = {
    Kind.DNS: ServerKind.DNS,
    Kind.WINS: ServerKind.WINS,
    Kind.DHCP: ServerKind.DHCP,
    Kind.GATEWAY: ServerKind.GATEWAY,
}
_IPV6: Final = 2


def to_filter(one: Filter1 | Filter2) -> Filter:
    """The filter that a store keeps so. Raises RegistryFileError for what no filter can mean."""
    if isinstance(one, Filter1):
        source = _address_1(one.source, one.source_mask, one.source_name)
        destination = _address_1(one.destination, one.destination_mask, one.destination_name)
        source, destination = _with_special(one.special, source, destination)
        ports = one.source_port, one.destination_port
    else:
        source = _address_2(one.source, one.source_name)
        destination = _address_2(one.destination, one.destination_name)
        ports = _port_2(one.source_ports), _port_2(one.destination_ports)
    if one.protocol > 255:
        raise RegistryFileError(f"expected a protocol from 0 to 255, not {one.protocol}")
    made = Filter(
        source, destination, *ports, one.protocol, one.mirrored, one_line(one.description)
    )
    try:
        check_filter(made)
    except GrammarError as error:
        raise RegistryFileError(str(error)) from error
    return made


def merged(filters: Iterable[Filter]) -> tuple[Filter, ...]:
    """The filters, each once, and one for a DNS name: Windows keeps one for each address of it."""
    found: dict[FilterIdentity, Filter] = {}
    for one in filters:
        named = [side for side in (one.source, one.destination) if isinstance(side, DnsName)]
        if len(named) != 1:
            found.setdefault(filter_identity(one), one)
            continue
        unresolved = _named(one, DnsName(named[0].name, ()))
        before = found.get(filter_identity(unresolved), unresolved)
        addresses = {*_addresses(before), *named[0].addresses}
        ordered = tuple(sorted(addresses, key=by_family))
        found[filter_identity(unresolved)] = _named(before, DnsName(named[0].name, ordered))
    return tuple(found.values())


def one_line(text: str) -> str:
    """A name or description on one line: it must not break or fake a line of a log."""
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())


def _named(one: Filter, name: DnsName) -> Filter:
    if isinstance(one.source, DnsName):
        return replace(one, source=name)
    return replace(one, destination=name)


def _addresses(one: Filter) -> tuple[IPAddress, ...]:
    side = one.source if isinstance(one.source, DnsName) else one.destination
    return side.addresses if isinstance(side, DnsName) else ()


def _address_1(address: ipaddress.IPv4Address, mask: ipaddress.IPv4Address, name: str) -> Address:
    if int(address) == 0 and int(mask) in (0, _EVERY_BIT):
        return Me() if int(mask) else AnyAddress()
    if int(mask) == _EVERY_BIT:
        return _host(address, name)
    return _subnet(f"{address}/{mask}")


def _with_special(special: int, source: Address, destination: Address) -> tuple[Address, Address]:
    """The sides with a server type in its place."""
    if special == Special.NONE:
        return source, destination
    kind = _SPECIAL.get(Special(special & ~_DESTINATION)) if special & 0x7F <= 4 else None
    if kind is None:
        raise RegistryFileError(f"expected a server type that is known, not {special:#04x}")
    if special & _DESTINATION:
        return source, Server(kind)
    return Server(kind), destination


def _address_2(side: Address2, name: str) -> Address:
    ipv6 = side.version == _IPV6
    match side.kind:
        case Kind.ANY:
            return _subnet("::/0") if ipv6 else AnyAddress()
        case Kind.ME:
            return Me()
        case Kind.HOST:
            return _host(_ip(side.address, ipv6), name)
        case Kind.RANGE:
            first, last = _ip(side.address, ipv6), _ip(side.end, ipv6)
            if int(first) > int(last):
                raise RegistryFileError(f"expected a range from low to high, not {first}-{last}")
            return AddressRange(first, last)
        case Kind.SUBNET:
            mask = side.end[0] if ipv6 else _ip(side.end, ipv6)
            return _subnet(f"{_ip(side.address, ipv6)}/{mask}")
        case _ if side.kind in _SERVER:
            return Server(_SERVER[Kind(side.kind)])
        case _:
            raise RegistryFileError(f"expected a kind of address that is known, not {side.kind:#x}")


def _port_2(ports: Ports2) -> int:
    if ports.kind == 0 or (ports.kind == 2 and (ports.first, ports.last) == (0, 0xFFFF)):
        return 0
    if ports.kind == 1 or (ports.kind == 2 and ports.first == ports.last):
        return ports.first
    raise RegistryFileError(
        f"expected one port, not {ports.first} to {ports.last}; ranges of ports are not supported"
    )


def _ip(data: bytes, ipv6: bool) -> IPAddress:
    return ipaddress.IPv6Address(data) if ipv6 else ipaddress.IPv4Address(data[:4])


def _host(address: IPAddress, name: str) -> Address:
    """The address, or the DNS name that it was the answer for when the filter was made."""
    if name:
        try:
            found = parse_address(name, lambda _: (address,))
        except GrammarError:
            found = None
        if isinstance(found, DnsName):
            return found
    return Prefix(address.version, address.max_prefixlen, int(address))


def _subnet(text: str) -> Address:
    try:
        return parse_address(text, lambda _: ())
    except GrammarError as error:
        raise RegistryFileError(str(error)) from error
