"""Adding, changing and deleting the objects of a store (spec 1.1, 3.4, 8.2, T10)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from ipsecfd.policy.model import DnsName, Store
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments
from ipsecfd.policy.netsh.tags import (
    authentication,
    authentication_given,
    filter_from,
    filter_key,
    sought_filter,
)
from ipsecfd.policy.review import about_filter
from ipsecfd.policy.stores.builtin import ACTION_GUIDS, LIST_GUIDS, POLICY_GUIDS, clear, lent
from ipsecfd.policy.stores.content import (
    Behaviour,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import NotFoundError

Stored = TypeVar("Stored", StoredPolicy, StoredList, StoredAction)


def add_policy(state: State, arguments: Arguments) -> str:
    """`add policy`; assigning it un-assigns the one that was (T5)."""
    made = StoredPolicy(
        **arguments.fields,
        default_rule=DefaultRule(active=arguments["activatedefaultrule"]),
        modified=state.now,
    )
    state.draft.add_policy(made)
    if arguments["assign"]:
        state.draft.assign(made.name)
    return ""


def set_policy(state: State, arguments: Arguments) -> str:
    """`set policy`; `assign=no` un-assigns."""
    draft = state.draft
    old = _chosen(draft.policies, arguments, "policy")
    changes = dict(arguments.fields)
    if "activatedefaultrule" in arguments:
        changes["default_rule"] = replace(old.default_rule, active=arguments["activatedefaultrule"])
    if changes:
        draft.set_policy(old.name, replace(old, **changes, modified=state.now))
    name = changes.get("name", old.name)
    if "assign" in arguments:
        (draft.assign if arguments["assign"] else draft.unassign)(name)
    if "gponame" in arguments and state.store is not Store.DOMAIN:
        return "gponame has a meaning in the domain store only; it is ignored here."
    return ""


def add_filterlist(state: State, arguments: Arguments) -> str:
    """`add filterlist`."""
    state.draft.add_filter_list(StoredList(**arguments.fields, modified=state.now))
    return ""


def set_filterlist(state: State, arguments: Arguments) -> str:
    """`set filterlist`; rules follow a new name."""
    old = _chosen(state.draft.filter_lists, arguments, "filter list")
    new = replace(old, **arguments.fields, modified=state.now)
    state.draft.set_filter_list(old.name, new)
    return ""


def add_filter(state: State, arguments: Arguments) -> str:
    """`add filter`; makes the list if there is none."""
    workspace, draft, name = state.workspace, state.draft, arguments["filterlist"]
    made = filter_from(arguments, workspace.resolve, workspace.profile)
    if not draft.has_filter_list(name):
        draft.add_filter_list(StoredList(name, modified=state.now))
    draft.add_filter(name, made)
    state.note = "; ".join(about_filter(made))
    return ""


def delete_filter(state: State, arguments: Arguments) -> str:
    """`delete filter`: every filter of the list with these values, omitted ones being defaults.

    Raises NotFoundError when there is none.
    """
    sought, name = sought_filter(arguments, state.workspace.profile), arguments["filterlist"]
    if isinstance(sought.source, DnsName) or isinstance(sought.destination, DnsName):
        key = filter_key(sought)
        found = state.draft.delete_filters(name, lambda one: filter_key(one) == key) > 0
    else:  # without looking at every filter of the list
        found = state.draft.delete_filter(name, sought)
    if not found:
        raise NotFoundError(f"there is no filter with these values in the filter list '{name}'")
    return ""


def add_filteraction(state: State, arguments: Arguments) -> str:
    """`add filteraction`."""
    made = StoredAction(**arguments.fields, modified=state.now)
    state.draft.add_filter_action(_without_idle_methods(made))
    return ""


def set_filteraction(state: State, arguments: Arguments) -> str:
    """`set filteraction`; rules follow a new name."""
    old = _chosen(state.draft.filter_actions, arguments, "filter action")
    new = replace(old, **arguments.fields, modified=state.now)
    state.draft.set_filter_action(old.name, _without_idle_methods(new))
    return ""


def add_rule(state: State, arguments: Arguments) -> str:
    """`add rule`; Windows' own lists and actions are made when a rule names them (spec 1.1)."""
    draft = state.draft
    made = StoredRule(
        **arguments.fields, authentication=authentication(arguments), modified=state.now
    )
    named = {name_key(made.filter_list), name_key(made.filter_action)}
    with lent(lambda name: name_key(name) in named, draft, state.now):
        draft.add_rule(arguments["policy"], made)
    return ""


