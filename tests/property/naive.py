"""The driver's law once more, as slowly and plainly as the specification puts it.

Written from the specification alone: every filter is expanded into literal addresses for each
packet, all are sorted by the tuple of spec 3.2, and the list is read from the top. It works on the
facts a packet was built from, so that it also checks the parser.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.host import Host
from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    IPAddress,
    IPNetwork,
    Me,
    Policy,
    Prefix,
    Rule,
    Store,
)

TCP, UDP, ICMP, ICMPV6, RSVP = 6, 17, 1, 58, 46


@dataclass(frozen=True)
class Facts:
    """What a packet is, as its maker meant it."""

    source: IPAddress
    destination: IPAddress
    protocol: int | None
    """None when a later fragment hides it behind extension headers."""
    source_port: int | None = None
    """None when there are no ports, or another fragment has them."""
    destination_port: int | None = None
    later_fragment: bool = False
    hostile_fragment: bool = False
    """One of the fragments of spec 5, item 3."""
    icmpv6_type: int | None = None
    """None in fragments."""
    hop_limit: int = 64
    goes_on: bool = False
    """An IPv6 routing header has segments left."""
    with_options: bool = False
    """An IPv4 packet with options."""

    @property
    def family(self) -> int:
        return self.source.version


@dataclass(frozen=True)
class Answer:
    """What is compared with the driver's decision."""

    verdict: str
    reason: str
    policy: str | None = None
    rule: str | None = None
    filter: str | None = None
    mirrored: bool = False
    exemption: str | None = None


@dataclass(frozen=True)
class World:
    """Everything that a verdict depends on, besides the packet."""

    policies: Sequence[tuple[Store, Policy]]
    host: Host
    profile: str
    exempt: int

    def decide(self, facts: Facts, direction: Direction, *, dialup: bool) -> Answer:
        """Secure mode: spec 4, then 5, then 3."""
        if facts.family == 6 and self.profile not in ("vista", "linux"):
            return Answer("permit", "exemption", exemption="EX:IPV6")
        if facts.goes_on and direction is Direction.IN:
            return Answer("block", "malformed")
        own = facts.family == 4 and facts.destination in self.host.addresses
        if facts.with_options and own and direction is Direction.FORWARD:
            return Answer("block", "malformed")
        if facts.hostile_fragment:
            return Answer("block", "fragment")
        exemption = self._exemption(facts, direction)
        if exemption is not None:
            return Answer("permit", "exemption", exemption=exemption)
        in_order = sorted(
            self._specific(facts, direction, dialup=dialup), key=lambda one: one.sort_key
        )
        if facts.later_fragment:
            return _decide_fragment(in_order, facts, direction)
        for one in in_order:
            if one.matches(facts):
                return one.answer(direction)
        return Answer("permit", "no-filter")

    def _exemption(self, facts: Facts, direction: Direction) -> str | None:
        """Design, profile `linux`, then spec 4.1 and 4.2."""
        source = facts.source
        bridged = facts.hop_limit == 255 or source.is_link_local or source.is_unspecified
        on_one_link = direction is not Direction.FORWARD or bridged
        if self.profile == "linux" and facts.icmpv6_type is not None and on_one_link:
            if 133 <= facts.icmpv6_type <= 137 and facts.hop_limit == 255:
                return "EX:ND"
            if facts.icmpv6_type in (130, 131, 132, 143):
                return "EX:MLD"
        if direction is Direction.FORWARD:
            return None
        ports = [facts.source_port, facts.destination_port]
        if facts.protocol == UDP:
            if ports == [500, 500] or (self.profile == "win2000" and 500 in ports):
                return "EX:IKE"
            if self.profile == "vista" and facts.family == 4 and ports == [4500, 4500]:
                return "EX:NATT"
        if self.exempt in (0, 2):
            if facts.protocol == RSVP:
                return "EX:RSVP"
            if facts.protocol in (TCP, UDP) and 88 in ports:
                return "EX:KRB"
        if facts.family == 4 and self._is_group(facts.destination):
            name = "EX:MCAST" if facts.destination.is_multicast else "EX:BCAST"
            if self.exempt in (0, 1):
                return name
            if direction is Direction.IN and self.profile != "linux":
                return f"{name}-IN"
        return None

    def _is_group(self, address: IPAddress) -> bool:
        return address.is_multicast or address in self.host.broadcasts

    def _me(self, facts: Facts, direction: Direction) -> tuple[set[IPAddress], set[IPAddress]]:
        """The addresses that `me` stands for as a source, and as a destination."""
        source, destination = set(self.host.addresses), set(self.host.addresses)
        looped = facts.family == 4 and self._is_group(facts.destination)
        if direction is not Direction.OUT and not looped:  # such a source may be forged
            source.clear()
        nobody = (ipaddress.ip_address("0.0.0.0"), ipaddress.ip_address("::"))
        if direction is Direction.OUT and self.host.delivered and facts.source not in nobody:
            source.add(facts.source)
        if direction is Direction.IN:
            if self._is_group(facts.destination):
                if self.profile == "linux":
                    destination.add(facts.destination)
            elif self.host.delivered:
                destination.add(facts.destination)
        return source, destination

    def _specific(
        self, facts: Facts, direction: Direction, *, dialup: bool
    ) -> Iterator[SpecificFilter]:
        me_sources, me_destinations = self._me(facts, direction)
        other_connection = Connection.LAN if dialup else Connection.DIALUP
        for store, policy in self.policies:
            for rule in policy.rules:
                if not rule.active or rule.connection is other_connection:
                    continue
                for index, generic in enumerate(rule.filter_list.filters):
                    if generic.protocol == ICMP and facts.family == 6:
                        continue
                    if isinstance(generic.source, Me) and isinstance(generic.destination, Me):
                        continue  # spec 2.1: matches nothing
                    both = generic.mirrored and not rule.tunnel  # spec 2.3
                    for mirrored in (False, True) if both else (False,):
                        source, destination = generic.source, generic.destination
                        ports = generic.source_port, generic.destination_port
                        if mirrored:
                            source, destination, ports = destination, source, ports[::-1]
                        for one in self._literal(source, facts.family, me_sources):
                            for other in self._literal(destination, facts.family, me_destinations):
                                yield SpecificFilter(
                                    one, other, *ports, generic, index, mirrored, rule, policy,
                                    store, direction,
                                )  # fmt: skip

    def _literal(self, address: Address, family: int, me: set[IPAddress]) -> list[IPNetwork]:
        """Spec 2.1: what an address kind expands to."""
        if isinstance(address, AnyAddress):
            return [ipaddress.ip_network("0.0.0.0/0" if family == 4 else "::/0")]
        networks: list[IPNetwork]
        if isinstance(address, Me):
            networks = [ipaddress.ip_network(one) for one in sorted(me, key=str)]
        elif isinstance(address, Prefix):
            networks = [address.network]
        elif isinstance(address, AddressRange):
            networks = list(ipaddress.summarize_address_range(address.first, address.last))
        elif isinstance(address, DnsName):
            networks = [ipaddress.ip_network(one) for one in address.addresses]
        else:
            servers = self.host.servers.get(address.kind, frozenset())
            networks = [ipaddress.ip_network(one) for one in sorted(servers, key=str)]
        return [one for one in networks if one.version == family]


