"""Policies from a store to a policy file, and from TOML texts into a store.

A policy file has no identities and nothing about key exchange; the driver decides the same by it.
"""

from __future__ import annotations

import ipaddress
import itertools
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    Connection,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Prefix,
)
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores import file as storefile
from ipsecfd.policy.stores import tomlwriter
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
from ipsecfd.policy.stores.errors import ExistsError, NotFoundError, StoreError
from ipsecfd.policy.stores.text import filter_value
from ipsecfd.policy.stores.tomlwriter import Value
from ipsecfd.policy.tomlfile import BUILT_IN_ACTIONS, Loaded, parse_policy

_ACTIONS: Final = {
    Action.PERMIT: StoredAction("", Behaviour.PERMIT),
    Action.BLOCK: StoredAction("", Behaviour.BLOCK),
    Action.NEGOTIATE: StoredAction("", Behaviour.NEGOTIATE),
    Action.INPASS: StoredAction("", Behaviour.NEGOTIATE, inpass=True),
    Action.SOFT: StoredAction("", Behaviour.NEGOTIATE, soft=True),
}


def policy_to_toml(content: Content, policy_name: str) -> str:
    """A policy of a store as a policy file, which needs no DNS: names become their addresses.

    Names that a policy file refuses are altered. Raises NotFoundError.
    """
    policy = content.policies.get(name_key(policy_name))
    if policy is None:
        raise NotFoundError(f"there is no policy with the name '{policy_name}'")
    uses = Counter(name_key(rule.filter_list) for rule in policy.rules)
    inline = {
        key
        for key, rule in ((name_key(rule.filter_list), rule) for rule in policy.rules)
        if uses[key] == 1 and content.filter_lists[key].name == rule.name
    }
    lists = {key: content.filter_lists[key] for key in uses if key not in inline}
    actions = {
        name_key(rule.filter_action): content.filter_actions[name_key(rule.filter_action)]
        for rule in policy.rules
        if not _is_built_in(content.filter_actions[name_key(rule.filter_action)])
    }
    list_names = _file_names(lists, "filter list")
    action_names = _file_names(actions, "filter action", BUILT_IN_ACTIONS)
    head: dict[str, Value] = {"name": _line(policy.name) or "policy"}
    if policy.description:
        head["description"] = policy.description
    parts = [tomlwriter.keys(head)]
    for rule in policy.rules:
        action = content.filter_actions[name_key(rule.filter_action)]
        list_key = name_key(rule.filter_list)
        filters: dict[str, Value] = (
            {"filters": _filter_values(content.filter_lists[list_key])}
            if list_key in inline
            else {"filter_list": list_names[list_key]}
        )
        action_name = action_names.get(name_key(action.name), action.name)
        parts.append(tomlwriter.table("[[rule]]", {**_rule_keys(rule, action_name), **filters}))
    for key, one in lists.items():
        pairs = {**_described(list_names[key], one), "filters": _filter_values(one)}
        parts.append(tomlwriter.table("[[filter_list]]", pairs))
    for key, made in actions.items():
        pairs = {**_described(action_names[key], made), **_action_keys(made)}
        parts.append(tomlwriter.table("[[filter_action]]", pairs))
    return "".join(parts)


def toml_to_draft(draft: Draft, loaded: Loaded, modified: int = 0) -> StoredPolicy:
    """Add the policy of a policy file with its lists and actions; filters that stand in a rule
    become a list of the rule's name.

    A list or action that is there already is used if it is the same, else the new one gets a name
    of its own. `modified` is in seconds since 1970. Raises ExistsError for the policy's name, and
    StoreError for an action that differs by direction.
    """
    policy = loaded.policy
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
    """Add what a TOML text holds: a store (see `merge`) or a policy file (see `toml_to_draft`).

    `file` is what mistakes call it. With `assign` the policy file's policy is assigned, or what
    was in the store. Raises StoreFileError, PolicyError and StoreError.
    """
    if storefile.is_store(text):
        merge(draft, storefile.parse(text, file), assign=assign)
        return
    stored = toml_to_draft(draft, parse_policy(text, file, names), modified)
    if assign:
        draft.assign(stored.name)


def _file_names(
    objects: Mapping[str, StoredList] | Mapping[str, StoredAction],
    fallback: str,
    taken: Iterable[str] = (),
) -> dict[str, str]:
    """What objects are called in a policy file: on one line, and not as anything else there."""
    used = set(taken)
    names = {}
    for key, one in objects.items():
        names[key] = _free_name(_line(one.name) or fallback, used.__contains__)
        used.add(names[key])
    return names


def _rule_keys(rule: StoredRule, action: str) -> dict[str, Value]:
    keys: dict[str, Value] = {}
    if _line(rule.name):
        keys["name"] = _line(rule.name)
    if rule.description:
        keys["description"] = rule.description
    if not rule.active:
        keys["active"] = False
    if rule.connection is not Connection.ALL:
        keys["connection"] = rule.connection.value
    return {**keys, "action": action}


def _described(name: str, one: StoredList | StoredAction) -> dict[str, Value]:
    return {"name": name, "description": one.description} if one.description else {"name": name}


def _action_keys(action: StoredAction) -> dict[str, Value]:
    keys: dict[str, Value] = {"type": action.behaviour.value}
    if action.behaviour is Behaviour.NEGOTIATE:
        keys |= {key: True for key in ("inpass", "soft") if getattr(action, key)}
    return keys


def _is_built_in(action: StoredAction) -> bool:
    built_in = BUILT_IN_ACTIONS.get(action.name)
    return built_in is not None and built_in.inbound is action.action


def _filter_values(filters: StoredList) -> list[Value]:
    return [filter_value(one) for written in filters.filters for one in _without_names(written)]


def _without_names(one: Filter) -> Iterator[Filter]:
    """The filter for each address of the DNS names in it, which its description then tells."""
    names = [str(side) for side in (one.source, one.destination) if isinstance(side, DnsName)]
    description = _line(one.description) or ", ".join(names)
    for source, destination in itertools.product(
        _addresses(one.source), _addresses(one.destination)
    ):
        if len({_family(source), _family(destination)} - {None}) < 2:
            yield replace(
                one, source=source, destination=destination, description=description, text=""
            )


def _addresses(side: Address) -> tuple[Address, ...]:
    if not isinstance(side, DnsName):
        return (side,)
    return tuple(Prefix.of(ipaddress.ip_network(address)) for address in side.addresses)


def _family(address: Address) -> int | None:
    match address:
        case Prefix():
            return address.family
        case AddressRange(first):
            return first.version
        case _:
            return None


def _line(text: str) -> str:
    """The text on one line, as policy files have names; empty if it says nothing."""
    one_line = "".join(
        " " if unicodedata.category(one) in ("Cc", "Zl", "Zp") else one for one in text
    )
    return one_line if one_line.strip() else ""


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
