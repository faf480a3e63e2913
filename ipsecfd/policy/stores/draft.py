"""The changes that a policy store allows (spec 1.1); what it holds is in `stored`.

Content is a value; Draft makes another one of it, change by change.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Filter
from ipsecfd.policy.stores.content import (
    DEFAULT_MAIN_MODE_LIFETIME,
    DEFAULT_POLLING,
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    filter_identity,
    name_key,
    new_guid,
    rule_key,
)

__all__ = [
    "DEFAULT_MAIN_MODE_LIFETIME",
    "DEFAULT_POLLING",
    "KERBEROS",
    "Authentication",
    "Behaviour",
    "Content",
    "DefaultRule",
    "Draft",
    "ExistsError",
    "InUseError",
    "NotFoundError",
    "StoreError",
    "StoredAction",
    "StoredList",
    "StoredPolicy",
    "StoredRule",
    "filter_identity",
    "name_key",
    "new_guid",
    "rule_key",
]

Named = TypeVar("Named", StoredAction, StoredList, StoredPolicy)


class StoreError(IpsecfdError):
    """A change that Windows refuses, too; nothing was changed."""


class ExistsError(StoreError):
    """There is an object of this kind and name already."""

    def __init__(self, text: str, kind: str = "") -> None:
        super().__init__(text)
        self.kind = kind
        """Such as "filter list", where it has a name."""


class NotFoundError(StoreError):
    """There is no object of this kind and name."""


class InUseError(StoreError):
    """The object is used by a rule and cannot be deleted."""


class Draft:
    """A store's content being changed; each change is made whole or raises and changes nothing.

    A change costs the same however much the store holds, but for renaming and for deleting
    filters. So what grows, the rules of a policy and the filters of a list, is kept beside it in a
    form that can grow, and put back into it when somebody looks.
    """

    def __init__(self, content: Content | None = None) -> None:
        content = content or Content()
        self.assigned = content.assigned
        self._policies = dict(content.policies)
        self._filter_lists = dict(content.filter_lists)
        self._filter_actions = dict(content.filter_actions)
        self._rules: dict[str, dict[str, StoredRule]] = {}
        self._filters: dict[str, _GrowingFilters] = {}
        self._unsettled_policies: set[str] = set()
        self._unsettled_lists: set[str] = set()
        self._list_uses: Counter[str] = Counter()
        self._action_uses: Counter[str] = Counter()
        for policy in content.policies.values():
            self._count(policy.rules, 1)

    def content(self) -> Content:
        """What the draft holds now, as a value that later changes leave alone."""
        return Content(
            dict(self.policies), dict(self.filter_lists), dict(self.filter_actions), self.assigned
        )

    @property
    def policies(self) -> Mapping[str, StoredPolicy]:
        """All policies by `name_key`; `has_policy` is cheaper between changes."""
        for key in list(self._unsettled_policies):
            self._settle_policy(key)
        return self._policies

    @property
    def filter_lists(self) -> Mapping[str, StoredList]:
        """All filter lists by `name_key`; `has_filter_list` is cheaper between changes."""
        for key in list(self._unsettled_lists):
            self._settle_list(key)
        return self._filter_lists

    @property
    def filter_actions(self) -> Mapping[str, StoredAction]:
        """All filter actions by `name_key`."""
        return self._filter_actions

    def has_policy(self, name: str) -> bool:
        """Whether there is a policy of this name."""
        return name_key(name) in self._policies

    def has_filter_list(self, name: str) -> bool:
        """Whether there is a filter list of this name."""
        return name_key(name) in self._filter_lists

    def has_filter_action(self, name: str) -> bool:
        """Whether there is a filter action of this name."""
        return name_key(name) in self._filter_actions

    def has_rule(self, policy: str, name: str) -> bool:
        """Whether the policy has a rule of this name; raises NotFoundError without the policy."""
        return _find_rule(self._rules_of(policy), name) is not None

    def policy(self, name: str) -> StoredPolicy:
        """The policy of this name; raises NotFoundError."""
        self._settle_policy(name_key(name))
        return _get(self._policies, name, "policy")

    def filter_list(self, name: str) -> StoredList:
        """The filter list of this name; raises NotFoundError."""
        self._settle_list(name_key(name))
        return _get(self._filter_lists, name, "filter list")

    def filter_action(self, name: str) -> StoredAction:
        """The filter action of this name; raises NotFoundError."""
        return _get(self._filter_actions, name, "filter action")

    def rule(self, policy: str, name: str) -> StoredRule:
        """The rule of this name in a policy, or that without a name of this guid.

        Raises NotFoundError.
        """
        rule = _find_rule(self._rules_of(policy), name)
        if rule is None:
            raise NotFoundError(f"there is no rule with the name '{name}' in the policy '{policy}'")
        return rule

    def add_policy(self, policy: StoredPolicy) -> None:
        """Add a policy with its rules. Raises ExistsError, or NotFoundError for what they name."""
        self._check_rules(policy)
        _add(self._policies, policy, "policy")
        self._count(policy.rules, 1)

    def set_policy(self, name: str, policy: StoredPolicy) -> None:
        """Put another policy in a policy's place, which may rename it; it stays assigned."""
        self._check_rules(policy)
        old = self.policy(name)
        self._policies = _replaced(self._policies, name, policy, "policy")
        self._rules.pop(name_key(name), None)
        self._count(old.rules, -1)
        self._count(policy.rules, 1)
        if self.assigned == name_key(name):
            self.assigned = name_key(policy.name)

    def delete_policy(self, name: str) -> None:
        """Delete a policy and its rules (spec 1.1); an assigned one is un-assigned first."""
        self._count(self.policy(name).rules, -1)
        del self._policies[name_key(name)]
        self._rules.pop(name_key(name), None)
        if self.assigned == name_key(name):
            self.assigned = None

    def assign(self, name: str) -> None:
        """Assign a policy, which un-assigns the one that was (spec 1.1)."""
        self.policy(name)
        self.assigned = name_key(name)

    def unassign(self, name: str) -> None:
        """Un-assign a policy; nothing when another one, or none, is assigned."""
        self.policy(name)
        if self.assigned == name_key(name):
            self.assigned = None

    def add_filter_list(self, filters: StoredList) -> None:
        """Add a filter list; raises ExistsError."""
        _add(self._filter_lists, filters, "filter list")

    def set_filter_list(self, name: str, filters: StoredList) -> None:
        """Put another list in a list's place; rules follow a new name."""
        old = self.filter_list(name)
        self._filter_lists = _replaced(self._filter_lists, name, filters, "filter list")
        self._filters.pop(name_key(name), None)
        if old.name != filters.name:
            _follow(self._list_uses, name, filters.name)
            self._rename_in_rules(
                lambda rule: (
                    replace(rule, filter_list=filters.name)
                    if name_key(rule.filter_list) == name_key(name)
                    else rule
                )
            )

    def delete_filter_list(self, name: str) -> None:
        """Delete a filter list; raises InUseError while a rule uses it (T10)."""
        self.filter_list(name)
        if self._list_uses[name_key(name)]:
            self._refuse_used("filter list", name, lambda rule: rule.filter_list)
        del self._filter_lists[name_key(name)]
        self._filters.pop(name_key(name), None)

    def add_filter(self, filter_list: str, one: Filter) -> None:
        """Add a filter to a list. Raises NotFoundError, and ExistsError when the list has an equal
        one, whatever its description (spec 3.4)."""
        key = name_key(filter_list)
        growing = self._growing_filters(filter_list)
        if filter_identity(one) in growing.identities:
            raise ExistsError(f"there is already a filter {one} in the filter list '{filter_list}'")
        growing.filters.append(one)
        growing.identities.add(filter_identity(one))
        self._unsettled_lists.add(key)

    def delete_filters(self, filter_list: str, matches: Callable[[Filter], bool]) -> int:
        """Delete the filters of a list that match, and say how many; raises NotFoundError."""
        old = self.filter_list(filter_list)
        kept = tuple(one for one in old.filters if not matches(one))
        deleted = len(old.filters) - len(kept)
        if deleted:
            self._filter_lists[name_key(filter_list)] = replace(old, filters=kept)
            self._filters.pop(name_key(filter_list), None)
        return deleted

    def add_filter_action(self, action: StoredAction) -> None:
        """Add a filter action; raises ExistsError."""
        _add(self._filter_actions, action, "filter action")

    def set_filter_action(self, name: str, action: StoredAction) -> None:
        """Put another action in an action's place; rules follow a new name."""
        old = self.filter_action(name)
        self._filter_actions = _replaced(self._filter_actions, name, action, "filter action")
        if old.name != action.name:
            _follow(self._action_uses, name, action.name)
            self._rename_in_rules(
                lambda rule: (
                    replace(rule, filter_action=action.name)
                    if name_key(rule.filter_action) == name_key(name)
                    else rule
                )
            )

    def delete_filter_action(self, name: str) -> None:
        """Delete a filter action; raises InUseError while a rule uses it."""
        self.filter_action(name)
        if self._action_uses[name_key(name)]:
            self._refuse_used("filter action", name, lambda rule: rule.filter_action)
        del self._filter_actions[name_key(name)]

    def add_rule(self, policy: str, rule: StoredRule) -> None:
        """Add a rule to a policy. Raises NotFoundError for the policy, the list and the action,
        and ExistsError when the policy has a rule of this name."""
        self._check_rule(rule)
        rules = self._rules_of(policy)
        if rule_key(rule) in rules:
            raise _rule_exists(policy, rule)
        rules[rule_key(rule)] = rule
        self._changed_rules(policy, (), (rule,))

    def set_rule(self, policy: str, name: str, rule: StoredRule) -> None:
        """Put another rule in a rule's place, which may rename it."""
        self._check_rule(rule)
        old, rules = self.rule(policy, name), self._rules_of(policy)
        old_key, new_key = rule_key(old), rule_key(rule)
        if new_key == old_key:
            rules[old_key] = rule
        elif new_key in rules:
            raise _rule_exists(policy, rule)
        else:
            self._rules[name_key(policy)] = {
                rule_key(one): one
                for one in (rule if other is old else other for other in rules.values())
            }
        self._changed_rules(policy, (old,), (rule,))

    def delete_rule(self, policy: str, name: str) -> None:
        """Delete a rule; its list and action stay (spec 1.1)."""
        old = self.rule(policy, name)
        del self._rules_of(policy)[rule_key(old)]
        self._changed_rules(policy, (old,), ())

    def clear(self) -> None:
        """Delete everything."""
        for holds in (
            *(self._policies, self._filter_lists, self._filter_actions, self._rules, self._filters),
            *(self._unsettled_policies, self._unsettled_lists, self._list_uses, self._action_uses),
        ):
            holds.clear()
        self.assigned = None

    def _rules_of(self, policy: str) -> dict[str, StoredRule]:
        """A policy's rules by `rule_key`, to be changed; raises NotFoundError."""
        key = name_key(policy)
        if key not in self._rules:
            rules = _get(self._policies, policy, "policy").rules
            self._rules[key] = {rule_key(rule): rule for rule in rules}
        return self._rules[key]

    def _changed_rules(
        self, policy: str, gone: Iterable[StoredRule], new: Iterable[StoredRule]
    ) -> None:
        self._unsettled_policies.add(name_key(policy))
        self._count(gone, -1)
        self._count(new, 1)

    def _settle_policy(self, key: str) -> None:
        if key in self._unsettled_policies:
            rules = tuple(self._rules[key].values())
            self._policies[key] = replace(self._policies[key], rules=rules)
            self._unsettled_policies.remove(key)

    def _growing_filters(self, filter_list: str) -> _GrowingFilters:
        key = name_key(filter_list)
        if key not in self._filters:
            self._filters[key] = _GrowingFilters(
                _get(self._filter_lists, filter_list, "filter list").filters
            )
        return self._filters[key]

    def _settle_list(self, key: str) -> None:
        if key in self._unsettled_lists:
            filters = tuple(self._filters[key].filters)
            self._filter_lists[key] = replace(self._filter_lists[key], filters=filters)
            self._unsettled_lists.remove(key)

    def _check_rules(self, policy: StoredPolicy) -> None:
        taken: set[str] = set()
        for rule in policy.rules:
            self._check_rule(rule)
            if rule_key(rule) in taken:
                raise _rule_exists(policy.name, rule)
            taken.add(rule_key(rule))

    def _check_rule(self, rule: StoredRule) -> None:
        _get(self._filter_lists, rule.filter_list, "filter list")
        _get(self._filter_actions, rule.filter_action, "filter action")

    def _count(self, rules: Iterable[StoredRule], by: int) -> None:
        for rule in rules:
            self._list_uses[name_key(rule.filter_list)] += by
            self._action_uses[name_key(rule.filter_action)] += by

    def _rename_in_rules(self, renamed: Callable[[StoredRule], StoredRule]) -> None:
        for key, policy in self.policies.items():
            self._policies[key] = replace(policy, rules=tuple(map(renamed, policy.rules)))
        self._rules.clear()

    def _refuse_used(self, kind: str, name: str, used: Callable[[StoredRule], str]) -> None:
        for policy in self.policies.values():
            for rule in policy.rules:
                if name_key(used(rule)) == name_key(name):
                    by = f"the rule '{rule.name}'" if rule.name else "a rule without a name"
                    raise InUseError(
                        f"the {kind} '{name}' is used by {by} of the policy '{policy.name}'"
                    )


