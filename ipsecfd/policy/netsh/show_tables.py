"""`netsh ipsec static show ... format=table`: the objects of a store, a line each (spec 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ipsecfd.policy.netsh import show_chosen
from ipsecfd.policy.netsh.layout import (
    NONE,
    NameOf,
    moment,
    name,
    port,
    protocol,
    side,
    table,
    text,
    yes_no,
)
from ipsecfd.policy.netsh.show_chosen import ChosenRule
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.stores.content import (
    Authentication,
    StoredAction,
    StoredList,
    StoredPolicy,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft

Block = Iterable[str]
_AUTHENTICATION: Final = {"kerberos": "Kerberos", "psk": "preshared key", "rootca": "root CA"}
_CUT: Final = frozenset(
    (
        *("Policy Name", "Policy", "Rule Name", "FilterList", "FilterAction", "Tunnel", "Auth"),
        *("FilterList Name", "FilterAction Name", "Source", "Destination", "Description"),
        "Security Methods",
    )
)
"""Columns of free text, which may be cut."""


@dataclass(frozen=True, slots=True)
class _View:
    request: ShowRequest
    draft: Draft
    verbose: bool
    name_of: NameOf | None

    def table(self, titles: Iterable[str], rows: Iterable[Iterable[str]]) -> Block:
        columns = tuple(titles)
        found = [tuple(row) for row in rows]
        return table(columns, found, cut=_CUT, wide=self.request.wide)


def blocks(
    request: ShowRequest, draft: Draft, verbose: bool, name_of: NameOf | None
) -> Iterator[Block]:
    """What a command shows of a store. Raises NotFoundError and CommandError."""
    return KINDS[request.object](_View(request, draft, verbose, name_of))


def _all(view: _View) -> Iterator[Block]:
    yield from _policies(view)
    yield from _filter_lists(view)
    yield from _filter_actions(view)


def _policies(view: _View) -> Iterator[Block]:
    found = show_chosen.policies(view.request, view.draft)
    assigned = view.draft.assigned
    yield view.table(
        ("Policy Name", "Assigned", "Rules", "Last Modified", "Description"),
        (
            (
                name(one.name),
                yes_no(assigned == name_key(one.name)),
                str(len(one.rules)),
                moment(one.modified),
                text(one.description),
            )
            for one in found
        ),
    )
    if view.verbose:
        for policy in found:
            yield chain((f"Rules of {name(policy.name)}", ""), _policy_rules(view, policy))


def _policy_rules(view: _View, policy: StoredPolicy) -> Block:
    if not policy.rules:
        return (NONE,)
    numbered = [ChosenRule(policy, number, rule) for number, rule in enumerate(policy.rules, 1)]
    return _rule_table(view, numbered, of_policies=False)


def _rules(view: _View) -> Iterator[Block]:
    if view.request.default:
        found = show_chosen.policies_of_rules(view.request, view.draft)
        yield view.table(
            ("Policy Name", "Default Rule", "QMPFS", "Auth"),
            (
                (
                    name(one.name),
                    yes_no(one.default_rule.active),
                    yes_no(one.default_rule.qmpfs),
                    _methods(one.default_rule.authentication),
                )
                for one in found
            ),
        )
        return
    rules = show_chosen.rules(view.request, view.draft)
    yield _rule_table(view, rules, of_policies=not view.request.policy)


def _rule_table(view: _View, rules: Iterable[ChosenRule], *, of_policies: bool) -> Block:
    def row(one: ChosenRule) -> Iterator[str]:
        if of_policies:
            yield name(one.policy.name)
        yield str(one.number)
        yield text(one.rule.name)
        yield name(one.rule.filter_list)
        yield name(one.rule.filter_action)
        yield yes_no(one.rule.active)
        yield one.rule.connection.name
        if view.verbose:
            yield text(one.rule.tunnel)
            yield _methods(one.rule.authentication)

    titles = ["ID", "Rule Name", "FilterList", "FilterAction", "Active", "Type"]
    if of_policies:
        titles.insert(0, "Policy")
    if view.verbose:
        titles += ["Tunnel", "Auth"]
    return view.table(titles, map(row, rules))


def _filter_lists(view: _View) -> Iterator[Block]:
    found = show_chosen.filter_lists(view.request, view.draft)
    yield view.table(
        ("FilterList Name", "Filters", "Last Modified", "Description"),
        (
            (
                name(one.name),
                str(len(one.filters)),
                moment(one.modified),
                text(one.description),
            )
            for one in found
        ),
    )
    if view.verbose:
        for filters in found:
            yield chain((f"Filters of {name(filters.name)}", ""), _filters(view, filters))


def _filters(view: _View, filters: StoredList) -> Block:
    if not filters.filters:
        return (NONE,)
    return view.table(
        ("Source", "SrcPort", "Destination", "DstPort", "Proto", "Mirrored", "Description"),
        (
            (
                side(one.source, view.name_of),
                port(one.source_port),
                side(one.destination, view.name_of),
                port(one.destination_port),
                protocol(one.protocol),
                yes_no(one.mirrored),
                text(one.description),
            )
            for one in filters.filters
        ),
    )


def _filter_actions(view: _View) -> Iterator[Block]:
    def row(one: StoredAction) -> Iterator[str]:
        yield name(one.name)
        yield one.behaviour.name
        yield yes_no(one.inpass)
        yield yes_no(one.soft)
        if view.verbose:
            yield yes_no(one.qmpfs)
            yield text(one.qmsecmethods)
        yield text(one.description)

    more = ("QMPFS", "Security Methods") if view.verbose else ()
    yield view.table(
        ("FilterAction Name", "Action", "InPass", "Soft", *more, "Description"),
        map(row, show_chosen.filter_actions(view.request, view.draft)),
    )


KINDS: Final[Mapping[str, Callable[[_View], Iterator[Block]]]] = {
    "all": _all,
    "policy": _policies,
    "filterlist": _filter_lists,
    "filteraction": _filter_actions,
    "rule": _rules,
}
"""What has a table."""


def _methods(methods: Iterable[Authentication]) -> str:
    """The methods without their keys, which only the list shows."""
    return ", ".join(_AUTHENTICATION[one.kind] for one in methods) or NONE
