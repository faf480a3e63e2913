"""The IPSec test of netdiag: which policy is assigned, and the driver's filters (spec 8.5)."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.model import (
    ICMP,
    Action,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    IPNetwork,
    Me,
    Policy,
    Prefix,
    Rule,
    ServerKind,
    Store,
)

_PATH: Final = r"SOFTWARE\Policies\Microsoft\Windows\IPSec\Policy"
_ACTION_WORDS: Final = {
    Action.PERMIT: "Permit",
    Action.SOFT: "Negotiate (soft)",
    Action.INPASS: "Negotiate (inpass)",
    Action.NEGOTIATE: "Negotiate",
    Action.BLOCK: "Block",
}
_FILTER_IDS: Final = uuid.UUID("6b1e3c1e-0d8f-5b53-9a5b-9f3a3b6d2a10")
"""Name space of the ids of filters, which have none of their own but are the same each time."""
_NO_ADDRESS: Final = "0.0.0.0"
_NOWHERE: Final[Mapping[ServerKind, Sequence[IPAddress]]] = {}


@dataclass(frozen=True, slots=True)
class NetdiagPolicy:
    """An assigned policy."""

    name: str
    guid: str
    """With its braces."""
    store: Store
    location: str = ""
    """Where a domain policy comes from, as a path or a URL."""

    @property
    def path(self) -> str:
        """Where the policy is kept, as Windows names it."""
        if self.store is Store.DOMAIN and self.location:
            return self.location
        return rf"{_PATH}\{self.store.name.capitalize()}\ipsecPolicy{self.guid}"


@dataclass(frozen=True, slots=True)
class NetdiagFilter:
    """A filter of plain addresses, as the driver uses it, one way."""

    source: IPNetwork
    destination: IPNetwork
    source_port: int
    destination_port: int
    protocol: int
    inbound: Action | None
    """What it does to packets coming in; None where it meets none."""
    outbound: Action | None
    filter_id: str
    policy_id: str
    """The filter action's id: what Windows calls the negotiation policy."""
    name: str = ""
    tunnel: str = ""


@dataclass(frozen=True, slots=True)
class NetdiagView:
    """What the test looks at."""

    running: bool
    """Whether the policy service is."""
    policies: tuple[NetdiagPolicy, ...] = ()
    """The assigned ones, the one to be named first at the head."""
    filters: tuple[NetdiagFilter, ...] = ()


def netdiag(view: NetdiagView, debug: bool) -> str:
    """The test's text without a newline at the end; the filters only with `debug`."""
    result = "Passed" if view.running else "Failed"
    lines = [f"IP Security test . . . . . . . . . : {result}"]
    if not view.running:
        return "\n".join([*lines, "    IPSec policy service is not running."])
    if not view.policies:
        lines.append("    IPSec policy service is active, but no policy is assigned.")
    for policy in view.policies:
        lines += (
            f"    {policy.store.name.capitalize()} IPSec Policy Active: '{policy.name}'",
            f"    IP Security Policy Path: {policy.path}",
        )
    if debug and view.filters:
        lines.append("")
        lines += filter_lines(view.filters)
    return "\n".join(lines)


def filter_lines(filters: Sequence[NetdiagFilter]) -> Iterator[str]:
    """The part about filters, also that of `ipseccmd show filters`."""
    yield f"    There are {len(filters)} filters"
    for one in filters:
        yield f"    {one.name or 'No Name'}"
        yield f"        Filter Id: {one.filter_id}"
        yield f"        Policy Id: {one.policy_id}"
        for title, network in (("Src", one.source), ("Dest", one.destination)):
            address = f"{title} Addr : {network.network_address}"
            any_or_ipv4 = network.version == 4 or not network.prefixlen
            mask = network.netmask if any_or_ipv4 else network.prefixlen
            yield f"        {address:<27} {title} Mask : {mask}"
        tunnel, port = f"Tunnel Addr : {one.tunnel or _NO_ADDRESS}", f"Src Port : {one.source_port}"
        yield f"        {tunnel:<27} {port:<18} Dest Port : {one.destination_port}"
        kind = "Yes" if one.tunnel else "No"
        yield f"        {f'Protocol : {one.protocol}':<27} TunnelFilter: {kind}"
        for way, action in (("Inbound", one.inbound), ("Outbound", one.outbound)):
            if action is not None:
                yield f"        Flags : {way} {_ACTION_WORDS[action]}"


