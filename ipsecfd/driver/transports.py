"""What specific filters say of protocol and ports, with values that stand for all the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Final, Generic, NamedTuple, TypeVar

from ipsecfd.driver.exemptions import RSVP
from ipsecfd.driver.packet import EXTENSION_HEADERS
from ipsecfd.policy.model import ANY_PROTOCOL, ICMP, ICMPV6, TCP, UDP

T = TypeVar("T")

_NEVER: Final = EXTENSION_HEADERS | {ICMP, TCP, UDP, ICMPV6, RSVP}


class Transport(NamedTuple):
    """Protocol and ports; 0 is any in a filter."""

    protocol: int
    source_port: int = 0
    destination_port: int = 0

    def common(self, other: Transport) -> Transport | None:
        """What both cover, or None."""
        both = []
        for mine, its in zip(self, other, strict=True):
            if mine and its and mine != its:
                return None
            both.append(mine or its)
        return Transport(*both)


class Transports:
    """The protocols and ports of packets, as far as filters and exemptions tell them apart."""

    def __init__(self, mentioned: Iterable[Transport]) -> None:
        protocols: set[int] = set()
        sources: set[int] = set()
        destinations: set[int] = set()
        for one in mentioned:
            protocols.add(one.protocol)
            sources.add(one.source_port)
            destinations.add(one.destination_port)
        self._source = _free_port(sources, 40_000)  # far from the ports that are exempt
        self._destination = _free_port(destinations, 9_999)
        free = (one for one in range(254, 0, -1) if one not in protocols | _NEVER)
        other = next(free, None)
        # Somebody who reads an example knows TCP; that it is told from others does not matter.
        self._protocols = (TCP, *(sorted(protocols | _NEVER) if other is None else (other,)))

    def pick(self, one: Transport, family: int) -> Iterator[Transport]:
        """Values that stand for all that a filter covers."""
        for protocol in (one.protocol,) if one.protocol else self._protocols:
            if protocol == ANY_PROTOCOL or (family == 6 and protocol in EXTENSION_HEADERS):
                continue
            if protocol in (TCP, UDP):
                source = one.source_port or self._source
                yield Transport(protocol, source, one.destination_port or self._destination)
            else:
                yield Transport(protocol)


class TransportIndex(Generic[T]):
    """Values by transport, found by what a transport has in common with another one."""

    def __init__(self) -> None:
        self.values: dict[Transport, T] = {}
        """May only grow until the first look."""
        self._ported: dict[int, dict[tuple[int, int], list[Transport]]] = {}

    def near(self, wanted: Transport) -> Iterator[tuple[Transport, T]]:
        """What each has in common with this one, where that is anything, with its value."""
        few = len(self.values) <= FEW or not (wanted.source_port or wanted.destination_port)
        for one in self.values if few else self._candidates(wanted):
            shared = wanted.common(one)
            if shared is not None:
                yield shared, self.values[one]

    def _candidates(self, wanted: Transport) -> Iterator[Transport]:
        _, source, destination = wanted
        protocols = (ANY_PROTOCOL, wanted.protocol)
        if source and destination:
            sought = product(protocols, (0, source), (0, destination))
            yield from (one for one in map(Transport._make, sought) if one in self.values)
            return
        by_port = self._by_port(2 if destination else 1)
        for place in product(protocols, (0, destination or source)):
            yield from by_port.get(place, ())

    def _by_port(self, field: int) -> dict[tuple[int, int], list[Transport]]:
        """All of them by protocol and one of their ports."""
        found = self._ported.get(field)
        if found is None:
            found = self._ported[field] = {}
            for one in self.values:
                found.setdefault((one.protocol, one[field]), []).append(one)
        return found


FEW: Final = 16
"""Transports that are looked at one by one."""


def _free_port(mentioned: set[int], liked: int) -> int:
    """A port that nothing mentions; 1 where every single one is, which no policy can be."""
    return next((port for port in range(liked, 65_536) if port not in mentioned), 1)
