"""`netsh ipsec static show`: the objects of a store, label by label (spec 8.2, 8.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import show_chosen, show_tables
from ipsecfd.policy.netsh.layout import (
    NameOf,
    authentication_lines,
    filter_lines,
    heading,
    line,
    moment,
    name,
    store_name,
    text,
    yes_no,
)
from ipsecfd.policy.netsh.show_chosen import ChosenRule
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.stores.content import (
    Behaviour,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.workspace import Workspace

Block = Iterable[str]
"""Lines without an empty one between them."""


@dataclass(frozen=True, slots=True)
class View:
    """One command on one store."""

    request: ShowRequest
    workspace: Workspace
    store: Store

    @property
    def draft(self) -> Draft:
        """The store."""
        return self.workspace.stores[self.store]

    @property
    def verbose(self) -> bool:
        """Whether everything is asked for."""
        return self.request.level == "verbose" or self.request.object == "all"

    @property
    def store_name(self) -> str:
        """The store as Windows names it."""
        return store_name(self.store, self.workspace.host)

    @property
    def name_of(self) -> NameOf | None:
        """How to name addresses, when that is asked for."""
        return self.workspace.name_of if self.request.resolvedns else None


def blocks(request: ShowRequest, workspace: Workspace, store: Store) -> Iterator[Block]:
    """What a command shows. Raises NotFoundError and CommandError."""
    view = View(request, workspace, store)
    if request.format == "table" and request.object in show_tables.KINDS:
        return show_tables.blocks(request, view.draft, view.verbose, view.name_of)
    return _KINDS[request.object](view)


def _all(view: View) -> Iterator[Block]:
    """The policies with all they use, then what no rule uses."""
    draft = view.draft
    for policy in draft.policies.values():
        yield from _policy(view, policy)
    rules = [rule for policy in draft.policies.values() for rule in policy.rules]
    used = {name_key(rule.filter_list) for rule in rules}
    for key, filters in draft.filter_lists.items():
        if key not in used:
            yield from _filter_list(view, filters)
    used = {name_key(rule.filter_action) for rule in rules}
    for key, action in draft.filter_actions.items():
        if key not in used:
            yield _action_lines(view, action)
    yield (
        line("No. of Policies", len(draft.policies)),
        line("No. of FilterLists", len(draft.filter_lists)),
        line("No. of FilterActions", len(draft.filter_actions)),
    )


def _policies(view: View) -> Iterator[Block]:
    found = show_chosen.policies(view.request, view.draft)
    for policy in found:
        yield from _policy(view, policy)
    if not view.request.name:
        yield (line("No. of Policies", len(found)),)


def _filter_lists(view: View) -> Iterator[Block]:
    found = show_chosen.filter_lists(view.request, view.draft)
    for filters in found:
        yield from _filter_list(view, filters)
    if not view.request.name:
        yield (line("No. of FilterLists", len(found)),)


def _filter_actions(view: View) -> Iterator[Block]:
    found = show_chosen.filter_actions(view.request, view.draft)
    for action in found:
        yield _action_lines(view, action)
    if not view.request.name:
        yield (line("No. of FilterActions", len(found)),)


def _rules(view: View) -> Iterator[Block]:
    request = view.request
    if request.default:
        for policy in show_chosen.policies_of_rules(request, view.draft):
            yield (line("Policy Name", name(policy.name)),)
            yield _default_rule_lines(policy.default_rule)
        return
    found = show_chosen.rules(request, view.draft)
    for one in found:
        yield from _rule(view, one, [] if request.policy else [one.policy.name])
    if not request.name and request.id is None:
        yield (line("No. of Rules", len(found)),)


def _stores(view: View) -> Iterator[Block]:
    yield (line("Current Store", view.store_name),)


def _gpo_assigned_policy(view: View) -> Iterator[Block]:
    yield (
        line("Source Machine", f"Local Computer GPO for <{view.workspace.host}>"),
        line("Local Policy Name", _local(view.workspace)),
        line("Domain Policy Name", _assigned(view.workspace.stores[Store.DOMAIN])),
    )


_KINDS: Final[Mapping[str, Callable[[View], Iterator[Block]]]] = {
    "all": _all,
    "policy": _policies,
    "filterlist": _filter_lists,
    "filteraction": _filter_actions,
    "rule": _rules,
    "store": _stores,
    "gpoassignedpolicy": _gpo_assigned_policy,
}


def _assigned(draft: Draft) -> str:
    return text("") if draft.assigned is None else name(draft.policies[draft.assigned].name)


def _local(workspace: Workspace) -> str:
    """The local policy: that of a file with the file, where one is in force instead."""
    given = ", ".join(f"{name(one.name)} ({one.file})" for one in workspace.given)
    return given or _assigned(workspace.stores[Store.LOCAL])


def _policy(view: View, policy: StoredPolicy) -> Iterator[Block]:
    yield _policy_lines(view, policy)
    if not view.verbose:
        return
    yield (line("No. of Rules", len(policy.rules)),)
    for number, rule in enumerate(policy.rules, 1):
        above = heading("Rule Details") if number == 1 else ()
        yield from _rule(view, ChosenRule(policy, number, rule), above=above)
    yield _default_rule_lines(policy.default_rule)


def _policy_lines(view: View, policy: StoredPolicy) -> Block:
    yield line("Policy Name", name(policy.name))
    yield line("Description", text(policy.description))
    yield line("Last Modified", moment(policy.modified))
    yield line("Assigned", yes_no(view.draft.assigned == name_key(policy.name)))
    yield line("Master PFS", yes_no(policy.mmpfs))
    yield line("Polling Interval", _interval(policy.polling))
    if view.verbose:
        yield line("GUID", policy.guid)
        yield line("Quick Mode Limit", policy.qmpermm)
        yield line("Main Mode Lifetime", f"{policy.mmlifetime} minutes")
        yield line("Main Mode Methods", text(policy.mmsecmethods))


def _rule(
    view: View, one: ChosenRule, policy: Iterable[str] = (), above: Block = ()
) -> Iterator[Block]:
    rule = one.rule
    lines = [
        *above,
        *(line("Policy Name", name(of)) for of in policy),
        line("Rule ID", f"{one.number}, GUID = {rule.guid}"),
        line("Rule Name", text(rule.name)),
        line("Description", text(rule.description)),
        line("Last Modified", moment(rule.modified)),
        line("Activated", yes_no(rule.active)),
        line("Connection Type", rule.connection.name),
    ]
    if rule.tunnel:
        lines.append(line("Tunnel Endpoint", name(rule.tunnel)))
    filters = view.draft.filter_list(rule.filter_list)
    action = view.draft.filter_action(rule.filter_action)
    if view.verbose:
        yield chain(lines, authentication_lines(rule.authentication))
        yield from _filter_list(view, filters)
        yield _action_lines(view, action)
    else:
        lines.append(line("FilterList Name", name(filters.name)))
        lines.append(line("FilterAction Name", name(action.name)))
        yield lines


def _default_rule_lines(rule: DefaultRule) -> Block:
    yield from heading("Default Response Rule")
    yield line("Activated", yes_no(rule.active))
    yield line("QMPFS", yes_no(rule.qmpfs))
    yield line("Security Methods", text(rule.qmsecmethods))
    yield from authentication_lines(rule.authentication)


def _filter_list(view: View, filters: StoredList) -> Iterator[Block]:
    head = [
        line("FilterList Name", name(filters.name)),
        line("Description", text(filters.description)),
        line("Store", view.store_name),
        line("Last Modified", moment(filters.modified)),
        line("GUID", filters.guid),
        line("No. of Filters", len(filters.filters)),
    ]
    if not view.verbose:
        yield head
        return
    # The first filter follows its heading at once: programs cut there, then at empty lines.
    head += heading("Filter(s)")
    first = list(filters.filters[:1])
    yield chain(head, *(filter_lines(one, view.name_of) for one in first))
    for one in filters.filters[1:]:
        yield filter_lines(one, view.name_of)


def _action_lines(view: View, action: StoredAction) -> Block:
    yield line("FilterAction Name", name(action.name))
    yield line("Description", text(action.description))
    yield line("Action", action.behaviour.name)
    if not view.verbose:
        return
    details = action.inpass or action.soft or action.qmpfs or action.qmsecmethods
    if action.behaviour is Behaviour.NEGOTIATE or details:
        yield line("Inbound Passthrough", yes_no(action.inpass))
        yield line("AllowUnsecure(Fallback)", yes_no(action.soft))
        yield line("QMPFS", yes_no(action.qmpfs))
        yield line("Security Methods", text(action.qmsecmethods))
    yield line("Store", view.store_name)
    yield line("Last Modified", moment(action.modified))
    yield line("GUID", action.guid)


def _interval(seconds: int) -> str:
    return f"{seconds} seconds" if seconds % 60 else f"{seconds // 60} minutes"
