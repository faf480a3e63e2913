"""The lookup table: from addresses, protocol and ports to the deciding filter, in sort order.

The order of spec 3.2 puts addresses before protocol and ports, so a packet is looked up in two
steps: its addresses lead to the pairs of sides that cover them, most specific first; each pair,
with protocol and ports, to the filter written for just that. The first step is remembered per pair
of addresses, the second costs one probe per rank. Neither grows with the number of filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.packet import Packet
from ipsecfd.driver.sides import ADDRESS_BITS, Role, Roles
from ipsecfd.policy.model import Action


class Filed(NamedTuple):
    """A filter as it is filed; when it first decides, its decision is made of this."""

    decision: Decision
    """Of any filter of its rule: it lacks what follows."""
    filter: str
    mirrored: bool
    order: int


Entry = tuple[Filed, Filed, Filed]
"""The winner among otherwise equal filters, by Direction."""

Shape = tuple[int, bool, tuple[Action, Action, Action]]
"""Protocol of a filter, whether it has ports, and its actions by Direction."""

ANYTHING, PROTOCOL, FROM, TO, BOTH = range(5)
"""The protocol ranks of spec 3.2: any protocol, protocol alone, with source port, with destination
port, with both."""

PAIR_MEMORY: Final = 16_384
"""Address pairs remembered per direction; all are forgotten when there are more."""

# Address classes, most specific first (spec 3.1, item 4): 2 host, 1 subnet, 0 any.
_CLASS_RANK: Final = {
    (2, 2): 8,
    (1, 2): 7,
    (2, 1): 6,
    (1, 1): 5,
    (0, 2): 4,
    (2, 0): 3,
    (0, 1): 2,
    (1, 0): 1,
    (0, 0): 0,
}


def address_rank(family: int, source_bits: int, destination_bits: int) -> tuple[int, int, int]:
    """The part of the sort order that comes from the addresses: class rank, then bits."""
    full = ADDRESS_BITS[family]
    source = 2 if source_bits == full else min(source_bits, 1)
    destination = 2 if destination_bits == full else min(destination_bits, 1)
    return _CLASS_RANK[source, destination], destination_bits, source_bits


def pair_key(source: int, destination: int) -> int:
    """What is filed about the pair of two numbered sides."""
    return source << 32 | destination


def filter_key(rank: int, protocol: int, source_port: int, destination_port: int, pair: int) -> int:
    """What a filter of a pair is filed under."""
    return _transport(protocol, source_port, destination_port) & _COUNTS[rank] | _base(rank, pair)


def _transport(protocol: int, source_port: int, destination_port: int) -> int:
    return protocol << 32 | source_port << 16 | destination_port


def _base(rank: int, pair: int) -> int:
    return (pair << 3 | rank) << 40


# What of protocol and ports tells filters apart, by their protocol rank.
_COUNTS: Final = {
    ANYTHING: 0,
    PROTOCOL: _transport(0xFF, 0, 0),
    FROM: _transport(0xFF, 0xFFFF, 0),
    TO: _transport(0xFF, 0, 0xFFFF),
    BOTH: _transport(0xFF, 0xFFFF, 0xFFFF),
}
_PORTS: Final = _transport(0, 0xFFFF, 0xFFFF)


class PairFilters(NamedTuple):
    """What filters there are between two sides; one object for all pairs alike."""

    ranks: tuple[int, ...]
    """The protocol ranks in use, most specific first."""
    shapes: tuple[Shape, ...]
    """What filters with a protocol there are; all that the fragment rule needs to know."""


@dataclass(frozen=True, slots=True)
class FamilyTable:
    """All filters of one address family; sides are numbered."""

    lengths: tuple[tuple[int, Mapping[int, int]], ...]
    """By prefix length: how far to shift an address, and the number of each prefix."""
    roles: Mapping[Role, int]
    """The number of each role in use."""
    bits: Sequence[int]
    """Prefix length by side number."""
    pairs: Mapping[int, PairFilters]
    """What filters there are, by `pair_key`."""
    filters: Mapping[int, Entry]
    """The filters, by `filter_key`."""

    def sides(self, address: int, roles: frozenset[Role]) -> Iterator[int]:
        """The numbers of all sides that cover an address with these roles."""
        for shift, numbers in self.lengths:
            number = numbers.get(address >> shift)
            if number is not None:
                yield number
        for role in roles:
            number = self.roles.get(role)
            if number is not None:
                yield number


@dataclass(frozen=True, slots=True)
class Table:
    """A compiled policy set: made by `driver.compile`, never changed."""

    families: Mapping[int, FamilyTable]
    version: int = 0
    tunnels: Table | None = None
    """The filters of tunnel rules, where there are any: they come before all others (spec 3.2)."""


_Pairs = tuple[tuple[int, PairFilters], ...]

Probe = tuple[int, int, tuple[int, ...]]
"""What counts of protocol and ports, and the rest of the `filter_key` to look at. There are several
where an address is covered twice by sides of equal length: by itself and as `me`."""


class Candidates(NamedTuple):
    """What can decide about packets between two addresses, in sort order."""

    probes: tuple[Probe, ...]
    levels: tuple[_Pairs, ...]
    """The same before flattening, grouped by address rank."""
    group: str | None
    """What the destination is where it means many hosts (`Roles.group`)."""
    settled: bool
    """Whether it stays so, whatever address comes next (`Roles.settled`)."""


class Lookup:
    """Finds the deciding filter of packets of one direction, for one table, host and profile."""

    def __init__(self, table: Table, roles: Roles, direction: Direction) -> None:
        tunnels = table.tunnels
        self._tunnels = None if tunnels is None else Lookup(tunnels, roles, direction)
        self._families = table.families
        self._filters: dict[int, Mapping[int, Entry]] = {4: {}, 6: {}}
        self._filters |= {family: one.filters for family, one in table.families.items()}
        self._roles = roles
        self._direction = direction
        self._remembered: dict[bytes, Candidates] = {}
        self._made: dict[int, Decision] = {}

    def find(self, packet: Packet) -> Decision | None:
        """The decision of the first filter in order that matches a whole packet, or None."""
        if self._tunnels is not None and (decision := self._tunnels.find(packet)) is not None:
            return decision
        transport = _transport(packet.protocol or 0, packet.source_port, packet.destination_port)
        probes = self.between(packet.ends).probes
        if not packet.has_ports:
            probes = tuple(one for one in probes if not one[0] & _PORTS)
        return self._first(self._filters[packet.family], probes, transport)

    def find_ported(self, ends: bytes, protocol: int, ports: int) -> Decision | None:
        """The same for a whole packet of TCP or UDP: by its `ends`, and its ports as one number."""
        if self._tunnels is not None:
            decision = self._tunnels.find_ported(ends, protocol, ports)
            if decision is not None:
                return decision
        filed = self._filters[4 if len(ends) == 8 else 6]
        return self._first(filed, self.between(ends).probes, protocol << 32 | ports)

    def _first(
        self, filed: Mapping[int, Entry], probes: tuple[Probe, ...], transport: int
    ) -> Decision | None:
        for counts, base, others in probes:
            entry = filed.get(transport & counts | base)
            if others:
                entries = (filed.get(transport & counts | one) for one in others)
                entry = self._strictest(entry, *entries)
            if entry is not None:
                one = entry[self._direction]
                return self._made.get(one.order) or self._decision(one)
        return None

    def _strictest(self, *entries: Entry | None) -> Entry | None:
        """Of filters that are equal, the first in order."""
        found = (entry for entry in entries if entry is not None)
        return min(found, key=lambda entry: entry[self._direction].order, default=None)

    def find_for_fragment(
        self, packet: Packet, possible: set[Action] | None = None
    ) -> tuple[Decision | None, bool]:
        """The decision of the first filter that matches a packet without its ports, and whether
        an earlier filter might have decided otherwise had they been there (spec 5, item 2).

        `possible` collects what such filters do.
        """
        possible = set() if possible is None else possible
        if self._tunnels is not None:
            decision, in_doubt = self._tunnels.find_for_fragment(packet, possible)
            if decision is not None:
                return decision, in_doubt
        filed = self._filters[packet.family]
        for level in self.between(packet.ends).levels:
            found: list[Filed] = []
            for pair, known in level:
                for protocol, ported, actions in known.shapes:
                    hidden = ported or packet.protocol is None
                    if hidden and packet.protocol in (None, protocol):
                        possible.add(actions[self._direction])
                for rank in known.ranks:
                    if rank == ANYTHING or (rank == PROTOCOL and packet.protocol is not None):
                        entry = filed.get(filter_key(rank, packet.protocol or 0, 0, 0, pair))
                        if entry is not None:
                            found.append(entry[self._direction])
                            break
            if found:
                decision = self._decision(min(found, key=lambda one: one.order))
                return decision, possible - {decision.action} != set()
        return None, possible - {Action.PERMIT} != set()

    def _decision(self, one: Filed) -> Decision:
        """The decision of a filter; one object for each."""
        if one.order not in self._made:
            self._made[one.order] = replace(
                one.decision, filter=one.filter, mirrored=one.mirrored, order=one.order
            )
        return self._made[one.order]

    def between(self, ends: bytes) -> Candidates:
        """What can decide about packets between two addresses (`Packet.ends`)."""
        # Not under the addresses as integers: strangers choose them, and know which hash alike.
        candidates = self._remembered.get(ends)
        if candidates is None:
            candidates = self._resolve(ends)
            if len(self._remembered) >= PAIR_MEMORY:
                self._remembered.clear()
            self._remembered[ends] = candidates
        return candidates

    def _resolve(self, ends: bytes) -> Candidates:
        family = 4 if len(ends) == 8 else 6
        half = len(ends) // 2
        source, destination = int.from_bytes(ends[:half], "big"), int.from_bytes(ends[half:], "big")
        group = self._roles.group(family, destination)
        settled = self._roles.settled(family, source, destination, self._direction)
        table = self._families.get(family)
        if table is None:
            return Candidates((), (), group, settled)
        source_roles, destination_roles = self._roles.of_ends(
            family, source, destination, self._direction
        )
        destinations = list(table.sides(destination, destination_roles))
        levels: dict[tuple[int, int, int], list[tuple[int, PairFilters]]] = {}
        for one in table.sides(source, source_roles):
            for other in destinations:
                pair = pair_key(one, other)
                known = table.pairs.get(pair)
                if known is not None:
                    rank = address_rank(family, table.bits[one], table.bits[other])
                    levels.setdefault(rank, []).append((pair, known))
        ordered = tuple(tuple(levels[rank]) for rank in sorted(levels, reverse=True))
        return Candidates(tuple(_probes(ordered)), ordered, group, settled)


def _probes(levels: Sequence[_Pairs]) -> Iterator[Probe]:
    for level in levels:
        if len(level) == 1:
            pair, known = level[0]
            yield from [(_COUNTS[rank], _base(rank, pair), ()) for rank in known.ranks]
        else:
            by_rank: dict[int, list[int]] = {}
            for pair, known in level:
                for rank in known.ranks:
                    by_rank.setdefault(rank, []).append(_base(rank, pair))
            for rank in sorted(by_rank, reverse=True):
                base, *others = by_rank[rank]
                yield _COUNTS[rank], base, tuple(others)
        if any(known.ranks[-1] == ANYTHING for _, known in level):
            return  # matches every packet: nothing behind it can decide