def set_rule(state: State, arguments: Arguments) -> str:
    """`set rule`; the authentication given replaces all that was."""
    draft, policy = state.draft, arguments["policy"]
    old = _chosen_rule(draft, arguments)
    changes = {**arguments.fields, "modified": state.now}
    if authentication_given(arguments):
        changes["authentication"] = authentication(arguments)
    draft.set_rule(policy, old.name or old.guid, replace(old, **changes))
    return ""


def set_defaultrule(state: State, arguments: Arguments) -> str:
    """`set defaultrule`."""
    old = state.draft.policy(arguments["policy"])
    changes = dict(arguments.fields)
    if authentication_given(arguments):
        changes["authentication"] = authentication(arguments)
    rule = replace(old.default_rule, **changes)
    state.draft.set_policy(old.name, replace(old, default_rule=rule, modified=state.now))
    return ""


def delete_policy(state: State, arguments: Arguments) -> str:
    """`delete policy`, with its rules; an assigned one, too."""
    draft = state.draft
    _delete(arguments, draft.policies, draft.delete_policy)
    if "all" in arguments:
        draft.deleted |= POLICY_GUIDS
    return ""


def delete_filterlist(state: State, arguments: Arguments) -> str:
    """`delete filterlist`; refused while a rule uses one of them (T10)."""
    draft = state.draft
    used = (rule.filter_list for rule in _rules(draft)) if "all" in arguments else ()
    _delete(arguments, draft.filter_lists, draft.delete_filter_list, used)
    if "all" in arguments:
        draft.deleted |= LIST_GUIDS
    return ""


def delete_filteraction(state: State, arguments: Arguments) -> str:
    """`delete filteraction`; refused while a rule uses one of them (T10)."""
    draft = state.draft
    used = (rule.filter_action for rule in _rules(draft)) if "all" in arguments else ()
    _delete(arguments, draft.filter_actions, draft.delete_filter_action, used)
    if "all" in arguments:
        draft.deleted |= ACTION_GUIDS
    return ""


def delete_rule(state: State, arguments: Arguments) -> str:
    """`delete rule`; its list and action stay."""
    draft, policy = state.draft, arguments["policy"]
    if "all" in arguments:
        draft.set_policy(policy, replace(draft.policy(policy), rules=()))
    else:
        rule = _chosen_rule(draft, arguments)
        draft.delete_rule(policy, rule.name or rule.guid)
    return ""


def delete_all(state: State, _: Arguments) -> str:
    """`delete all`: the store is empty behind it."""
    clear(state.draft)
    return ""


def _without_idle_methods(action: StoredAction) -> StoredAction:
    """Quick mode methods are ignored unless the action negotiates (spec 8.2)."""
    if action.behaviour is Behaviour.NEGOTIATE or not action.qmsecmethods:
        return action
    return replace(action, qmsecmethods="")


def _chosen(found: Mapping[str, Stored], arguments: Arguments, kind: str) -> Stored:
    """The object that `name` or `guid` means."""
    name, guid = arguments["name"], arguments["guid"]
    if guid is None and name_key(name) in found:
        return found[name_key(name)]
    for one in found.values():
        if guid is not None and one.guid.upper() == guid:
            return one
    raise NotFoundError(f"there is no {kind} with the {_words(arguments)}")


def _chosen_rule(draft: Draft, arguments: Arguments) -> StoredRule:
    """The rule that `name` or `id` means; the first rule that was made is number 1."""
    if arguments["id"] is None:
        return draft.rule(arguments["policy"], arguments["name"])
    rules, number = draft.policy(arguments["policy"]).rules, int(arguments["id"])
    if number > len(rules):
        raise NotFoundError(
            f"the policy '{arguments['policy']}' has no rule {number}: it has {len(rules)}"
        )
    return rules[number - 1]


def _words(arguments: Arguments) -> str:
    if arguments["guid"] is not None:
        return f"GUID {arguments['guid']}"
    return f"name '{arguments['name']}'"


def _rules(draft: Draft) -> Iterable[StoredRule]:
    return (rule for policy in draft.policies.values() for rule in policy.rules)


def _delete(
    arguments: Arguments,
    found: Mapping[str, Any],
    delete: Callable[[str], None],
    used: Iterable[str] = (),
) -> None:
    """Delete one by name, or all; what a rule uses comes first, so that nothing is deleted."""
    if "all" not in arguments:
        delete(arguments["name"])
        return
    for name in used:
        delete(name)
    for one in list(found.values()):
        delete(one.name)
