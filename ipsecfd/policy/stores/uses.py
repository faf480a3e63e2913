"""Which filter lists and actions the rules of a store use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from ipsecfd.policy.stores.content import StoredPolicy, StoredRule, name_key
from ipsecfd.policy.stores.errors import InUseError

LIST: Final = "filter_list"
ACTION: Final = "filter_action"
"""The fields of a rule that name other objects."""


class Uses:
    """How often each list and action is named, so that nobody has to look at every rule."""

    def __init__(self, policies: Iterable[StoredPolicy] = ()) -> None:
        self._counts: dict[str, Counter[str]] = {LIST: Counter(), ACTION: Counter()}
        for policy in policies:
            self.add(policy.rules)

    def add(self, rules: Iterable[StoredRule], times: int = 1) -> None:
        """Count what rules name."""
        for rule in rules:
            for field, counts in self._counts.items():
                counts[name_key(getattr(rule, field))] += times

    def remove(self, rules: Iterable[StoredRule]) -> None:
        """Count what rules named no longer."""
        self.add(rules, -1)

    def rename(self, field: str, old_name: str, new_name: str) -> None:
        """Count the uses of an object under another name."""
        counts = self._counts[field]
        counts[name_key(new_name)] = counts.pop(name_key(old_name), 0)

    def has(self, field: str, name: str) -> bool:
        """Whether any rule names this in that field."""
        return self._counts[field][name_key(name)] > 0


def with_renamed(policy: StoredPolicy, field: str, old_name: str, new_name: str) -> StoredPolicy:
    """The policy whose rules name an object anew."""
    change: dict[str, Any] = {field: new_name}
    rules = (
        replace(rule, **change) if _names(rule, field, old_name) else rule for rule in policy.rules
    )
    return replace(policy, rules=tuple(rules))


def in_use(field: str, name: str, policies: Iterable[StoredPolicy]) -> InUseError:
    """The refusal to delete what a rule of these policies names, which it tells."""
    policy, rule = next(
        (policy, rule) for policy in policies for rule in policy.rules if _names(rule, field, name)
    )
    kind = field.replace("_", " ")
    by = f"the rule '{rule.name}'" if rule.name else "a rule without a name"
    return InUseError(f"the {kind} '{name}' is used by {by} of the policy '{policy.name}'")


def _names(rule: StoredRule, field: str, name: str) -> bool:
    return name_key(getattr(rule, field)) == name_key(name)