@dataclass(frozen=True)
class SpecificFilter:
    """One filter between two literal networks, one way."""

    source: IPNetwork
    destination: IPNetwork
    source_port: int
    destination_port: int
    generic: Filter
    index: int
    mirrored: bool
    rule: Rule
    policy: Policy
    store: Store
    direction: Direction

    @property
    def action(self) -> Action:
        """Routed packets meet the stricter of both actions."""
        inbound, outbound = self.rule.action.inbound, self.rule.action.outbound
        if self.direction is Direction.IN:
            return inbound
        return outbound if self.direction is Direction.OUT else max(inbound, outbound)

    @property
    def has_port(self) -> bool:
        return self.source_port != 0 or self.destination_port != 0

    @property
    def sort_key(self) -> tuple[object, ...]:
        """The tuple of spec 3.2; smallest first, so what is "highest first" there is negated."""
        restrictiveness = {
            Action.BLOCK: 5,
            Action.NEGOTIATE: 4,
            Action.INPASS: 3,
            Action.SOFT: 2,
            Action.PERMIT: 1,
        }
        stores = {Store.PERSISTENT: 4, Store.DOMAIN: 3, Store.LOCAL: 2, Store.DYNAMIC: 1}
        classes = ["AA", "RA", "AR", "HA", "AH", "RR", "HR", "RH", "HH"]
        if self.generic.protocol == 0:
            protocol_rank = 0
        elif self.source_port and self.destination_port:
            protocol_rank = 4
        elif self.destination_port:
            protocol_rank = 3
        elif self.source_port:
            protocol_rank = 2
        else:
            protocol_rank = 1
        return (
            not self.rule.tunnel,
            -classes.index(_address_class(self.source) + _address_class(self.destination)),
            -self.destination.prefixlen,
            -self.source.prefixlen,
            -protocol_rank,
            -restrictiveness[self.action],
            -stores[self.store],
            self.rule.name,
            self.rule.filter_list.name,
            self.index,
            self.mirrored,
        )

    def covers(self, facts: Facts) -> bool:
        """Whether the addresses match."""
        return facts.source in self.source and facts.destination in self.destination

    def matches(self, facts: Facts) -> bool:
        """Whether everything matches, for a packet that is whole or a first fragment."""
        return (
            self.covers(facts)
            and self.generic.protocol in (0, facts.protocol)
            and self.source_port in (0, facts.source_port)
            and self.destination_port in (0, facts.destination_port)
        )

    def answer(self, direction: Direction) -> Answer:
        """The verdict of spec 1.2 with its cause."""
        permits = self.action in (Action.PERMIT, Action.SOFT) or (
            self.action is Action.INPASS and direction is Direction.IN
        )
        negotiates = self.action in (Action.NEGOTIATE, Action.INPASS, Action.SOFT)
        return Answer(
            "permit" if permits else "block",
            "negotiate" if negotiates else "filter",
            self.policy.name,
            self.rule.name,
            self.generic.written,
            self.mirrored,
        )


def _decide_fragment(
    in_order: Sequence[SpecificFilter], facts: Facts, direction: Direction
) -> Answer:
    """Spec 5, item 2; where the protocol is hidden as well, it counts like a port."""
    would_have: set[Action] = set()
    for one in in_order:
        if not one.covers(facts):
            continue
        protocol = one.generic.protocol
        hidden = one.has_port or (facts.protocol is None and protocol != 0)
        if hidden and (facts.protocol is None or protocol == facts.protocol):
            would_have.add(one.action)
        elif not hidden and protocol in (0, facts.protocol):
            if would_have - {one.action}:
                return Answer("block", "fragment")
            return one.answer(direction)
    if would_have - {Action.PERMIT}:
        return Answer("block", "fragment")
    return Answer("permit", "no-filter")


def _address_class(network: IPNetwork) -> str:
    if network.prefixlen == 0:
        return "A"
    return "H" if network.prefixlen == network.max_prefixlen else "R"