def shown_filters(
    policies: Iterable[tuple[Store, Policy]],
    addresses: Sequence[IPAddress],
    servers: Mapping[ServerKind, Sequence[IPAddress]] = _NOWHERE,
    *,
    ipv6: bool = True,
) -> tuple[NetdiagFilter, ...]:
    """The filters of policies as the driver sees them: me and servers as the host's addresses,
    mirrors apart, families apart. `ipv6` is whether the profile filters native IPv6."""
    host = _Host(tuple(addresses), servers)
    return tuple(
        shown
        for store, policy in policies
        for rule in policy.rules
        if rule.active
        for one in rule.filter_list.filters
        for family in (4, 6)[: 2 if ipv6 else 1]
        for shown in host.expanded(one, f"{store.name}/{policy.name}", rule, family)
    )


@dataclass(frozen=True, slots=True)
class _Host:
    addresses: tuple[IPAddress, ...]
    servers: Mapping[ServerKind, Sequence[IPAddress]]

    def expanded(self, one: Filter, place: str, rule: Rule, family: int) -> Iterator[NetdiagFilter]:
        if family == 6 and one.protocol == ICMP:
            return  # protocol 1 is ICMP for IPv4 only (design)
        for source in self._networks(one.source, family):
            for destination in self._networks(one.destination, family):
                if isinstance(one.source, Me) and isinstance(one.destination, Me):
                    continue  # the host's traffic with itself is never filtered (spec 2.1)
                ports = one.source_port, one.destination_port
                yield self._shown(source, destination, ports, one, place, rule)
                if rule.mirrors(one) and (source, ports[0]) != (destination, ports[1]):
                    yield self._shown(destination, source, ports[::-1], one, place, rule)

    def _shown(
        self,
        source: IPNetwork,
        destination: IPNetwork,
        ports: tuple[int, ...],
        one: Filter,
        place: str,
        rule: Rule,
    ) -> NetdiagFilter:
        inbound, outbound = self._ways(source, destination)
        identity = f"{place}/{rule.name}/{source}/{destination}/{ports}/{one.protocol}"
        return NetdiagFilter(
            source,
            destination,
            ports[0],
            ports[1],
            one.protocol,
            rule.action.inbound if inbound else None,
            rule.action.outbound if outbound else None,
            _id(f"filter/{identity}"),
            _id(
                f"action/{place}/{rule.action.name}/{rule.action.inbound:d}/{rule.action.outbound:d}"
            ),
            one.description,
        )

    def _ways(self, source: IPNetwork, destination: IPNetwork) -> tuple[bool, bool]:
        """Whether packets coming in can match, and packets going out; both where neither side is
        the host's, as routed packets do."""
        if self._own(destination):
            return True, False
        if self._own(source):
            return False, True
        inbound = any(address in destination for address in self.addresses)
        outbound = any(address in source for address in self.addresses)
        return (inbound, outbound) if inbound or outbound else (True, True)

    def _own(self, network: IPNetwork) -> bool:
        single = network.prefixlen == network.max_prefixlen
        return single and network.network_address in self.addresses

    def _networks(self, address: Address, family: int) -> Iterator[IPNetwork]:
        match address:
            case AnyAddress():
                yield ipaddress.ip_network("0.0.0.0/0" if family == 4 else "::/0")
            case Prefix(network):
                if network.version == family:
                    yield network
            case AddressRange(first, last):
                if first.version == family:
                    yield from ipaddress.summarize_address_range(first, last)
            case Me():
                yield from _hosts(self.addresses, family)
            case DnsName(_, found):
                yield from _hosts(found, family)
            case _:
                yield from _hosts(self.servers.get(address.kind, ()), family)


def _hosts(addresses: Iterable[IPAddress], family: int) -> Iterator[IPNetwork]:
    return (ipaddress.ip_network(one) for one in addresses if one.version == family)


def _id(identity: str) -> str:
    return f"{{{str(uuid.uuid5(_FILTER_IDS, identity)).upper()}}}"
