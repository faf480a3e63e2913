"""Which objects of a store a `show` command asks for (spec 8.2)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.stores.content import (
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import NotFoundError

Shared = TypeVar("Shared", StoredList, StoredAction)


@dataclass(frozen=True, slots=True)
class ChosenRule:
    """A rule with its place."""

    policy: StoredPolicy
    number: int
    """In its policy, from 1: what `id` means."""
    rule: StoredRule


def policies(request: ShowRequest, draft: Draft) -> list[StoredPolicy]:
    """The policy of the name, or all. Raises NotFoundError."""
    return [draft.policy(request.name)] if request.name else list(draft.policies.values())


def policies_of_rules(request: ShowRequest, draft: Draft) -> list[StoredPolicy]:
    """The policies whose rules are asked for. Raises NotFoundError."""
    return [draft.policy(request.policy)] if request.policy else list(draft.policies.values())


def rules(request: ShowRequest, draft: Draft) -> list[ChosenRule]:
    """The rules of the name, number and type. Raises NotFoundError and CommandError."""
    found = _rules_of(policies_of_rules(request, draft))
    if request.id is not None:
        found = _numbered(request, found)
    if request.name:
        found = _named(request.name, found, request.policy)
    if request.type:
        tunnel = request.type == "tunnel"
        found = [one for one in found if bool(one.rule.tunnel) is tunnel]
    return found


def filter_lists(request: ShowRequest, draft: Draft) -> list[StoredList]:
    """The filter list of the name, those of the rule, or all. Raises NotFoundError."""
    return _shared(
        request, draft, draft.filter_lists, draft.filter_list, lambda rule: rule.filter_list
    )


def filter_actions(request: ShowRequest, draft: Draft) -> list[StoredAction]:
    """The filter action of the name, those of the rule, or all. Raises NotFoundError."""
    return _shared(
        request, draft, draft.filter_actions, draft.filter_action, lambda rule: rule.filter_action
    )


def _shared(
    request: ShowRequest,
    draft: Draft,
    everything: Mapping[str, Shared],
    find: Callable[[str], Shared],
    used: Callable[[StoredRule], str],
) -> list[Shared]:
    if request.name:
        return [find(request.name)]
    if not request.rule:
        return list(everything.values())
    named = _named(request.rule, _rules_of(list(draft.policies.values())), "")
    return [everything[key] for key in dict.fromkeys(name_key(used(one.rule)) for one in named)]


def _rules_of(found: list[StoredPolicy]) -> list[ChosenRule]:
    return [
        ChosenRule(policy, number, rule)
        for policy in found
        for number, rule in enumerate(policy.rules, 1)
    ]


def _named(name: str, found: list[ChosenRule], policy: str) -> list[ChosenRule]:
    named = [one for one in found if name_key(one.rule.name) == name_key(name)]
    if not named:
        where = f" in the policy '{policy}'" if policy else ""
        raise NotFoundError(f"there is no rule with the name '{name}'{where}")
    return named


def _numbered(request: ShowRequest, found: list[ChosenRule]) -> list[ChosenRule]:
    if not request.policy:
        raise CommandError(Code.MISSING, '"show rule" with id needs policy')
    numbered = [one for one in found if one.number == request.id]
    if not numbered:
        raise NotFoundError(
            f"the policy '{request.policy}' has no rule {request.id}: it has {len(found)}"
        )
    return numbered
