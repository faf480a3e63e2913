"""`netsh ipsec dynamic show`: rules, filters and policies of the running driver (spec 8.3, 8.5)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Final, TypeVar

from ipsecfd.policy.model import Action
from ipsecfd.policy.netsh import show_driver
from ipsecfd.policy.netsh.layout import (
    NameOf,
    action,
    address_lines,
    authentication_lines,
    heading,
    line,
    match_lines,
    name,
    store_name,
    text,
    yes_no,
)
from ipsecfd.policy.netsh.show_force import (
    ForceFilter,
    ForceRule,
    generic_filters,
    rules_in_force,
    same_address,
    specific_filters_of,
    without_ports,
)
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.stores.content import Behaviour, name_key
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.stores.errors import NotFoundError
from ipsecfd.policy.workspace import Workspace

Block = Iterable[str]
_Named = TypeVar("_Named")

_BEHAVIOURS: Final = {Action.PERMIT: Behaviour.PERMIT, Action.BLOCK: Behaviour.BLOCK}


def blocks(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    """What a command shows. Raises NotFoundError."""
    return _KINDS[request.object](request, workspace)


def _all(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    for show in (
        *(show_driver.config, _mmpolicies, _mmfilters, _mmsas),
        *(_qmpolicies, _qmfilters, _qmsas, show_driver.stats),
    ):
        yield from show(request, workspace)


def _rules(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    rules = rules_in_force(workspace)
    if request.type:
        tunnel = request.type == "tunnel"
        rules = [of for of in rules if bool(of.tunnel) is tunnel]
    yield heading("Rules")
    found = [one for one in generic_filters(rules) if _asked(one, request)]
    for one in found:
        of = one.of
        yield chain(
            _origin_lines(one, workspace),
            (line("Description", text(one.shown.description)),),
            match_lines(one.shown, _name_of(request, workspace)),
            (
                line("Mirrored", yes_no(one.shown.mirrored)),
                line("Main Mode Policy", text(of.mmpolicy)),
                line("Quick Mode Policy", text(of.qmpolicy)),
            ),
            _action_lines(of),
            (line("Tunnel Endpoint", text(of.tunnel)),),
            authentication_lines(of.authentication),
        )
    yield (line("No. of Rules", len(found)),)


def _qmfilters(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    found = _filters(request, workspace, rules_in_force(workspace))
    yield heading(f"Quick Mode Filters ({_kind(request)})")
    for one in found:
        yield chain(
            _origin_lines(one, workspace),
            match_lines(one.shown, _name_of(request, workspace), expanded=one.expanded),
            (
                line("Mirrored", yes_no(one.shown.mirrored)),
                line("Quick Mode Policy", text(one.of.qmpolicy)),
            ),
            _action_lines(one.of),
            _weight_lines(one),
        )
    yield (line("No. of Filters", len(found)),)


def _mmfilters(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    found = _filters(request, workspace, without_ports(rules_in_force(workspace)))
    yield heading(f"Main Mode Filters ({_kind(request)})")
    for one in found:
        yield chain(
            _origin_lines(one, workspace),
            address_lines(one.shown, _name_of(request, workspace), expanded=one.expanded),
            (
                line("Mirrored", yes_no(one.shown.mirrored)),
                line("Main Mode Policy", text(one.of.mmpolicy)),
            ),
            authentication_lines(one.of.authentication),
        )
    yield (line("No. of Filters", len(found)),)


def _mmpolicies(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    found = _named(request, _content(workspace).mmpolicies, "main mode policy")
    yield heading("Main Mode Policies")
    for one in found:
        yield (
            line("Policy Name", name(one.name)),
            line("Quick Mode Limit", one.qmpermm),
            line("Main Mode Lifetime", f"{one.mmlifetime} minutes"),
            line("Soft SA Expiration", f"{one.softsaexpirationtime} seconds"),
            line("Security Methods", text(one.mmsecmethods)),
        )
    yield (line("No. of Policies", len(found)),)


def _qmpolicies(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    found = _named(request, _content(workspace).qmpolicies, "quick mode policy")
    yield heading("Quick Mode Policies")
    for one in found:
        yield (
            line("Policy Name", name(one.name)),
            line("Soft", yes_no(one.soft)),
            line("PFS Group", one.pfsgroup),
            line("Security Methods", text(one.qmsecmethods)),
        )
    yield (line("No. of Policies", len(found)),)


def _mmsas(_: ShowRequest, __: Workspace) -> Iterator[Block]:
    yield ("IPSec MainMode Security Associations not available.",)


def _qmsas(_: ShowRequest, __: Workspace) -> Iterator[Block]:
    yield ("IPSec QuickMode Security Associations not available.",)


_KINDS: Final[Mapping[str, Callable[[ShowRequest, Workspace], Iterator[Block]]]] = {
    "all": _all,
    "config": show_driver.config,
    "mmfilter": _mmfilters,
    "mmpolicy": _mmpolicies,
    "mmsas": _mmsas,
    "qmfilter": _qmfilters,
    "qmpolicy": _qmpolicies,
    "qmsas": _qmsas,
    "rule": _rules,
    "stats": show_driver.stats,
}


def _filters(
    request: ShowRequest, workspace: Workspace, rules: list[ForceRule]
) -> list[ForceFilter]:
    """Generic or specific filters of rules. Raises NotFoundError."""
    generic = list(generic_filters(rules))
    key = name_key(request.name)
    if key and all(name_key(_filter_name(one)) != key for one in generic):
        raise NotFoundError(f"there is no filter with the name '{request.name}'")
    specific = request.type == "specific"
    return [
        one
        for one in (specific_filters_of(rules, workspace) if specific else generic)
        if _asked(one, request) and key in ("", name_key(_filter_name(one)))
    ]


def _content(workspace: Workspace) -> DynamicContent:
    return workspace.dynamic.content() if workspace.dynamic else DynamicContent()


def _named(request: ShowRequest, found: Mapping[str, _Named], kind: str) -> list[_Named]:
    if not request.name:
        return list(found.values())
    if name_key(request.name) not in found:
        raise NotFoundError(f"there is no {kind} with the name '{request.name}'")
    return [found[name_key(request.name)]]


def _asked(one: ForceFilter, request: ShowRequest) -> bool:
    """Whether a filter has all the values that a command gives; a specific one is also found by
    the addresses it was written with."""
    shown, written = one.shown, one.generic
    turned = one.expanded and shown.mirrored
    source, destination = written.source, written.destination
    if turned:
        source, destination = destination, source
    rule_action = one.of.rule.action
    return all(
        (
            request.source is None
            or same_address(shown.source, request.source)
            or same_address(source, request.source),
            request.destination is None
            or same_address(shown.destination, request.destination)
            or same_address(destination, request.destination),
            request.source_port in (None, shown.source_port),
            request.destination_port in (None, shown.destination_port),
            request.protocol in (None, shown.protocol),
            request.inbound in (None, _behaviour(rule_action.inbound)),
            request.outbound in (None, _behaviour(rule_action.outbound)),
        )
    )


def _behaviour(of: Action) -> Behaviour:
    return _BEHAVIOURS.get(of, Behaviour.NEGOTIATE)


def _kind(request: ShowRequest) -> str:
    return (request.type or "generic").capitalize()


def _filter_name(one: ForceFilter) -> str:
    """The rule's name; a rule without one is called by its filter, as a dynamic rule is."""
    return one.of.rule.name or str(one.generic)


def _name_of(request: ShowRequest, workspace: Workspace) -> NameOf | None:
    return workspace.name_of if request.resolvedns else None


def _origin_lines(one: ForceFilter, workspace: Workspace) -> Block:
    of = one.of
    yield line("Filter Name", name(_filter_name(one)))
    yield line("Store", store_name(of.store, workspace.host))
    yield line("Connection Type", of.rule.connection.name)


def _action_lines(of: ForceRule) -> Block:
    yield line("Inbound Action", action(of.rule.action.inbound))
    yield line("Outbound Action", action(of.rule.action.outbound))


def _weight_lines(one: ForceFilter) -> Block:
    if len(set(one.weights)) == 1:
        yield line("Weight", one.weights[0])
    elif one.weights:
        yield line("Weight", f"{one.weights[0]} in, {one.weights[1]} out")
