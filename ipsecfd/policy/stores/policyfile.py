"""TOML texts into a store: a store of its own, or a policy file."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from ipsecfd.policy.model import Action, FilterAction, FilterList, Policy
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores import file as storefile
from ipsecfd.policy.stores.content import (
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    filter_identity,
    name_key,
    new_guid,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import ExistsError, StoreError
from ipsecfd.policy.tomlfile import parse_policy

_ACTIONS: Final = {
    Action.PERMIT: StoredAction("", Behaviour.PERMIT),
    Action.BLOCK: StoredAction("", Behaviour.BLOCK),
    Action.NEGOTIATE: StoredAction("", Behaviour.NEGOTIATE),
    Action.INPASS: StoredAction("", Behaviour.NEGOTIATE, inpass=True),
    Action.SOFT: StoredAction("", Behaviour.NEGOTIATE, soft=True),
}


def policy_to_draft(draft: Draft, policy: Policy, modified: int = 0) -> StoredPolicy:
    """Add the policy of a policy file with its lists and actions; filters that stand in a rule
    become a list of the rule's name.

    A list or action that is there already is used if it is the same, else the new one gets a name
    of its own. `modified` is in seconds since 1970. Raises ExistsError for the policy's name, and
    StoreError for an action that differs by direction.
    """
    if draft.has_policy(policy.name):
        raise ExistsError(f"there is already a policy with the name '{policy.name}'")
    for rule in policy.rules:
        if rule.action.inbound is not rule.action.outbound:
            raise StoreError(
                f"the action of the rule '{rule.name}' differs by direction, which only dynamic"
                " rules can"
            )
    taken: set[str] = set()
    rules = []
    known: dict[int, str] = {}  # by identity: rules that share a list share the object
    for rule in policy.rules:
        name = _free_name(rule.name, lambda wanted: name_key(wanted) in taken)
        taken.add(name_key(name))
        if id(rule.filter_list) not in known:
            known[id(rule.filter_list)] = _stored_list(draft, rule.filter_list, modified)
        rules.append(
            StoredRule(
                name,
                known[id(rule.filter_list)],
                _stored_action(draft, rule.action, modified),
                rule.description,
                rule.active,
                rule.connection,
                modified=modified,
            )
        )
    stored = StoredPolicy(policy.name, policy.description, tuple(rules), modified=modified)
    draft.add_policy(stored)
    return stored


def merge(draft: Draft, content: Content, *, assign: bool = False) -> None:
    """Add a store's objects; one of the same name is replaced, and rules that use it follow.

    With `assign` its assigned policy, if there is one, is assigned.
    """
    for filters in content.filter_lists.values():
        if draft.has_filter_list(filters.name):
            draft.set_filter_list(filters.name, filters)
        else:
            draft.add_filter_list(filters)
    for action in content.filter_actions.values():
        if draft.has_filter_action(action.name):
            draft.set_filter_action(action.name, action)
        else:
            draft.add_filter_action(action)
    for policy in content.policies.values():
        if draft.has_policy(policy.name):
            draft.set_policy(policy.name, policy)
        else:
            draft.add_policy(policy)
    if assign and content.assigned is not None:
        draft.assign(content.policies[content.assigned].name)


def add_text(
    draft: Draft, text: str, file: str, names: Names, modified: int = 0, *, assign: bool = False
) -> None:
    """Add what a TOML text holds: a store (see `merge`) or a policy file (see `policy_to_draft`).

    `file` is what mistakes call it. With `assign` the policy file's policy is assigned, or what
    was in the store. Raises StoreFileError, PolicyError and StoreError.
    """
    if storefile.is_store(text):
        merge(draft, storefile.parse(text, file), assign=assign)
        return
    stored = policy_to_draft(draft, parse_policy(text, file, names).policy, modified)
    if assign:
        draft.assign(stored.name)


def _stored_list(draft: Draft, filters: FilterList, modified: int) -> str:
    """The name of the draft's list with these filters, which is added when there is none."""
    each_once = tuple({filter_identity(one): one for one in filters.filters}.values())

    def differs(name: str) -> bool:
        return draft.has_filter_list(name) and draft.filter_list(name).filters != each_once

    name = _free_name(filters.name, differs)
    if not draft.has_filter_list(name):
        draft.add_filter_list(StoredList(name, each_once, modified=modified))
    return name


def _stored_action(draft: Draft, action: FilterAction, modified: int) -> str:
    """The name of the draft's action that does the same, which is added when there is none."""

    def differs(name: str) -> bool:
        return (
            draft.has_filter_action(name) and draft.filter_action(name).action is not action.inbound
        )

    name = _free_name(action.name, differs)
    if not draft.has_filter_action(name):
        made = replace(_ACTIONS[action.inbound], name=name, guid=new_guid(), modified=modified)
        draft.add_filter_action(made)
    return name


def _free_name(wanted: str, taken: Callable[[str], bool]) -> str:
    """The wanted name, or with the first number behind it that makes it free."""
    if not taken(wanted):
        return wanted
    return next(name for number in itertools.count(2) if not taken(name := f"{wanted} ({number})"))
