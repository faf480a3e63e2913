"""Policies to specific filters in the total order of spec 3.2, and those to a lookup table.

`me` and the server types stay roles here: which address fills them is asked at lookup time, so a
change of address needs no compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from operator import attrgetter, itemgetter
from typing import NamedTuple, TypeAlias

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.packet import Packet
from ipsecfd.driver.sides import ADDRESS_BITS, Role, Roles, Side, expand
from ipsecfd.driver.table import (
    ANYTHING,
    FROM,
    PROTOCOL,
    Entry,
    FamilyTable,
    Filed,
    PairFilters,
    Table,
    address_rank,
    filter_key,
    pair_key,
)
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
        return (
            self.source_port in (0, packet.source_port)
            and self.destination_port in (0, packet.destination_port)
            and self.source.matches(
                packet.source, roles.of_source(packet.family, packet.source, direction)
            )
            and self.destination.matches(
                packet.destination,
                roles.of_destination(packet.family, packet.destination, direction),
            )
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
    if generic.mirrored:
        found += [
            SpecificFilter(other, one, other_port, port, protocol, True, *written)
            for one, other in pairs
            # A filter that is its own mirror is stored once (spec 2.3).
            if one != other or port != other_port
        ]
    return found


def compile_table(filters: Sequence[SpecificFilter], version: int = 0) -> Table:
    """The lookup table of a list of specific filters, sorted as `specific_filters` does."""
    entries = list(zip(filters, _entries(filters, version), strict=True))
    tunnels = [one for one in entries if one[0].rule.tunnel]
    others = _table([one for one in entries if not one[0].rule.tunnel], version)
    return replace(others, tunnels=_table(tunnels, version)) if tunnels else others


def _table(entries: Iterable[tuple[SpecificFilter, Entry]], version: int) -> Table:
    by_family: dict[int, list[tuple[SpecificFilter, Entry]]] = {}
    for one in entries:
        by_family.setdefault(one[0].source.family, []).append(one)
    return Table(
        {family: _family_table(some, family) for family, some in by_family.items()}, version
    )


def _entries(filters: Sequence[SpecificFilter], version: int) -> list[Entry]:
    """The decisions of each filter by direction; one object where the directions agree."""
    inbound: Sequence[int] = range(len(filters))
    if all(one.rule.action.inbound == one.rule.action.outbound for one in filters):
        orders = [inbound] * len(Direction)
    else:
        orders = [inbound, _places(filters, Direction.OUT), _places(filters, Direction.FORWARD)]
    made: dict[tuple[int, int], tuple[Decision, ...]] = {}
    entries = []
    for one, *places in zip(filters, *orders, strict=True):
        of_rule = id(one.policy), id(one.rule)
        if of_rule not in made:
            made[of_rule] = _decisions(one, version)
        entries.append(_entry(one, made[of_rule], places))
    return entries


def _entry(one: SpecificFilter, decisions: Sequence[Decision], places: Sequence[int]) -> Entry:
    written, mirrored = one.generic.written, one.mirrored
    inbound = Filed(decisions[0], written, mirrored, places[0])
    if decisions[0] is decisions[1] is decisions[2] and places[0] == places[1] == places[2]:
        return inbound, inbound, inbound
    outbound = Filed(decisions[1], written, mirrored, places[1])
    return inbound, outbound, Filed(decisions[2], written, mirrored, places[2])


def _decisions(one: SpecificFilter, version: int) -> tuple[Decision, ...]:
    """What any filter of the same rule decides, by direction; one object where they agree."""
    made: dict[tuple[Verdict, Action], Decision] = {}
    decisions = []
    for direction in Direction:
        action = one.action(direction)
        outcome = _verdict(action, direction), action
        if outcome not in made:
            made[outcome] = Decision(
                outcome[0],
                Reason.NEGOTIATE if action.negotiates else Reason.FILTER,
                policy=one.policy.name,
                rule=one.rule.name,
                filter_list=one.rule.filter_list.name,
                action=action,
                version=version,
            )
        decisions.append(made[outcome])
    return tuple(decisions)


def _places(filters: Sequence[SpecificFilter], direction: Direction) -> list[int]:
    """The place of each filter in the total order of one direction."""
    keys = [one.order_key(direction) for one in filters]
    places = [0] * len(filters)
    for place, index in enumerate(sorted(range(len(filters)), key=keys.__getitem__)):
        places[index] = place
    return places


def _verdict(action: Action, direction: Direction) -> Verdict:
    inbound = direction is Direction.IN
    permits = action in (Action.PERMIT, Action.SOFT) or (action is Action.INPASS and inbound)
    return Verdict.PERMIT if permits else Verdict.BLOCK


_Kind: TypeAlias = tuple[int, int, Action, Action]
"""Protocol rank and protocol of a filter, and its actions inbound and outbound."""


def _family_table(entries: Iterable[tuple[SpecificFilter, Entry]], family: int) -> FamilyTable:
    numbers: dict[Side, int] = {}
    filters: dict[int, Entry] = {}
    kinds: dict[_Kind, int] = {}  # a bit for each
    kinds_of: dict[int, int] = {}  # the bits of all kinds of filters that a pair has
    for one, entry in entries:
        source = numbers.setdefault(one.source, len(numbers))
        destination = numbers.setdefault(one.destination, len(numbers))
        pair = pair_key(source, destination)
        rank, protocol = one.protocol_rank, one.protocol
        key = filter_key(rank, protocol, one.source_port, one.destination_port, pair)
        rival = filters.get(key)
        filters[key] = entry if rival is None else _winners(entry, rival)
        action = one.rule.action
        kind = (rank, protocol, action.inbound, action.outbound)
        kinds_of[pair] = kinds_of.get(pair, 0) | kinds.setdefault(kind, 1 << len(kinds))
    lengths: dict[int, dict[int, int]] = {}
    for side, number in numbers.items():
        if side.role is None:
            shift = ADDRESS_BITS[family] - side.bits
            lengths.setdefault(shift, {})[side.value] = number
    known = {bits: _pair_filters(bits, kinds) for bits in set(kinds_of.values())}
    return FamilyTable(
        lengths=tuple(sorted(lengths.items())),
        roles={side.role: number for side, number in numbers.items() if side.role is not None},
        bits=[side.bits for side in numbers],
        pairs={pair: known[bits] for pair, bits in kinds_of.items()},
        filters=filters,
    )


def _pair_filters(bits: int, kinds: Mapping[_Kind, int]) -> PairFilters:
    """What a pair with these kinds of filters has."""
    some = [kind for kind, bit in kinds.items() if bits & bit]
    shapes = {
        (protocol, rank >= FROM, (inbound, outbound, max(inbound, outbound)))
        for rank, protocol, inbound, outbound in some
        if rank != ANYTHING
    }
    ranks = {rank for rank, *_ in some}
    return PairFilters(tuple(sorted(ranks, reverse=True)), tuple(sorted(shapes)))


def _winners(one: Entry, other: Entry) -> Entry:
    """Of two equal filters the more restrictive decides, in each direction (spec 3.4)."""
    inbound, outbound, routed = (min(a, b, key=_order) for a, b in zip(one, other, strict=True))
    return inbound, outbound, routed


def _order(one: Filed) -> int:
    return one.order
