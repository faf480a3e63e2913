"""Packets whose verdict two sets of filters may disagree about: one for each pair of filters.

A packet meets another verdict only if a filter decides about it that is not in both sets. So each
such filter is cut with every filter of the other set, and a packet is picked out of what they
share, in no smaller part of it that anything tells apart: whatever else covers that packet covers
all that they share. Where those two decide about any packet at all, they decide about this one.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from functools import cached_property
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.ends import Ends, Part, Parts, SideIndex
from ipsecfd.driver.host import Host
from ipsecfd.driver.sides import ADDRESS_BITS, Role, Roles, Side
from ipsecfd.driver.specific import SpecificFilter
from ipsecfd.driver.transports import Transport, TransportIndex, Transports


class Box(NamedTuple):
    """What a specific filter covers, and how it stands in the order of one direction."""

    source: Side
    destination: Side
    transport: Transport
    rank: tuple[int, ...]
    """The highest decides; its last part is the action."""

    @classmethod
    def of(cls, one: SpecificFilter, direction: Direction) -> Box:
        """The box of a filter."""
        transport = Transport(one.protocol, one.source_port, one.destination_port)
        return cls(one.source, one.destination, transport, (*one.rank, one.action(direction)))


class Try(NamedTuple):
    """A packet: addresses as integers, and a transport without any 0."""

    source: int
    destination: int
    transport: Transport


class Place(NamedTuple):
    """Where packets are: on which host, which way they go, of which family."""

    host: Host
    roles: Roles
    direction: Direction
    family: int


def tries(before: Iterable[Box], after: Iterable[Box], place: Place) -> Iterator[Try | None]:
    """The packets, each once; None for one that was there already, so that somebody can count."""
    both = dict.fromkeys(before), dict.fromkeys(after)
    if both[0].keys() == both[1].keys():
        return
    boxes = [*both[0], *both[1]]
    sources = _ends(place, {box.source for box in boxes}, destination=False)
    destinations = _ends(place, {box.destination for box in boxes}, destination=True)
    transports = Transports(box.transport for box in boxes)
    ours, theirs = (
        {box: None for box in some if sources.parts(box.source) and destinations.parts(box[1])}
        for some in both
    )
    tried: set[Try] = set()
    for mine, its in ((ours, theirs), (theirs, ours)):
        others = _Index(its, mine, sources, destinations)
        for box in mine:
            if box in its:
                continue
            for source_parts, destination_parts, transport in others.shared(box):
                for picked in transports.pick(transport, place.family):
                    for source in _picked(sources, source_parts):
                        for destination in _picked(destinations, destination_parts):
                            one = Try(source, destination, picked)
                            yield None if one in tried else one
                            tried.add(one)


def _picked(ends: Ends, parts: Parts) -> Iterator[int]:
    for part in parts:
        yield from ends.pick(part)


class _Index:
    """The filters of one set, found by what they share with a filter of the other set.

    A filter with a port meets few transports, one without meets few addresses: so there are two
    ways to look.
    """

    def __init__(
        self, boxes: Iterable[Box], others: Container[Box], sources: Ends, destinations: Ends
    ) -> None:
        self._boxes = list(boxes)
        self._others = others
        self._sources, self._destinations = sources, destinations

    def shared(self, box: Box) -> Iterator[tuple[Parts, Parts, Transport]]:
        """What a filter covers, and what it shares with each filter here."""
        source = self._sources.parts(box.source)
        destination = self._destinations.parts(box.destination)
        yield source, destination, box.transport
        if box.transport.source_port or box.transport.destination_port:
            for transport, by_source in self._by_transport.near(box.transport):
                for source_parts, to in by_source.near(source):
                    for destination_parts, some in to.near(destination):
                        if self._may_decide(some, box):
                            yield source_parts, destination_parts, transport
        else:
            for source_parts, by_destination in self._by_sides.near(source):
                for destination_parts, by_transport in by_destination.near(destination):
                    for transport, some in by_transport.near(box.transport):
                        if self._may_decide(some, box):
                            yield source_parts, destination_parts, transport

    def _may_decide(self, some: Iterable[Box], box: Box) -> bool:
        """Whether any of these may decide here where that one decides in the other set.

        One that is in both sets and stands above it leaves it nothing to decide.
        """
        return any(one.rank <= box.rank or one not in self._others for one in some)

    @cached_property
    def _by_sides(self) -> SideIndex[SideIndex[TransportIndex[list[Box]]]]:
        found = SideIndex[SideIndex[TransportIndex[list[Box]]]](self._sources)
        for box in self._boxes:
            by_destination = found.values.get(box.source)
            if by_destination is None:
                by_destination = found.values[box.source] = SideIndex(self._destinations)
            by_transport = by_destination.values.get(box.destination)
            if by_transport is None:
                by_transport = by_destination.values[box.destination] = TransportIndex()
            by_transport.values.setdefault(box.transport, []).append(box)
        return found

    @cached_property
    def _by_transport(self) -> TransportIndex[SideIndex[SideIndex[list[Box]]]]:
        found = TransportIndex[SideIndex[SideIndex[list[Box]]]]()
        for box in self._boxes:
            by_source = found.values.get(box.transport)
            if by_source is None:
                by_source = found.values[box.transport] = SideIndex(self._sources)
            to = by_source.values.get(box.source)
            if to is None:
                to = by_source.values[box.source] = SideIndex(self._destinations)
            to.values.setdefault(box.destination, []).append(box)
        return found


def _prefix(family: int, value: int, bits: int) -> Part:
    return Part.of(Side(family, bits, value >> (ADDRESS_BITS[family] - bits)))


_MULTICAST: Final = {4: _prefix(4, 0xE0000000, 4), 6: _prefix(6, 0xFF << 120, 8)}
_SPECIAL: Final = {
    4: (_prefix(4, 0, 8), _prefix(4, 127 << 24, 8), _prefix(4, 0xF0000000, 4)),
    6: (_prefix(6, 0, 8), _prefix(6, 0xFE80 << 112, 10)),
}
"""Where no good example comes from: this network, loopback, reserved, link-local."""
_LIKED: Final = {
    4: (0xCB007142, 0xC6336407, 0xC000024D),  # 203.0.113.66, 198.51.100.7, 192.0.2.77
    6: ((0x20010DB8 << 96) | (0x66 << 80) | 0x66, (0x20010DB8 << 96) | 0x77),
}
"""Addresses for documentation (RFC 5737, 3849)."""


def _ends(place: Place, sides: Iterable[Side], *, destination: bool) -> Ends:
    """What the sources or destinations of packets may be."""
    host, roles, direction, family = place
    of = roles.of_destination if destination else roles.of_source
    multicast = _MULTICAST[family]
    written = {Part.of(side) for side in sides if side.role is None}
    smallest = _Smallest(written)
    own, broadcasts, servers = (
        sorted(int(one) for one in some if one.version == family)
        for some in (host.addresses, host.broadcasts, frozenset().union(*host.servers.values()))
    )
    delivered = {*own, *broadcasts} if destination else set(own)
    # The host's packets to itself are loopback, and what is routed is never its own.
    own_way = Direction.IN if destination else Direction.OUT
    by_role: dict[Role, list[Part]] = {}
    here: list[Part] = []
    seen = set()
    for part in (*(Part(address, address) for address in (*own, *broadcasts, *servers)), multicast):
        its = of(family, part.low, direction)
        is_here = part.low in delivered or (destination and part is multicast)
        kind = (its, is_here, smallest.around(part))
        if kind in seen and not smallest.within(part):
            continue  # nothing tells it from one before
        seen.add(kind)
        for role in its:
            if role is not Role.ME or direction is own_way:
                by_role.setdefault(role, []).append(part)
        if is_here:
            here.append(part)
    roots = tuple(here) if direction is own_way else (_everything(family),)
    points = {Part(address, address) for address in (*own, *broadcasts, *servers)}
    return Ends(
        roots,
        {role: tuple(parts) for role, parts in by_role.items()},
        written | points | {multicast, *_SPECIAL[family]},
        _LIKED[family],
    )


def _everything(family: int) -> Part:
    return Part(0, (1 << ADDRESS_BITS[family]) - 1)


class _Smallest:
    """Finds out which of some parts lie around another one, or within it."""

    def __init__(self, parts: Iterable[Part]) -> None:
        self._by_size: dict[int, set[int]] = {}
        for part in parts:
            self._by_size.setdefault(part.high - part.low + 1, set()).add(part.low)
        self._sizes = sorted(self._by_size)

    def around(self, part: Part) -> Part | None:
        """The smallest one around a part, itself included, or None."""
        for size in self._sizes:
            low = part.low & -size  # sizes are powers of two
            if size > part.high - part.low and low in self._by_size[size]:
                return Part(low, low + size - 1)
        return None

    def within(self, part: Part) -> bool:
        """Whether any is within a part and smaller."""
        return any(
            part.low <= low <= part.high
            for size in self._sizes
            if size <= part.high - part.low
            for low in self._by_size[size]
        )
