"""The changes that a policy store allows (spec 1.1): Draft makes another Content of one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

from ipsecfd.policy.model import Filter
from ipsecfd.policy.stores.content import (
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    filter_identity,
    name_key,
    rule_key,
)
from ipsecfd.policy.stores.errors import ExistsError, NotFoundError, ReadOnlyError
from ipsecfd.policy.stores.growing import GrowingParts
from ipsecfd.policy.stores.named import NamedObjects
from ipsecfd.policy.stores.uses import ACTION, LIST, Uses, in_use, with_renamed


class Draft:
    """A store's content being changed; each change is made whole or raises and changes nothing.

    `read_only` says why the store cannot be changed; then each change raises ReadOnlyError. A
    change costs the same however much the store holds, but for renaming and for deleting filters.
    """

    def __init__(self, content: Content | None = None, *, read_only: str = "") -> None:
        content = content or Content()
        self.read_only = read_only
        self.deleted: set[str] = set()
        """The GUIDs of the policies, lists and actions that were deleted."""
        self._assigned = content.assigned
        self._policies = NamedObjects("policy", content.policies)
        self._lists = NamedObjects("filter list", content.filter_lists)
        self._actions = NamedObjects("filter action", content.filter_actions)
        self._rules = GrowingParts[StoredPolicy, StoredRule](
            self._policies,
            lambda policy: policy.rules,
            lambda policy, rules: replace(policy, rules=rules),
            rule_key,
        )
        self._filters = GrowingParts[StoredList, Filter](
            self._lists,
            lambda filters: filters.filters,
            lambda filters, parts: replace(filters, filters=parts),
            filter_identity,
        )
        self._uses = Uses(content.policies.values())

    def content(self) -> Content:
        """What the draft holds now, as a value that later changes leave alone."""
        return Content(
            dict(self.policies), dict(self.filter_lists), dict(self.filter_actions), self.assigned
        )

    @property
    def assigned(self) -> str | None:
        """The `name_key` of the assigned policy."""
        return self._assigned

    @property
    def policies(self) -> Mapping[str, StoredPolicy]:
        """All policies by `name_key`; `has_policy` is cheaper between changes."""
        self._rules.settle_all()
        return self._policies.by_key

    @property
    def filter_lists(self) -> Mapping[str, StoredList]:
        """All filter lists by `name_key`; `has_filter_list` is cheaper between changes."""
        self._filters.settle_all()
        return self._lists.by_key

    @property
    def filter_actions(self) -> Mapping[str, StoredAction]:
        """All filter actions by `name_key`."""
        return self._actions.by_key

    def has_policy(self, name: str) -> bool:
        """Whether there is a policy of this name."""
        return name in self._policies

    def has_filter_list(self, name: str) -> bool:
        """Whether there is a filter list of this name."""
        return name in self._lists

    def has_filter_action(self, name: str) -> bool:
        """Whether there is a filter action of this name."""
        return name in self._actions

    def has_rule(self, policy: str, name: str) -> bool:
        """Whether the policy has a rule of this name; raises NotFoundError without the policy."""
        return self._find_rule(policy, name) is not None

    def policy(self, name: str) -> StoredPolicy:
        """The policy of this name; raises NotFoundError."""
        self._rules.settle(name)
        return self._policies.get(name)

    def filter_list(self, name: str) -> StoredList:
        """The filter list of this name; raises NotFoundError."""
        self._filters.settle(name)
        return self._lists.get(name)

    def filter_action(self, name: str) -> StoredAction:
        """The filter action of this name; raises NotFoundError."""
        return self._actions.get(name)

    def rule(self, policy: str, name: str) -> StoredRule:
        """The rule of this name in a policy, or that without a name of this guid.

        Raises NotFoundError.
        """
        rule = self._find_rule(policy, name)
        if rule is None:
            raise NotFoundError(f"there is no rule with the name '{name}' in the policy '{policy}'")
        return rule

    def add_policy(self, policy: StoredPolicy) -> None:
        """Add a policy with its rules. Raises ExistsError, or NotFoundError for what they name."""
        self._begin()
        self._check_rules(policy)
        self._policies.add(policy)
        self._uses.add(policy.rules)

    def set_policy(self, name: str, policy: StoredPolicy) -> None:
        """Put another policy in a policy's place, which may rename it; it stays assigned."""
        self._begin()
        self._check_rules(policy)
        old = self.policy(name)
        self._policies.replace(name, policy)
        self._rules.forget(name)
        self._uses.remove(old.rules)
        self._uses.add(policy.rules)
        if self._assigned == name_key(name):
            self._assigned = name_key(policy.name)

    def delete_policy(self, name: str) -> None:
        """Delete a policy and its rules (spec 1.1); an assigned one is un-assigned first."""
        self._begin()
        old = self.policy(name)
        self._uses.remove(old.rules)
        self._policies.delete(name)
        self.deleted.add(old.guid)
        self._rules.forget(name)
        if self._assigned == name_key(name):
            self._assigned = None

    def assign(self, name: str) -> None:
        """Assign a policy, which un-assigns the one that was (spec 1.1)."""
        self._begin()
        self._policies.get(name)
        self._assigned = name_key(name)

    def unassign(self, name: str | None = None) -> None:
        """Un-assign a policy, or whichever is assigned; nothing when another one, or none, is.

        Raises NotFoundError when there is no policy of this name.
        """
        self._begin()
        if name is not None:
            self._policies.get(name)
        if name is None or self._assigned == name_key(name):
            self._assigned = None

    def add_filter_list(self, filters: StoredList) -> None:
        """Add a filter list; raises ExistsError."""
        self._begin()
        self._lists.add(filters)

    def set_filter_list(self, name: str, filters: StoredList) -> None:
        """Put another list in a list's place; rules follow a new name."""
        self._begin()
        old = self._lists.get(name)
        self._lists.replace(name, filters)
        self._filters.forget(name)
        self._follow(LIST, old.name, filters.name)

    def delete_filter_list(self, name: str) -> None:
        """Delete a filter list; raises InUseError while a rule uses it (T10)."""
        self._begin()
        old = self._lists.get(name)
        self._refuse_used(LIST, name)
        self._lists.delete(name)
        self.deleted.add(old.guid)
        self._filters.forget(name)

    def add_filter(self, filter_list: str, one: Filter) -> None:
        """Add a filter to a list. Raises NotFoundError, and ExistsError when the list has an equal
        one, whatever its description (spec 3.4)."""
        self._begin()
        filters = self._filters.of(filter_list)
        if filter_identity(one) in filters:
            raise ExistsError(f"there is already a filter {one} in the filter list '{filter_list}'")
        filters[filter_identity(one)] = one
        self._filters.changed(filter_list)

    def delete_filter(self, filter_list: str, one: Filter) -> bool:
        """Delete the filters equal to this one, and say whether there were any."""
        self._begin()
        deleted = self._filters.remove(filter_list, filter_identity(one))
        if deleted:
            self._filters.changed(filter_list)
        return deleted

    def delete_filters(self, filter_list: str, matches: Callable[[Filter], bool]) -> int:
        """Delete the filters of a list that match, and say how many; raises NotFoundError."""
        self._begin()
        old = self.filter_list(filter_list)
        kept = tuple(one for one in old.filters if not matches(one))
        deleted = len(old.filters) - len(kept)
        if deleted:
            self._lists.replace(filter_list, replace(old, filters=kept))
            self._filters.forget(filter_list)
        return deleted

    def add_filter_action(self, action: StoredAction) -> None:
        """Add a filter action; raises ExistsError."""
        self._begin()
        self._actions.add(action)

    def set_filter_action(self, name: str, action: StoredAction) -> None:
        """Put another action in an action's place; rules follow a new name."""
        self._begin()
        old = self._actions.get(name)
        self._actions.replace(name, action)
        self._follow(ACTION, old.name, action.name)

    def delete_filter_action(self, name: str) -> None:
        """Delete a filter action; raises InUseError while a rule uses it."""
        self._begin()
        old = self._actions.get(name)
        self._refuse_used(ACTION, name)
        self._actions.delete(name)
        self.deleted.add(old.guid)

    def add_rule(self, policy: str, rule: StoredRule) -> None:
        """Add a rule to a policy. Raises NotFoundError for the policy, the list and the action,
        and ExistsError when the policy has a rule of this name."""
        self._begin()
        self._check_rule(rule)
        rules = self._rules.of(policy)
        if rule_key(rule) in rules:
            raise _rule_exists(policy, rule)
        rules[rule_key(rule)] = rule
        self._changed_rules(policy, (), (rule,))

    def set_rule(self, policy: str, name: str, rule: StoredRule) -> None:
        """Put another rule in a rule's place, which may rename it."""
        self._begin()
        self._check_rule(rule)
        old, rules = self.rule(policy, name), self._rules.of(policy)
        old_key, new_key = rule_key(old), rule_key(rule)
        if new_key != old_key and new_key in rules:
            raise _rule_exists(policy, rule)
        if new_key == old_key:
            rules[old_key] = rule
        else:
            self._rules.put(policy, [rule if one is old else one for one in rules.values()])
        self._changed_rules(policy, (old,), (rule,))

    def delete_rule(self, policy: str, name: str) -> None:
        """Delete a rule; its list and action stay (spec 1.1)."""
        self._begin()
        old = self.rule(policy, name)
        del self._rules.of(policy)[rule_key(old)]
        self._changed_rules(policy, (old,), ())

    def clear(self) -> None:
        """Delete everything."""
        self._begin()
        for held in (self._policies, self._lists, self._actions, self._rules, self._filters):
            held.clear()
        self._uses = Uses()
        self._assigned = None

    def _begin(self) -> None:
        """Before anything else in a change: raise ReadOnlyError where there can be none."""
        if self.read_only:
            raise ReadOnlyError(self.read_only)

    def _find_rule(self, policy: str, name: str) -> StoredRule | None:
        rules = self._rules.of(policy)
        return rules.get(name_key(name)) or rules.get(name)

    def _changed_rules(
        self, policy: str, gone: Iterable[StoredRule], new: Iterable[StoredRule]
    ) -> None:
        self._rules.changed(policy)
        self._uses.remove(gone)
        self._uses.add(new)

    def _check_rules(self, policy: StoredPolicy) -> None:
        taken = set[str]()
        for rule in policy.rules:
            self._check_rule(rule)
            if rule_key(rule) in taken:
                raise _rule_exists(policy.name, rule)
            taken.add(rule_key(rule))

    def _check_rule(self, rule: StoredRule) -> None:
        self._lists.get(rule.filter_list)
        self._actions.get(rule.filter_action)

    def _follow(self, field: str, old_name: str, new_name: str) -> None:
        """Have the rules that name a list or an action in this field name it anew."""
        if old_name == new_name:
            return
        self._uses.rename(field, old_name, new_name)
        for policy in list(self.policies.values()):
            self._policies.replace(policy.name, with_renamed(policy, field, old_name, new_name))
            self._rules.forget(policy.name)

    def _refuse_used(self, field: str, name: str) -> None:
        """Raise InUseError when a rule names a list or an action in this field."""
        if self._uses.has(field, name):
            raise in_use(field, name, self.policies.values())


def _rule_exists(policy: str, rule: StoredRule) -> ExistsError:
    return ExistsError(
        f"there is already a rule with the name '{rule.name}' in the policy '{policy}'"
    )
