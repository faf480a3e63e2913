"""What filters mean before any packet comes: which rules block, which families and addresses."""

from __future__ import annotations

from collections.abc import Sequence

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.sides import ADDRESS_BITS
from ipsecfd.policy.model import (
    ICMP,
    Action,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    Me,
    Prefix,
    Rule,
    Server,
)


def blocks(rule: Rule, direction: Direction | None = None) -> bool:
    """Whether a rule drops what matches it; without a direction, in any."""
    inbound = rule.action.inbound in (Action.BLOCK, Action.NEGOTIATE)
    outbound = rule.action.outbound in (Action.BLOCK, Action.NEGOTIATE, Action.INPASS)
    return (inbound and direction is not Direction.OUT) or (
        outbound and direction is not Direction.IN
    )


def any_covers(rule: Rule, family: int) -> bool:
    """Whether packets of family 4 or 6 can match one of the filters."""
    return any(covers(one, family) for one in rule.filter_list.filters)


def covers(one: Filter, family: int) -> bool:
    """Whether packets of family 4 or 6 can match; protocol 1 is ICMP for IPv4 only (design)."""
    if family == 6 and one.protocol == ICMP:
        return False
    return _means(one.source, family) and _means(one.destination, family)


def _means(address: Address, family: int) -> bool:
    if isinstance(address, AnyAddress | Me | Server):
        return True
    return any(version == family for version, _, _ in bounds(address))


def is_any(address: Address) -> bool:
    """Whether this stands for every address of a family or both."""
    return isinstance(address, AnyAddress) or (isinstance(address, Prefix) and not address.bits)


def bounds(address: Address) -> Sequence[tuple[int, int, int]]:
    """The stretches of addresses that are written in a filter: family, first, last."""
    if isinstance(address, Prefix):
        free = ADDRESS_BITS[address.family] - address.bits
        return ((address.family, address.first, address.first | (1 << free) - 1),)
    if isinstance(address, AddressRange):
        return ((address.first.version, int(address.first), int(address.last)),)
    if isinstance(address, DnsName):
        return [(one.version, int(one), int(one)) for one in address.addresses]
    return ()
