"""The rules in force, whatever store they come from, as `netsh ipsec dynamic show` sees them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.sides import ADDRESS_BITS, Role, Side
from ipsecfd.driver.specific import SpecificFilter, specific_filters
from ipsecfd.policy.model import (
    Address,
    AnyAddress,
    DnsName,
    Filter,
    FilterList,
    IPAddress,
    Policy,
    Prefix,
    Rule,
    Server,
    ServerKind,
    Store,
)
from ipsecfd.policy.netsh.values import IPV6_PROFILES
from ipsecfd.policy.stores.content import KERBEROS, Authentication, Content
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.workspace import Workspace

_SERVERS: Final = {Role(kind.value): kind for kind in ServerKind}


@dataclass(frozen=True, slots=True)
class ForceRule:
    """A rule in force, with what only commands keep of it."""

    store: Store
    policy: Policy
    rule: Rule
    mmpolicy: str
    qmpolicy: str
    tunnel: str
    authentication: tuple[Authentication, ...]

    @property
    def filters(self) -> tuple[Filter, ...]:
        """Its generic filters."""
        return self.rule.filter_list.filters


@dataclass(frozen=True, slots=True)
class ForceFilter:
    """A filter of a rule in force."""

    of: ForceRule
    generic: Filter
    """As it was written."""
    shown: Filter
    """The same, or one of the specific filters it stands for: then `mirrored` is whether it is of
    the opposite direction."""
    weights: tuple[int, ...] = ()
    """Of a specific filter: its weight for packets coming in, and for those going out."""

    @property
    def expanded(self) -> bool:
        """Whether it is a specific filter."""
        return self.shown is not self.generic


def rules_in_force(workspace: Workspace) -> list[ForceRule]:
    """The active rules of the persistent, the domain or else the local, and the dynamic store.

    Raises IpsecfdError when the file of a policy in force cannot be read.
    """
    found = list(_stored(Store.PERSISTENT, workspace.stores[Store.PERSISTENT].content()))
    for given in workspace.given:
        found += _given(given.read())
    if not workspace.given:
        domain = workspace.stores[Store.DOMAIN].assigned is not None
        store = Store.DOMAIN if domain else Store.LOCAL
        found += _stored(store, workspace.stores[store].content())
    if workspace.dynamic is not None:
        found += _dynamic(workspace.dynamic.content())
    return found


def generic_filters(rules: Iterable[ForceRule]) -> Iterator[ForceFilter]:
    """The filters as they were written."""
    return (ForceFilter(of, one, one) for of in rules for one in of.filters)


def specific_filters_of(rules: Iterable[ForceRule], workspace: Workspace) -> list[ForceFilter]:
    """The filters as the driver has them, with the host's addresses for `me`, the first to decide
    about inbound packets first."""
    ipv6 = workspace.profile in IPV6_PROFILES
    found = [
        (specific, of)
        for of in rules
        for specific in specific_filters(
            [(of.store, replace(of.policy, rules=(of.rule,)))], ipv6=ipv6
        )
    ]
    found.sort(key=lambda one: one[0].order_key(Direction.IN))
    return [
        ForceFilter(
            of,
            specific.generic,
            shown,
            (specific.weight(Direction.IN), specific.weight(Direction.OUT)),
        )
        for specific, of in found
        for shown in _expanded(specific, workspace.addresses)
    ]


def without_ports(rules: Iterable[ForceRule]) -> list[ForceRule]:
    """The rules that could negotiate, with their pairs of addresses alone: main mode filters."""
    found = []
    for of in rules:
        action = of.rule.action
        if of.mmpolicy or action.inbound.negotiates or action.outbound.negotiates:
            pairs = tuple(
                dict.fromkeys(
                    replace(one, source_port=0, destination_port=0, protocol=0, description="")
                    for one in of.filters
                )
            )
            filters = FilterList(of.rule.filter_list.name, pairs)
            found.append(replace(of, rule=replace(of.rule, filter_list=filters)))
    return found


def same_address(one: Address, other: Address) -> bool:
    """Whether two addresses are written alike; DNS names are compared by name."""
    if isinstance(one, DnsName) and isinstance(other, DnsName):
        return one.name == other.name
    return one == other


def _stored(store: Store, content: Content) -> Iterator[ForceRule]:
    if content.assigned is None:
        return
    stored = content.policies[content.assigned]
    policy = content.compiled(stored)
    for rule, kept in zip(policy.rules, stored.rules, strict=True):
        if rule.active:
            yield _force_rule(store, policy, rule, kept.tunnel, kept.authentication)


def _given(policy: Policy) -> Iterator[ForceRule]:
    return (_force_rule(Store.LOCAL, policy, rule) for rule in policy.rules if rule.active)


def _force_rule(
    store: Store,
    policy: Policy,
    rule: Rule,
    tunnel: str = "",
    authentication: tuple[Authentication, ...] = KERBEROS,
) -> ForceRule:
    """A rule of a policy, whose key exchange policies are called after it and its action."""
    negotiates = rule.action.inbound.negotiates or rule.action.outbound.negotiates
    return ForceRule(
        store,
        policy,
        rule,
        policy.name if negotiates else "",
        rule.action.name if negotiates else "",
        tunnel,
        authentication,
    )


def _dynamic(content: DynamicContent) -> Iterator[ForceRule]:
    policy = content.policy()
    for rule, kept in zip(policy.rules, content.rules.values(), strict=True):
        yield ForceRule(
            Store.DYNAMIC,
            policy,
            rule,
            kept.mmpolicy,
            kept.qmpolicy,
            kept.tunnel,
            kept.authentication,
        )


def _expanded(one: SpecificFilter, own: tuple[IPAddress, ...]) -> Iterator[Filter]:
    for source in _addresses(one.source, own):
        for destination in _addresses(one.destination, own):
            yield Filter(
                source,
                destination,
                one.source_port,
                one.destination_port,
                one.protocol,
                one.mirrored,
                one.generic.description,
            )


def _addresses(side: Side, own: tuple[IPAddress, ...]) -> Iterator[Address]:
    if side.role is Role.ME:
        for address in own:
            if address.version == side.family:
                yield Prefix.of(ipaddress.ip_network(address))
    elif side.role is not None:
        yield Server(_SERVERS[side.role])
    elif not side.bits and side.family == 4:
        yield AnyAddress()
    else:
        first = side.value << (ADDRESS_BITS[side.family] - side.bits)
        yield Prefix(side.family, side.bits, first)