class _GrowingFilters:
    """The filters of a list that is being added to, and what tells them apart."""

    def __init__(self, filters: Iterable[Filter]) -> None:
        self.filters = list(filters)
        self.identities = {filter_identity(one) for one in self.filters}


def _find_rule(rules: Mapping[str, StoredRule], name: str) -> StoredRule | None:
    """The rule of this name, or that without a name of this guid."""
    return rules.get(name_key(name)) or rules.get(name)


def _rule_exists(policy: str, rule: StoredRule) -> ExistsError:
    return ExistsError(
        f"there is already a rule with the name '{rule.name}' in the policy '{policy}'"
    )


def _follow(uses: Counter[str], old_name: str, new_name: str) -> None:
    """Count the uses of a renamed object under its new name."""
    uses[name_key(new_name)] = uses.pop(name_key(old_name), 0)


def _get(objects: Mapping[str, Named], name: str, kind: str) -> Named:
    try:
        return objects[name_key(name)]
    except KeyError:
        raise NotFoundError(f"there is no {kind} with the name '{name}'") from None


def _add(objects: dict[str, Named], new: Named, kind: str) -> None:
    if name_key(new.name) in objects:
        raise ExistsError(f"there is already a {kind} with the name '{new.name}'", kind)
    objects[name_key(new.name)] = new


def _replaced(objects: dict[str, Named], name: str, new: Named, kind: str) -> dict[str, Named]:
    _get(objects, name, kind)
    old_key, new_key = name_key(name), name_key(new.name)
    if new_key == old_key:
        objects[old_key] = new
        return objects
    if new_key in objects:
        raise ExistsError(f"there is already a {kind} with the name '{new.name}'", kind)
    return {
        (new_key if key == old_key else key): (new if key == old_key else one)
        for key, one in objects.items()
    }
