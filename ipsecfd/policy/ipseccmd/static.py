"""Static mode: a run's rule, and what becomes of its policy, in a store (spec 8.4).

All that can fail comes before the first change.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ipsecfd.policy.grammar import Resolve
from ipsecfd.policy.ipseccmd.methods import MainMode
from ipsecfd.policy.ipseccmd.switches import RuleSpec, Static
from ipsecfd.policy.model import Filter
from ipsecfd.policy.stores.content import (
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import InUseError

_LONGEST_NAME: Final = 255


def apply_static(request: Static, draft: Draft, resolve: Resolve, now: int) -> None:
    """Do in a store what a run asks for; `now` in seconds since 1970.

    Raises FilterError or NotFoundError and has then changed nothing.
    """
    if request.delete:
        _delete(draft, request.policy)
        return
    if not draft.has_policy(request.policy) and request.rule is None and not request.assign:
        draft.policy(request.policy)  # says that there is none
    filters: tuple[Filter, ...] = ()
    if request.rule is not None:
        filters = tuple(dict.fromkeys(spec.filter(resolve) for spec in request.rule.filters))
    _put_policy(draft, request, now)
    if request.rule is not None and request.rule.filters:
        _put_rule(draft, request.policy, request.name, request.rule, filters, now)
    assigned = draft.assigned == name_key(request.policy)
    if request.assign and not assigned:
        draft.assign(request.policy)
    elif request.assign is False and assigned:
        draft.unassign(request.policy)


def _delete(draft: Draft, name: str) -> None:
    """Delete a policy with its rules, and the lists and actions that no other rule uses."""
    rules = draft.policy(name).rules
    draft.delete_policy(name)
    for filters in {name_key(rule.filter_list) for rule in rules}:
        _delete_unused_list(draft, filters)
    for action in {name_key(rule.filter_action) for rule in rules}:
        _delete_unused_action(draft, action)


def _put_policy(draft: Draft, request: Static, now: int) -> None:
    """Make the policy if there is none, and give it the settings that are asked for."""
    answer = _default_rule(request.rule)
    if not draft.has_policy(request.policy):
        new = StoredPolicy(request.policy, default_rule=DefaultRule(active=False), modified=now)
        draft.add_policy(_with_settings(new, request, answer))
    elif request.polling is not None or answer is not None or request.main_mode != MainMode():
        old = draft.policy(request.policy)
        new = _with_settings(old, request, answer)
        if new != old:
            draft.set_policy(old.name, replace(new, modified=now))


def _default_rule(rule: RuleSpec | None) -> DefaultRule | None:
    """The default response rule that a rule without filters asks for."""
    if rule is None or rule.filters:
        return None
    return DefaultRule(True, rule.negotiation.pfs, rule.negotiation.methods, rule.authentication)


def _with_settings(
    policy: StoredPolicy, request: Static, answer: DefaultRule | None
) -> StoredPolicy:
    wanted = request.main_mode
    return replace(
        policy,
        polling=policy.polling if request.polling is None else request.polling,
        mmpfs=policy.mmpfs if wanted.pfs is None else wanted.pfs,
        qmpermm=policy.qmpermm if wanted.quick_modes is None else wanted.quick_modes,
        mmlifetime=policy.mmlifetime if wanted.lifetime is None else wanted.lifetime,
        mmsecmethods=policy.mmsecmethods if wanted.methods is None else wanted.methods,
        default_rule=policy.default_rule if answer is None else answer,
    )


def _put_rule(
    draft: Draft, policy: str, name: str, wanted: RuleSpec, filters: tuple[Filter, ...], now: int
) -> None:
    """Make a rule with its list and action; a rule of this name is replaced."""
    old = draft.rule(policy, name) if draft.has_rule(policy, name) else None
    rule = StoredRule(
        name,
        _put_list(draft, policy, old, StoredList(name, filters, modified=now)),
        _put_action(draft, wanted.negotiation.stored(now)),
        connection=wanted.connection,
        tunnel=wanted.tunnel,
        authentication=wanted.authentication,
        modified=now,
    )
    if old is None:
        draft.add_rule(policy, rule)
        return
    draft.set_rule(policy, name, replace(rule, guid=old.guid))
    if name_key(old.filter_action) != name_key(rule.filter_action):
        _delete_unused_action(draft, old.filter_action)


def _put_action(draft: Draft, wanted: StoredAction) -> str:
    """The name of the action that does what is wanted: one of that name, or a new one."""
    for name in _names(wanted.name):
        if not draft.has_filter_action(name):
            draft.add_filter_action(replace(wanted, name=name))
            return name
        found = draft.filter_action(name)
        if replace(found, name=wanted.name, description="") == wanted:
            return found.name
    raise AssertionError("names never end")


def _put_list(draft: Draft, policy: str, old: StoredRule | None, wanted: StoredList) -> str:
    """The name of the list: the replaced rule's own one, else the rule's name if it is free."""
    if old is not None:
        kept = draft.filter_list(old.filter_list)
        if kept.filters == wanted.filters:
            return kept.name
        if _users(draft, kept.name) == 1:
            new = replace(kept, filters=wanted.filters, modified=wanted.modified)
            draft.set_filter_list(kept.name, new)
            return kept.name
    names = _names(wanted.name, f" ({policy})")
    name = next(one for one in names if not draft.has_filter_list(one))
    draft.add_filter_list(replace(wanted, name=name))
    return name


def _delete_unused_list(draft: Draft, name: str) -> None:
    with contextlib.suppress(InUseError):
        draft.delete_filter_list(name)


def _delete_unused_action(draft: Draft, name: str) -> None:
    with contextlib.suppress(InUseError):
        draft.delete_filter_action(name)


def _names(base: str, *suffixes: str) -> Iterator[str]:
    """The base, with each suffix, and then with numbers."""
    yield base[:_LONGEST_NAME]
    for suffix in suffixes:
        yield f"{base[: max(0, _LONGEST_NAME - len(suffix))]}{suffix}"[:_LONGEST_NAME]
    number = 2
    while True:
        suffix = f" ({number})"
        yield f"{base[: _LONGEST_NAME - len(suffix)]}{suffix}"
        number += 1


def _users(draft: Draft, filters: str) -> int:
    key = name_key(filters)
    return sum(
        name_key(rule.filter_list) == key
        for policy in draft.policies.values()
        for rule in policy.rules
    )
