"""Filters as they are written, and which of them one set of policies has and another has not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ipsecfd.policy.model import Connection, Filter, FilterAction, Policy
from ipsecfd.policy.stores.content import FilterIdentity, filter_identity


@dataclass(frozen=True, slots=True)
class WrittenFilter:
    """A filter of an active rule. Two are equal if they mean the same under the same rule's name,
    however they are worded."""

    rule: str
    action: FilterAction
    connection: Connection
    meaning: FilterIdentity
    filter: Filter = field(compare=False)


def written_filters(policies: Iterable[Policy]) -> Iterator[WrittenFilter]:
    """The filters of all active rules, in order."""
    for policy in policies:
        for rule in policy.rules:
            if rule.active:
                action = FilterAction("", rule.action.inbound, rule.action.outbound)
                for one in rule.filter_list.filters:
                    yield WrittenFilter(
                        rule.name, action, rule.connection, filter_identity(one), one
                    )


def removed(before: Iterable[WrittenFilter], after: Iterable[WrittenFilter]) -> list[WrittenFilter]:
    """Those that are before and not after, or not as often; the other way round, those added."""
    left = Counter(after)
    found = []
    for one in before:
        if left[one]:
            left[one] -= 1
        else:
            found.append(one)
    return found
