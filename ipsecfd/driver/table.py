"""The lookup table: from addresses, protocol and ports to the deciding filter, in sort order.

The order of spec 3.2 puts addresses before protocol and ports, so the table is cut in two: a
packet's addresses lead to the pairs of sides that cover them, most specific first; each pair leads
to the filters written for it, by protocol and ports. The first step is remembered per pair of
addresses, the second costs one probe per rank. Neither grows with the number of filters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.packet import Packet
from ipsecfd.driver.sides import ADDRESS_BITS, Role, Roles
from ipsecfd.policy.model import Action

Entry = tuple[Decision, Decision, Decision]
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


def rank_key(rank: int, protocol: int, source_port: int, destination_port: int) -> int:
    """What a filter or packet is filed under at one protocol rank."""
    if rank == BOTH:
        return protocol << 32 | source_port << 16 | destination_port
    if rank == TO:
        return protocol << 16 | destination_port
    if rank == FROM:
        return protocol << 16 | source_port
    return protocol if rank == PROTOCOL else 0


class PairFilters(NamedTuple):
    """The filters between two sides."""

    ranks: tuple[tuple[int, Mapping[int, Entry]], ...]
    """The protocol ranks in use, most specific first, each with its filters by `rank_key`."""
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
    """The filters by `source number << 32 | destination number`."""

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


class _Filed(Protocol):
    def get(self, key: int, /) -> Entry | None: ...


class _Strictest:
    """Filters of one rank from several pairs of sides of one rank: the first in order wins.

    This happens when an address is covered twice by sides of equal length: by itself and as `me`.
    """

    def __init__(self, filed: Sequence[_Filed], direction: Direction) -> None:
        self._filed = filed
        self._direction = direction

    def get(self, key: int, /) -> Entry | None:
        entries = [entry for one in self._filed if (entry := one.get(key)) is not None]
        return min(entries, key=lambda entry: entry[self._direction].order, default=None)


class Candidates(NamedTuple):
    """What can decide about packets between two addresses, in sort order."""

    probes: tuple[tuple[int, _Filed], ...]
    """Where to look, with the protocol rank of the key to look for."""
    levels: tuple[tuple[PairFilters, ...], ...]
    """The same before flattening, grouped by address rank."""


class Lookup:
    """Finds the deciding filter of packets of one direction, for one table, host and profile."""

    def __init__(self, table: Table, roles: Roles, direction: Direction) -> None:
        tunnels = table.tunnels
        self._tunnels = None if tunnels is None else Lookup(tunnels, roles, direction)
        self._families = table.families
        self._roles = roles
        self._direction = direction
        self._remembered: dict[tuple[int, int, int], Candidates] = {}

    def find(self, packet: Packet) -> Decision | None:
        """The decision of the first filter in order that matches a whole packet, or None."""
        if self._tunnels is not None and (decision := self._tunnels.find(packet)) is not None:
            return decision
        protocol, source_port = packet.protocol or 0, packet.source_port
        destination_port = packet.destination_port
        for rank, filed in self._candidates(packet).probes:
            if rank >= FROM and not packet.has_ports:
                continue
            entry = filed.get(rank_key(rank, protocol, source_port, destination_port))
            if entry is not None:
                return entry[self._direction]
        return None

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
        for level in self._candidates(packet).levels:
            found: list[Decision] = []
            for pair in level:
                for protocol, ported, actions in pair.shapes:
                    hidden = ported or packet.protocol is None
                    if hidden and packet.protocol in (None, protocol):
                        possible.add(actions[self._direction])
                for rank, filed in pair.ranks:
                    if rank == ANYTHING or (rank == PROTOCOL and packet.protocol is not None):
                        entry = filed.get(packet.protocol or 0 if rank == PROTOCOL else 0)
                        if entry is not None:
                            found.append(entry[self._direction])
                            break
            if found:
                decision = min(found, key=lambda one: one.order)
                return decision, possible - {decision.action} != set()
        return None, possible - {Action.PERMIT} != set()

    def _candidates(self, packet: Packet) -> Candidates:
        pair = (packet.family, packet.source, packet.destination)
        candidates = self._remembered.get(pair)
        if candidates is None:
            candidates = self._resolve(*pair)
            if len(self._remembered) >= PAIR_MEMORY:
                self._remembered.clear()
            self._remembered[pair] = candidates
        return candidates

    def _resolve(self, family: int, source: int, destination: int) -> Candidates:
        table = self._families.get(family)
        if table is None:
            return Candidates((), ())
        source_roles = self._roles.of_source(family, source, self._direction)
        destination_roles = self._roles.of_destination(family, destination, self._direction)
        destinations = list(table.sides(destination, destination_roles))
        levels: dict[tuple[int, int, int], list[PairFilters]] = {}
        for one in table.sides(source, source_roles):
            for other in destinations:
                pair = table.pairs.get(one << 32 | other)
                if pair is not None:
                    rank = address_rank(family, table.bits[one], table.bits[other])
                    levels.setdefault(rank, []).append(pair)
        ordered = tuple(tuple(levels[rank]) for rank in sorted(levels, reverse=True))
        return Candidates(tuple(self._probes(ordered)), ordered)

    def _probes(self, levels: Sequence[Sequence[PairFilters]]) -> Iterator[tuple[int, _Filed]]:
        for level in levels:
            if len(level) == 1:
                yield from level[0].ranks
            else:
                by_rank: dict[int, list[_Filed]] = {}
                for pair in level:
                    for rank, filed in pair.ranks:
                        by_rank.setdefault(rank, []).append(filed)
                for rank in sorted(by_rank, reverse=True):
                    yield rank, _Strictest(by_rank[rank], self._direction)
            if any(rank == ANYTHING for pair in level for rank, _ in pair.ranks):
                return  # matches every packet: nothing behind it can decide
