"""Policies to specific filters in the total order of spec 3.2."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import Packet
from ipsecfd.driver.sides import Role, Roles, Side, expand
from ipsecfd.driver.table import ANYTHING, PROTOCOL, address_rank
from ipsecfd.policy.model import (
    ANY_PROTOCOL,
    ICMP,
    Action,
    Connection,
    Filter,
    Policy,
    Rule,
    Store,
)

ActivePolicies: TypeAlias = Sequence[tuple[Store, Policy]]
"""The assigned policy of each contributing store."""


class SpecificFilter(NamedTuple):
    """A filter expanded to one family, one pair of sides and one way (spec 2.4)."""

    source: Side
    destination: Side
    source_port: int
    destination_port: int
    protocol: int
    mirrored: bool
    generic: Filter
    place: int
    """Of the generic filter in its list, from 0."""
    rule: Rule
    policy: Policy
    store: Store

    @property
    def family(self) -> int:
        """4 or 6."""
        return self.source.family

    @property
    def protocol_rank(self) -> int:
        """The protocol rank 0-4 of spec 3.2."""
        if self.protocol == ANY_PROTOCOL:
            return ANYTHING
        return PROTOCOL + (self.source_port != 0) + 2 * (self.destination_port != 0)

    @property
    def rank(self) -> tuple[int, int, int, int, int]:
        """The part of the order that comes from the filter's shape; the highest comes first."""
        bits = self.source.bits, self.destination.bits
        return _rank(self.rule.tunnel, self.family, *bits, self.protocol_rank)

    def action(self, direction: Direction) -> Action:
        """What this filter does; routed packets meet the stricter action of both directions."""
        return _action(self.rule, direction)

    def order_key(self, direction: Direction) -> tuple[object, ...]:
        """Sorts into the total order of spec 3.2, the deciding filter first."""
        key = _rule_key(self.store, self.rule, direction)
        return (*(-one for one in self.rank), *key, self.place, self.mirrored)

    def weight(self, direction: Direction) -> int:
        """The "ipsecfd weight" (spec 3.5): grows with precedence among filters of IPv4, for whose
        prefix lengths its fields are made."""
        tunnel, class_rank, destination_bits, source_bits, protocol_rank = self.rank
        return (
            (tunnel << 28)
            + (class_rank << 20)
            + (destination_bits << 14)
            + (source_bits << 8)
            + (protocol_rank << 4)
            + self.action(direction)
        )

    def matches(self, packet: Packet, direction: Direction, roles: Roles) -> bool:
        """Whether this filter by itself covers a packet; one with ports covers no packet whose
        ports are in another fragment."""
        if packet.family != self.family or self.protocol not in (ANY_PROTOCOL, packet.protocol):
            return False
        if (self.source_port or self.destination_port) and not packet.has_ports:
            return False
        source_roles, destination_roles = roles.of_ends(
            packet.family, packet.source, packet.destination, direction
        )
        return (
            self.source_port in (0, packet.source_port)
            and self.destination_port in (0, packet.destination_port)
            and self.source.matches(packet.source, source_roles)
            and self.destination.matches(packet.destination, destination_roles)
        )

    def __str__(self) -> str:
        source, destination = (
            f"[{side}]:{port}" if port and self.family == 6 else f"{side}:{port}" if port else side
            for side, port in (
                (self.source, self.source_port),
                (self.destination, self.destination_port),
            )
        )
        return f"{source} -> {destination}"


def specific_filters(
    policies: ActivePolicies, *, ipv6: bool, dialup: bool | None = None
) -> list[SpecificFilter]:
    """All active filters of all stores, expanded and sorted for inbound packets.

    `ipv6` is whether the profile filters native IPv6. `dialup` chooses the rules for packets on
    such interfaces (True) or on all others (False); None takes every rule.
    """
    written = [
        (key, place, generic, rule, policy, store)
        for store, policy in policies
        for rule in policy.rules
        if rule.active and _applies(rule.connection, dialup)
        for key in (_rule_key(store, rule, Direction.IN),)
        for place, generic in enumerate(rule.filter_list.filters)
    ]
    written.sort(key=itemgetter(0, 1))
    expanded = [
        one
        for _, place, generic, rule, policy, store in written
        for family in (4, 6)[: 2 if ipv6 else 1]
        for one in _expand(generic, place, rule, policy, store, family)
    ]
    # Filters of one shape stay in the order in which they are written.
    expanded.sort(key=attrgetter("rank"), reverse=True)
    return expanded


def _action(rule: Rule, direction: Direction) -> Action:
    action = rule.action
    if direction is Direction.IN:
        return action.inbound
    if direction is Direction.OUT:
        return action.outbound
    return max(action.inbound, action.outbound)


def _rule_key(store: Store, rule: Rule, direction: Direction) -> tuple[int, int, str, str]:
    """The part of the order of spec 3.2 that comes from a filter's rule; the lowest comes first."""
    return -_action(rule, direction), -store, rule.name, rule.filter_list.name


@cache
def _rank(
    tunnel: bool, family: int, source_bits: int, destination_bits: int, protocol_rank: int
) -> tuple[int, int, int, int, int]:
    """One object for all filters of a shape, which makes sorting them fast."""
    return (int(tunnel), *address_rank(family, source_bits, destination_bits), protocol_rank)


def _applies(connection: Connection, dialup: bool | None) -> bool:
    if dialup is None or connection is Connection.ALL:
        return True
    return connection is (Connection.DIALUP if dialup else Connection.LAN)


def _expand(
    generic: Filter, place: int, rule: Rule, policy: Policy, store: Store, family: int
) -> list[SpecificFilter]:
    """The filter and then its mirror, each for every pair of sides."""
    if family == 6 and generic.protocol == ICMP:
        return []  # protocol 1 is ICMP for IPv4 only (design)
    sources = expand(generic.source, family)
    destinations = expand(generic.destination, family) if sources else ()
    # The host's traffic with itself is never filtered (spec 2.1).
    pairs = [
        (source, destination)
        for source in sources
        for destination in destinations
        if not (source.role is destination.role is Role.ME)
    ]
    port, other_port, protocol = generic.source_port, generic.destination_port, generic.protocol
    written = (generic, place, rule, policy, store)
    found = [
        SpecificFilter(one, other, port, other_port, protocol, False, *written)
        for one, other in pairs
    ]
    if rule.mirrors(generic):
        found += [
            SpecificFilter(other, one, other_port, port, protocol, True, *written)
            for one, other in pairs
            # A filter that is its own mirror is stored once (spec 2.3).
            if one != other or port != other_port
        ]
    return found
