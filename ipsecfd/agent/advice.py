"""Warnings for a careful administrator: where the policies in force filter less than they seem to.

What becomes of a packet is asked of the driver, so that advice and verdicts cannot disagree.
"""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import Final, NamedTuple

from ipsecfd.driver.compile import ActivePolicies
from ipsecfd.driver.decision import Decision, Direction, Reason
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.packet import Packet, to_address
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.table import Lookup, Table
from ipsecfd.policy.model import (
    ANY_PROTOCOL,
    ICMP,
    ICMPV6,
    TCP,
    UDP,
    Action,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    Rule,
    Server,
)

NAMED: Final = 3
"""Filters or rules that a warning names; of the others it says how many there are."""
SAMPLE: Final = 500
"""Blocking filters looked at."""
PROBES: Final = 8
"""Blocked ports, blocked senders and broadcast addresses tried."""

_MULTICAST: Final = {4: 0xE00000FB, 6: (0xFF02 << 112) + 0xFB}
"""The group of multicast DNS, by family."""


def advice(
    policies: ActivePolicies, settings: Settings, *, forwarding: bool, forward: bool
) -> list[str]:
    """The warnings about these policies, each one or two sentences, the gravest first.

    `settings` holds the tables compiled from these very policies; its mode does not matter.
    `forwarding` is whether the kernel routes packets, `forward` whether those are judged.
    """
    asked = _Questions(policies, settings)
    return [
        *_kerberos(asked),
        *_wide_ike(asked),
        *_client_permits(asked),
        *_ipv6(asked),
        *_groups(asked),
        *_forwarding(asked, forwarding and not forward),
        *_neighbours(asked),
        *_idle(policies),
        *([] if forward else _strangers_only(asked, policies)),
        *_negotiations(asked),
    ]


class _Way(NamedTuple):
    """A filter or its mirror, seen from the host: who is there, who is here."""

    there: Address
    remote_port: int
    here: Address
    local_port: int
    filter: Filter
    rule: Rule

    def __str__(self) -> str:
        return f'"{self.filter.text or self.filter}" (rule "{self.rule.name}")'


class _Questions:
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
        self.blocked: dict[Direction, list[_Way]] = {Direction.IN: [], Direction.OUT: []}
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
        for family, first, last in _bounds(address):
            own = self._own[family]
            place = bisect_left(own, first)
            if place < len(own) and own[place] <= last:
                return family, own[place]
        return None

    def concerns(self, address: Address) -> bool:
        """Whether packets from or to this host, or to a group, can have this address."""
        if isinstance(address, AnyAddress | Me):
            return True
        for family, first, last in _bounds(address):
            known = self._delivered[family]
            place = bisect_left(known, first)
            if place < len(known) and known[place] <= last:
                return True
            if first >> 28 <= 0xE <= last >> 28 if family == 4 else last >> 120 == 0xFF:
                return True  # multicast
        return False

    def ways(self, one: Filter, rule: Rule, direction: Direction) -> Iterator[_Way]:
        """How packets to (IN) or from (OUT) this host can match a filter."""
        there, here = (one.source, one.source_port), (one.destination, one.destination_port)
        if direction is Direction.OUT:
            there, here = here, there
        for (far, far_port), (near, near_port) in ((there, here), (here, there))[
            : 1 + one.mirrored
        ]:
            if self.own(near) is not None and not self._only_own(far):
                yield _Way(far, far_port, near, near_port, one, rule)

    def _only_own(self, address: Address) -> bool:
        """Whether this can mean no other host: no packet of interest has the host at both ends."""
        bounds = _bounds(address)
        return isinstance(address, Me) or (
            bool(bounds)
            and all(first == last and first in self._own[family] for family, first, last in bounds)
        )

    def _find_blocked(self) -> None:
        for rule in self.rules:
            wanted = [one for one in self.blocked if _blocks(rule, one)]
            for one in rule.filter_list.filters if wanted else ():
                if self.own(one.source) is None and self.own(one.destination) is None:
                    continue
                if any(_covers(one, family) for family in self.families):
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

    def opens(self, way: _Way) -> bool:
        """Whether remote hosts reach from this way's remote port what is blocked to them from
        others."""
        everywhere = isinstance(way.here, AnyAddress | Me)
        protocol, port = way.filter.protocol, way.remote_port
        for family in self.families:
            own = (family, self.me[family]) if everywhere else self.own(way.here)
            if own is None or own[0] != family or not _covers(way.filter, family):
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
                for version, first, _ in _bounds(way.there)
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


# --- the warnings ---


def _kerberos(asked: _Questions) -> Iterator[str]:
    """The source-port attack of spec 4.3."""
    value, profile = asked.settings.exempt, asked.settings.profile
    if value not in (0, 2):
        return
    hole = f"Exemption value {value} never filters TCP and UDP port 88"
    remedy = f"Set exempt = {max(profile.allowed_exempt)}."
    if _any_of(asked.blocked[Direction.IN], TCP, UDP):
        yield (
            f"{hole}: whoever sends from port 88 reaches every local port, blocked or not. {remedy}"
        )
    elif _any_of(asked.blocked[Direction.OUT], TCP, UDP):
        yield f"{hole}: what is blocked outbound still leaves from or to that port. {remedy}"


