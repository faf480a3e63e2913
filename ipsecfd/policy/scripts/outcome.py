"""What came of an import: objects counted, properties set, filters that are probably not meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Final, TypeVar

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh.config import PROPERTIES
from ipsecfd.policy.review import about_filter, about_list
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.stores.builtin import BUILT_IN_GUIDS
from ipsecfd.policy.stores.content import Content, StoredAction, StoredList, StoredPolicy
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import Workspace

MOST_DOUBTS: Final = 10
"""Filters that are probably not meant which are told one by one."""

Object = TypeVar("Object", StoredPolicy, StoredList, StoredAction)


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import; objects are counted that it made or changed.

    Default response rules and what a fresh Windows has of its own are not counted.
    """

    policies: int = 0
    filter_lists: int = 0
    filters: int = 0
    """As written: no mirrors, no expansion; those of a list count once."""
    rules: int = 0
    filter_actions: int = 0
    assigned: str | None = None
    """The name of the first of `assignments`."""
    dynamic_rules: int = 0
    dynamic: bool = field(default=False, compare=False)
    """Whether any dynamic object is another one than before, or gone."""
    failed: tuple[Failure, ...] = ()
    """Commands that Windows would have refused, too; the rest was done."""
    untranslated: tuple[Failure, ...] = ()
    """What was not understood."""
    stopped: bool = False
    """Whether something was not understood and nothing is to be changed because of it."""
    ignored: int = field(default=0, compare=False)
    """Commands of batch files that have nothing to do with IPsec policies."""
    stores: tuple[Store, ...] = field(default=(), compare=False)
    """The stores that it changed."""
    assignments: tuple[tuple[Store, str], ...] = field(default=(), compare=False)
    """What is assigned afterwards, by store: in that which takes what is local, and in those that
    it changed."""
    properties: tuple[tuple[str, str], ...] = field(default=(), compare=False)
    """The driver's properties that it set, with their values in words."""
    notes: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a workspace holds at one time."""

    stores: dict[Store, Content]
    dynamic: DynamicContent
    properties: Properties


def snapshot(workspace: Workspace) -> Snapshot:
    """What a workspace holds now."""
    return Snapshot(
        {store: draft.content() for store, draft in workspace.stores.items()},
        workspace.dynamic.content() if workspace.dynamic else DynamicContent(),
        workspace.properties,
    )


def outcome(before: Snapshot, after: Snapshot, store: Store) -> ImportResult:
    """What is there that was not before; `store` is that which took what is local."""
    changes = [_changes(before.stores[one], after.stores[one]) for one in after.stores]
    dynamic = after.dynamic.rules
    policies, filter_lists, filters, rules, filter_actions = map(sum, zip(*changes, strict=True))
    properties = tuple(_properties(before.properties, after.properties))
    stores = tuple(one for one in after.stores if after.stores[one] != before.stores[one])
    assignments = tuple(_assignments(after.stores, dict.fromkeys((store, *stores))))
    return ImportResult(
        policies=policies,
        filter_lists=filter_lists,
        filters=filters,
        rules=rules,
        filter_actions=filter_actions,
        assigned=assignments[0][1] if assignments else None,
        dynamic_rules=sum(before.dynamic.rules.get(key) is not dynamic[key] for key in dynamic),
        stores=stores,
        dynamic=before.dynamic != after.dynamic,
        assignments=assignments,
        properties=properties,
        notes=(*_effects(properties), *_doubts(before, after)),
    )


def _changes(before: Content, after: Content) -> tuple[int, int, int, int, int]:
    """How many policies, lists, filters, rules and actions are there that were not before."""
    policies = list(_new(before.policies, after.policies))
    lists = list(_new(before.filter_lists, after.filter_lists))
    known_filters = {id(one) for each in before.filter_lists.values() for one in each.filters}
    known_rules = {id(one) for each in before.policies.values() for one in each.rules}
    return (
        len(policies),
        len(lists),
        sum(id(one) not in known_filters for each in lists for one in each.filters),
        sum(id(one) not in known_rules for each in policies for one in each.rules),
        len(list(_new(before.filter_actions, after.filter_actions))),
    )


def _doubts(before: Snapshot, after: Snapshot) -> list[str]:
    """What filters that were not there before are probably not meant to be."""
    found = []
    for store, content in after.stores.items():
        lists = before.stores[store].filter_lists
        known = {id(one) for each in lists.values() for one in each.filters}
        for each in _new(lists, content.filter_lists):
            new = (one for one in each.filters if id(one) not in known)
            doubts = about_list(each.name, new)
            found += [f'{place}: "{text}": {why}' for place, text, why in doubts]
    for key, rule in after.dynamic.rules.items():
        if before.dynamic.rules.get(key) is not rule:
            found += [f'dynamic rule "{rule.filter}": {why}' for why in about_filter(rule.filter)]
    more = len(found) - MOST_DOUBTS
    return found if more <= 0 else [*found[:MOST_DOUBTS], f"and {more} more filters like these"]


def _new(before: Mapping[str, Object], after: Mapping[str, Object]) -> Iterator[Object]:
    """The objects that are others than before, but for those that every fresh Windows has."""
    for key, one in after.items():
        if before.get(key) is not one and one.guid not in BUILT_IN_GUIDS:
            yield one


def _assignments(
    contents: Mapping[Store, Content], stores: Iterable[Store]
) -> Iterator[tuple[Store, str]]:
    """The names of the policies that are assigned in some stores."""
    for store in stores:
        content = contents[store]
        if content.assigned is not None:
            yield store, content.policies[content.assigned].name


def _properties(before: Properties, after: Properties) -> Iterator[tuple[str, str]]:
    """The properties that are others than before, with their values in words."""
    for one in fields(Properties):
        value = getattr(after, one.name)
        if value == getattr(before, one.name):
            continue
        if isinstance(value, tuple):
            value = " ".join(value) or "none"
        yield one.name, "as configured" if value is None else str(value)


def _effects(properties: Iterable[tuple[str, str]]) -> Iterator[str]:
    """When the properties that were set take effect, if not at once."""
    names: dict[str, list[str]] = {}
    for name, _ in properties:
        if PROPERTIES[name].effect:
            names.setdefault(PROPERTIES[name].effect, []).append(name)
    for effect, found in names.items():
        yield f"{', '.join(found)}: the new value takes effect {effect}"
