"""What the warnings ask of the policies, the host and the driver."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from ipsecfd.agent.advice.meaning import blocks, bounds, covers
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.packet import Packet, to_address
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.driver.table import Lookup, Table
from ipsecfd.policy.model import Address, AnyAddress, Filter, IPAddress, Me, Rule

SAMPLE: Final = 500
"""Blocking filters looked at."""
PROBES: Final = 8
"""Blocked ports, blocked senders and broadcast addresses tried."""


class Way(NamedTuple):
    """A filter or its mirror, seen from the host: who is there, who is here."""

    there: Address
    remote_port: int
    here: Address
    local_port: int
    filter: Filter
    rule: Rule

    def __str__(self) -> str:
        return f'"{self.filter.text or self.filter}" (rule "{self.rule.name}")'


class Questions:
    """What the warnings ask of the policies, the host and the driver. Addresses are integers."""

    def __init__(self, policies: ActivePolicies, settings: Settings) -> None:
        self.settings = settings
        self.rules = [
            rule
            for _, policy in policies
            for rule in policy.rules
            if rule.active and rule.filter_list.filters
        ]
        tables = [one for one in (settings.table, settings.dialup_table) if one is not None]
        self.stranger = {family: _unnamed(tables, family)[0] for family in (4, 6)}
        host = settings.host
        if not host.addresses:  # no network yet: any address will do for `me`
            host = replace(host, addresses=frozenset({to_address(4, _unnamed(tables, 4)[1])}))
        self._own = _by_family(host.addresses)
        self._delivered = _by_family(host.addresses | host.broadcasts)
        self.me = {
            family: next((one for one in own if one >> 118 != 0xFE80 >> 6), own[0])
            for family, own in self._own.items()
            if own
        }
        """An address of the host's by family, a link-local one only if there is no other."""
        ipv6 = settings.profile.filters_ipv6
        self.families = tuple(family for family in self.me if family == 4 or ipv6)
        """The families in use that are filtered."""
        self.free_port = _free_port(self.rules)
        self.blocked: dict[Direction, list[Way]] = {Direction.IN: [], Direction.OUT: []}
        """Some of what is blocked, by direction."""
        self._find_blocked()
        secure = replace(settings, mode=Mode.SECURE, host=host, dialup_table=None)
        self._drivers = [Driver(replace(secure, table=table), lambda: 0.0) for table in tables]
        roles = Roles(host, settings.profile)
        self._lookups = [Lookup(table, roles, Direction.IN) for table in tables]
        self._senders: dict[tuple[int, int, int], list[tuple[Lookup, int, int]]] = {}

    def own(self, address: Address) -> tuple[int, int] | None:
        """An address of the host's that this one can mean, with its family, or None."""
        if isinstance(address, AnyAddress | Me):
            return next(iter(self.me.items()))
        for family, first, last in bounds(address):
            own = self._own[family]
            place = bisect_left(own, first)
            if place < len(own) and own[place] <= last:
                return family, own[place]
        return None

    def concerns(self, address: Address) -> bool:
        """Whether packets from or to this host, or to a group, can have this address."""
        if isinstance(address, AnyAddress | Me):
            return True
        for family, first, last in bounds(address):
            known = self._delivered[family]
            place = bisect_left(known, first)
            if place < len(known) and known[place] <= last:
                return True
            if first >> 28 <= 0xE <= last >> 28 if family == 4 else last >> 120 == 0xFF:
                return True  # multicast
        return False

    def ways(self, one: Filter, rule: Rule, direction: Direction) -> Iterator[Way]:
        """How packets to (IN) or from (OUT) this host can match a filter."""
        there, here = (one.source, one.source_port), (one.destination, one.destination_port)
        if direction is Direction.OUT:
            there, here = here, there
        for (far, far_port), (near, near_port) in ((there, here), (here, there))[
            : 1 + rule.mirrors(one)
        ]:
            if self.own(near) is not None and not self._only_own(far):
                yield Way(far, far_port, near, near_port, one, rule)

    def _only_own(self, address: Address) -> bool:
        """Whether this can mean no other host: no packet of interest has the host at both ends."""
        stretches = bounds(address)
        return isinstance(address, Me) or (
            bool(stretches)
            and all(
                first == last and first in self._own[family] for family, first, last in stretches
            )
        )

    def _find_blocked(self) -> None:
        for rule in self.rules:
            wanted = [one for one in self.blocked if blocks(rule, one)]
            for one in rule.filter_list.filters if wanted else ():
                if self.own(one.source) is None and self.own(one.destination) is None:
                    continue
                if any(covers(one, family) for family in self.families):
                    for direction in wanted:
                        self.blocked[direction].extend(self.ways(one, rule, direction))
                    if all(len(self.blocked[direction]) > SAMPLE for direction in wanted):
                        break

    def judge(self, data: bytes) -> list[Decision]:
        """The decisions about an inbound packet, one for each class of interface."""
        return [driver.judge(Direction.IN)(data) for driver in self._drivers]

    def ports(self, protocol: int) -> list[int]:
        """Local ports to try: one that no filter names, and some that a filter blocks."""
        ways = (way for way in self.blocked[Direction.IN] if way.filter.protocol == protocol)
        named = dict.fromkeys(way.local_port for way in ways if way.local_port)
        return [self.free_port, *islice(named, PROBES)]

    def opens(self, way: Way) -> bool:
        """Whether remote hosts reach from this way's remote port what is blocked to them from
        others."""
        everywhere = isinstance(way.here, AnyAddress | Me)
        protocol, port = way.filter.protocol, way.remote_port
        for family in self.families:
            own = (family, self.me[family]) if everywhere else self.own(way.here)
            if own is None or own[0] != family or not covers(way.filter, family):
                continue
            for lookup, sender, target in self._blocked_to(*own, protocol):
                packet = Packet(family, sender, own[1], protocol, port, target, has_ports=True)
                found = lookup.find(packet)
                if found is not None and found.permits:
                    return True
        return False

    def _blocked_to(self, family: int, own: int, protocol: int) -> list[tuple[Lookup, int, int]]:
        """Senders and local ports between which a filter blocks, from a port no filter names."""
        key = (family, own, protocol)
        if key not in self._senders:
            named = dict.fromkeys(
                first
                for way in self.blocked[Direction.IN]
                for version, first, _ in bounds(way.there)
                if version == family and first not in self._own[family]
            )
            self._senders[key] = []
            tried = [
                (lookup, sender, port)
                for port in self.ports(protocol)
                for sender in (self.stranger[family], *islice(named, PROBES))
                for lookup in self._lookups
            ]
            for lookup, sender, port in tried:
                packet = Packet(family, sender, own, protocol, self.free_port, port, has_ports=True)
                found = lookup.find(packet)
                if found is not None and not found.permits:
                    self._senders[key].append((lookup, sender, port))
        return self._senders[key]


def _by_family(addresses: Iterable[IPAddress]) -> dict[int, list[int]]:
    return {
        family: sorted(int(one) for one in addresses if one.version == family) for family in (4, 6)
    }


def _free_port(rules: Iterable[Rule]) -> int:
    """A port that no filter names."""
    filters = [one for rule in rules for one in rule.filter_list.filters]
    used = {one.source_port for one in filters} | {one.destination_port for one in filters}
    return next((port for port in range(40_000, 65_536) if port not in used), 40_000)


def _unnamed(tables: Sequence[Table], family: int) -> list[int]:
    """Addresses that the tables know at most as `any`; others behind them, if all are named."""
    return sorted(
        (
            ((11 + 3 * n << 24) if family == 4 else (0x2A00 + n << 112)) + 0x4D4D4D
            for n in range(60)
        ),
        key=lambda value: any(_names(table, family, value) for table in tables),
    )


def _names(table: Table, family: int, value: int) -> bool:
    sides = table.families.get(family)
    return sides is not None and any(sides.bits[one] for one in sides.sides(value, frozenset()))