def _wide_ike(asked: _Questions) -> Iterator[str]:
    profile = asked.settings.profile
    if profile.wide_ike and _any_of(asked.blocked[Direction.IN], UDP):
        yield (
            f"Profile {profile.name} never filters UDP port 500: whoever sends from port 500"
            " reaches every local UDP port, blocked or not. No exemption value closes that; any"
            " other profile does."
        )


def _client_permits(asked: _Questions) -> Iterator[str]:
    """The weakness of spec 2.3: who may answer may also ask."""
    if not asked.blocked[Direction.IN]:
        return
    holes = [
        way
        for rule in asked.rules
        if not _blocks(rule, Direction.IN)
        for one in rule.filter_list.filters
        if bool(one.source_port) != bool(one.destination_port)
        for way in asked.ways(one, rule, Direction.IN)
        if way.remote_port and _is_any(way.there) and asked.opens(way)
    ]
    if holes:
        yield (
            "Client permits let in attacks with the answers: whoever sends from the remote port of"
            f" {_listed(holes, 'or')} reaches every local port of that protocol, also blocked ones."
            ' Name the remote servers instead of "any" where they are known.'
        )


def _ipv6(asked: _Questions) -> Iterator[str]:
    profile = asked.settings.profile
    if profile.filters_ipv6 or 6 not in asked.me:
        return
    if any(_blocks(rule) and _any_covers(rule, 6) for rule in asked.rules):
        yield (
            f"Profile {profile.name} does not filter IPv6, and this host has IPv6 addresses: what"
            " is blocked still passes over IPv6. Use profile linux or vista, or turn IPv6 off."
        )


def _groups(asked: _Questions) -> Iterator[str]:
    """Inbound multicast and broadcast that pass where the same datagram to the host does not."""
    settings = asked.settings
    passing: dict[Reason, dict[str, None]] = {Reason.EXEMPTION: {}, Reason.NO_FILTER: {}}
    for family in asked.families if asked.blocked[Direction.IN] else ():
        groups = [(_MULTICAST[family], "multicast")]
        known = sorted(int(one) for one in settings.host.broadcasts if one.version == family)
        groups += [(one, "broadcast") for one in known[-PROBES:]]
        for port in asked.ports(UDP):
            ends = (family, asked.stranger[family], asked.free_port, port)
            to_me = asked.judge(_datagram(asked.me[family], *ends))
            for group, kind in groups:
                to_group = asked.judge(_datagram(group, *ends))
                for mine, other in zip(to_me, to_group, strict=True):
                    if not mine.permits and other.permits and other.reason in passing:
                        passing[other.reason][kind] = None
    profile = settings.profile
    if exempt := list(passing[Reason.EXEMPTION]):
        remedy = "Use profile linux" if profile.inbound_group_exempt else "Set exempt = 3"
        yield (
            f"Inbound packets to {_listed(exempt)} addresses always pass in profile {profile.name}"
            f" with exemption value {settings.exempt}, although the same packets to this host's"
            f" own address are blocked. {remedy} to filter them."
        )
    if unmatched := list(passing[Reason.NO_FILTER]):
        yield (
            f"Inbound packets to {_listed(unmatched)} addresses match no filter and pass, although"
            ' the same packets to this host\'s own address are blocked. Write "me" for that'
            f" address: in profile {profile.name} it covers both."
        )


def _forwarding(asked: _Questions, unjudged: bool) -> Iterator[str]:
    if unjudged and any(map(_blocks, asked.rules)):
        yield (
            "This host forwards packets, and those are not judged: what is blocked here still"
            " passes through to other hosts and containers. Set forward = true to judge them by"
            " literal addresses, or turn forwarding off."
        )


def _neighbours(asked: _Questions) -> Iterator[str]:
    """IPv6 that is permitted but cannot work, because neighbours do not find each other."""
    if 6 not in asked.families or not any(
        not _blocks(rule, Direction.IN) and _any_covers(rule, 6) for rule in asked.rules
    ):
        return
    router = (0xFE80 << 112) + 0x4D4D4D
    advertisement = bytes((136,)) + bytes(23)
    answers = asked.judge(_ipv6_packet(router, asked.me[6], ICMPV6, advertisement, 255))
    blocked = next((one for one in answers if not one.permits), None)
    if blocked is not None:
        yield (
            f'"{blocked.filter}" (rule "{blocked.rule}") also blocks IPv6 neighbour discovery, so'
            " that what is permitted over IPv6 cannot work for long. Permit"
            ' "me <-> any icmpv6", or use profile linux, which never filters neighbour discovery.'
        )


