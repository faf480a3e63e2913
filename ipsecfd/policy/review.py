"""What is accepted in a policy but probably not meant, wherever the policy came from."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

from ipsecfd.policy.model import (
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Address,
    AddressRange,
    Connection,
    Filter,
    Me,
    Policy,
    Prefix,
    Rule,
)

Doubt: TypeAlias = tuple[str, str, str]
"""Place, offending text, and why it is probably not meant."""

_UNSPECIFIED: Final = Prefix.of(ipaddress.ip_network("0.0.0.0/32"))
_DHCP: Final = {67, 68}
"""Ports of DHCP, which needs 0.0.0.0."""
_ESP_AND_AH: Final = {50: "ESP", 51: "AH"}
_BETWEEN_SIDES: Final = re.compile(r"<?->|\s+")
_PORT: Final = re.compile("[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class WrittenList:
    """A filter list of a policy file: where it stands and which rules use it."""

    place: str
    """The key path of its filters, counting from 1, such as `rule[2].filters`."""
    filters: Sequence[Filter]
    connections: frozenset[Connection]
    """The connection types of the active rules that use it; empty if there is none."""


def review(policy: Policy, lists: Iterable[WrittenList]) -> Iterator[Doubt]:
    """All doubts about a valid policy file."""
    yield from _same_names(policy)
    lists = list(lists)
    for one_list in lists:
        for number, one in enumerate(one_list.filters, 1):
            for why in about_filter(one):
                yield f"{one_list.place}[{number}]", one.text or str(one), why
    yield from _same_filters(lists)


def about_list(name: str, filters: Iterable[Filter]) -> Iterator[Doubt]:
    """The doubts about the filters of a list of this name, one by one."""
    for one in filters:
        for why in about_filter(one):
            yield f'filter list "{name}"', one.text or str(one), why


def about_policy(policy: Policy) -> Iterator[Doubt]:
    """The doubts about the filters of a policy that no file wrote, as far as they are in force."""
    active = [rule for rule in policy.rules if rule.active]
    for rule in active:
        yield from _about_tunnel(rule)
    lists = {id(rule.filter_list): rule.filter_list for rule in active}
    for one in lists.values():
        yield from about_list(one.name, one.filters)


def about_filter(one: Filter) -> Iterator[str]:
    """Why a filter is probably not meant."""
    if isinstance(one.source, Me) and isinstance(one.destination, Me):
        yield "matches nothing: what the host sends to itself is not filtered"
    yield from about_ports(one.protocol, one.source_port, one.destination_port)
    if _UNSPECIFIED in (one.source, one.destination) and not _DHCP & {
        one.source_port,
        one.destination_port,
    }:
        yield "0.0.0.0 is what a host without an address sends from; every address is any"
    if one.protocol == ICMPV6 and (_is_ipv4(one.source) or _is_ipv4(one.destination)):
        yield "IPv4 has icmp, not icmpv6"
    if _is_ipv6(one.source) or _is_ipv6(one.destination):
        if one.protocol == ICMP:
            yield "matches nothing: IPv6 has icmpv6, not icmp"
        if one.protocol in (TCP, UDP) and not (one.source_port or one.destination_port):
            yield from _about_missing_brackets(one.text)


def _about_tunnel(rule: Rule) -> Iterator[Doubt]:
    idle = [one for one in rule.filter_list.filters if one.mirrored and not rule.mirrors(one)]
    if idle:
        more = f", nor of {len(idle) - 1:,} more of its filters" if len(idle) > 1 else ""
        why = f"its mirror does not count in a tunnel rule{more}"
        how = "for the other way add a rule with filters of that way"
        yield f'rule "{rule.name}"', idle[0].text or str(idle[0]), f"{why}: {how}"


def about_ports(protocol: int, *ports: int) -> Iterator[str]:
    """Why the ports of a filter are probably not meant (X10)."""
    if protocol == TCP:
        for number in sorted(set(ports) & _ESP_AND_AH.keys()):
            name = _ESP_AND_AH[number]
            yield f"TCP port {number} is not {name}, which is protocol {number} without ports"


def _same_names(policy: Policy) -> Iterator[Doubt]:
    first: dict[str, int] = {}
    for number, rule in enumerate(policy.rules, 1):
        earlier = first.setdefault(rule.name, number)
        if earlier != number:
            yield f"rule[{number}].name", rule.name, f"rule[{earlier}] has the same name"


def _about_missing_brackets(text: str) -> Iterator[str]:
    """Addresses whose last group may be meant as the port that this filter does not have."""
    for side in _BETWEEN_SIDES.split(text):
        address, _, port = side.rpartition(":")
        if _PORT.fullmatch(port) and _is_written_ipv6(address):
            yield (
                f"{side} is an address, without a port; port {port} of {address} is written"
                f" [{address}]:{port}"
            )


def _is_written_ipv6(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6
    except ValueError:
        return False


def _is_ipv4(address: Address) -> bool:
    if isinstance(address, AddressRange):
        return address.first.version == 4
    return isinstance(address, Prefix) and address.family == 4


def _is_ipv6(address: Address) -> bool:
    return isinstance(address, Prefix) and address.family == 6


def _same_filters(lists: Iterable[WrittenList]) -> Iterator[Doubt]:
    """Filters that another one, or its mirror, already is (spec 3.4).

    Lists that no packet can meet together are not compared: inactive rules, or LAN and dial-up.
    """
    seen: dict[_OneWay, _Places] = {}
    for one_list in lists:
        known = seen if one_list.connections else {}  # what no rule uses meets nothing but itself
        for number, one in enumerate(one_list.filters, 1):
            place = f"{one_list.place}[{number}]"
            way = _OneWay(
                one.source, one.destination, one.source_port, one.destination_port, one.protocol
            )
            for mirror, written in enumerate((way, way.back) if one.mirrored else (way,)):
                places = known.setdefault(written, {})
                earlier = next((it for it in places.values() if _meet(one_list, it[1])), None)
                places.setdefault(one_list.connections, (place, one_list, bool(mirror)))
                if earlier is not None and earlier[0] != place:
                    same = "the mirror of " if earlier[2] != bool(mirror) else ""
                    why = f"the same as {same}{earlier[0]}"
                    if one_list is not earlier[1]:
                        why += "; of two actions the more restrictive decides"
                    yield place, one.text or str(one), why
                    break


class _OneWay(NamedTuple):
    """What a filter, or its mirror, covers."""

    source: Address
    destination: Address
    source_port: int
    destination_port: int
    protocol: int

    @property
    def back(self) -> _OneWay:
        """The mirror."""
        return _OneWay(
            self.destination,
            self.source,
            self.destination_port,
            self.source_port,
            self.protocol,
        )


_Places: TypeAlias = dict[frozenset[Connection], tuple[str, WrittenList, bool]]
"""Where the same was written first for each kind of connections, and whether as a mirror."""


def _meet(one: WrittenList, other: WrittenList) -> bool:
    if one is other:
        return True
    both = one.connections | other.connections
    return bool(one.connections and other.connections) and (
        Connection.ALL in both or bool(one.connections & other.connections)
    )