def _idle(policies: ActivePolicies) -> Iterator[str]:
    for _, policy in policies:
        active = [rule for rule in policy.rules if rule.active]
        if any(rule.filter_list.filters for rule in active):
            continue
        why = "whose rules have no filters" if active else "none of whose rules is active"
        yield (
            f'Policy "{policy.name}", {why if policy.rules else "which has no rule"}, filters'
            " nothing: every packet passes it. Add what is missing, or unassign it."
        )


def _strangers_only(asked: _Questions, policies: ActivePolicies) -> Iterator[str]:
    if not asked.settings.host.addresses:
        return  # nobody can tell yet
    for _, policy in policies:
        filters = [one for rule in policy.rules if rule.active for one in rule.filter_list.filters]
        if filters and not any(
            asked.concerns(one.source) or asked.concerns(one.destination) for one in filters
        ):
            yield (
                f'No filter of policy "{policy.name}" concerns an address of this host, so it'
                ' filters nothing here. Write "me" for the host\'s own address.'
            )


def _negotiations(asked: _Questions) -> Iterator[str]:
    """What becomes of negotiate without a key exchange (spec 1.2)."""
    effects: dict[str, list[str]] = {}
    for rule in asked.rules:
        if rule.action.inbound.negotiates or rule.action.outbound.negotiates:
            effect = {
                (True, True): "dropped",
                (False, True): "accepted in clear inbound and dropped outbound",
                (True, False): "dropped inbound and sent in clear",
                (False, False): "let through in clear both ways",
            }[_blocks(rule, Direction.IN), _blocks(rule, Direction.OUT)]
            effects.setdefault(effect, []).append(f'"{rule.name}"')
    for effect, names in effects.items():
        rules = "rule" if len(names) == 1 else "rules"
        yield (
            f"Security cannot be negotiated here, for want of a key exchange: what {rules}"
            f" {_listed(names)} would protect is {effect}. Use block or permit to say which you"
            " mean."
        )


# --- small helpers ---


def _listed(things: Sequence[object], last: str = "and") -> str:
    """The first few of several things in words, and how many more there are."""
    shown = [str(one) for one in things[:NAMED]]
    if len(things) > NAMED:
        shown.append(f"{len(things) - NAMED:,} more")
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))


def _blocks(rule: Rule, direction: Direction | None = None) -> bool:
    """Whether a rule drops what matches it; without a direction, in any."""
    inbound = rule.action.inbound in (Action.BLOCK, Action.NEGOTIATE)
    outbound = rule.action.outbound in (Action.BLOCK, Action.NEGOTIATE, Action.INPASS)
    return (inbound and direction is not Direction.OUT) or (
        outbound and direction is not Direction.IN
    )


def _any_of(ways: Iterable[_Way], *protocols: int) -> bool:
    return any(way.filter.protocol in (ANY_PROTOCOL, *protocols) for way in ways)


def _any_covers(rule: Rule, family: int) -> bool:
    return any(_covers(one, family) for one in rule.filter_list.filters)


def _covers(one: Filter, family: int) -> bool:
    """Whether packets of family 4 or 6 can match; protocol 1 is ICMP for IPv4 only (design)."""
    if family == 6 and one.protocol == ICMP:
        return False
    return _means(one.source, family) and _means(one.destination, family)


def _means(address: Address, family: int) -> bool:
    if isinstance(address, AnyAddress | Me | Server):
        return True
    return any(version == family for version, _, _ in _bounds(address))


def _is_any(address: Address) -> bool:
    return isinstance(address, AnyAddress) or (
        isinstance(address, Prefix) and not address.network.prefixlen
    )


def _bounds(address: Address) -> Sequence[tuple[int, int, int]]:
    """The stretches of addresses that are written in a filter: family, first, last."""
    if isinstance(address, Prefix):
        network = address.network
        first = int(network.network_address)
        free = network.max_prefixlen - network.prefixlen
        return ((network.version, first, first | (1 << free) - 1),)
    if isinstance(address, AddressRange):
        return ((address.first.version, int(address.first), int(address.last)),)
    if isinstance(address, DnsName):
        return [(one.version, int(one), int(one)) for one in address.addresses]
    return ()


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


def _datagram(destination: int, family: int, source: int, from_port: int, to_port: int) -> bytes:
    udp = struct.pack("!HHHH", from_port, to_port, 8, 0)
    if family == 6:
        return _ipv6_packet(source, destination, UDP, udp, 64)
    return struct.pack("!BBHHHBBHII", 0x45, 0, 28, 0, 0, 64, UDP, 0, source, destination) + udp


def _ipv6_packet(
    source: int, destination: int, protocol: int, body: bytes, hop_limit: int
) -> bytes:
    header = struct.pack("!IHBB", 6 << 28, len(body), protocol, hop_limit)
    return header + source.to_bytes(16, "big") + destination.to_bytes(16, "big") + body
