"""What a policy store holds, and the changes it allows (spec 1.1, 1.5).

Content is a value; Draft makes another one of it, change by change. Names are compared without
regard to case and kept as written.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import (
    Action,
    Connection,
    Filter,
    FilterAction,
    FilterList,
    Policy,
    Rule,
)

DEFAULT_POLLING: Final = 10_800
"""Seconds between two looks at a domain policy when none are given (spec 1.6)."""
DEFAULT_MAIN_MODE_LIFETIME: Final = 480
"""Minutes (spec 8.2)."""


class StoreError(IpsecfdError):
    """A change that Windows refuses, too; nothing was changed."""


class ExistsError(StoreError):
    """There is an object of this kind and name already."""


class NotFoundError(StoreError):
    """There is no object of this kind and name."""


class InUseError(StoreError):
    """The object is used by a rule and cannot be deleted."""


class Behaviour(enum.Enum):
    """What a filter action does; inpass and soft refine negotiate (spec 1.2)."""

    PERMIT = "permit"
    BLOCK = "block"
    NEGOTIATE = "negotiate"


def new_guid() -> str:
    """A new identity, as `{D239C599-F945-47A3-A4E3-B37BC12826B9}`."""
    return f"{{{str(uuid.uuid4()).upper()}}}"


@dataclass(frozen=True, slots=True)
class StoredAction:
    """A filter action; what is about key exchange is kept and has no effect."""

    name: str
    behaviour: Behaviour = Behaviour.NEGOTIATE
    inpass: bool = False
    soft: bool = False
    qmpfs: bool = False
    qmsecmethods: str = ""
    description: str = ""
    guid: str = field(default_factory=new_guid, compare=False)
    modified: int = field(default=0, compare=False)
    """Seconds since 1970."""

    @property
    def action(self) -> Action:
        """What the driver does."""
        if self.behaviour is Behaviour.PERMIT:
            return Action.PERMIT
        if self.behaviour is Behaviour.BLOCK:
            return Action.BLOCK
        return Action.SOFT if self.soft else Action.INPASS if self.inpass else Action.NEGOTIATE


@dataclass(frozen=True, slots=True)
class StoredList:
    """A filter list."""

    name: str
    filters: tuple[Filter, ...] = ()
    description: str = ""
    guid: str = field(default_factory=new_guid, compare=False)
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Authentication:
    """A way for the peers to prove who they are; kept and shown, without effect."""

    kind: str
    """"kerberos", "psk" or "rootca"."""
    value: str = ""
    """The key, or the certificate authority with its options."""


KERBEROS: Final = (Authentication("kerberos"),)


@dataclass(frozen=True, slots=True)
class StoredRule:
    """A rule; filter list and filter action by name."""

    name: str
    filter_list: str
    filter_action: str
    description: str = ""
    active: bool = True
    connection: Connection = Connection.ALL
    tunnel: str = ""
    """Tunnel end point; empty for transport rules."""
    authentication: tuple[Authentication, ...] = KERBEROS
    guid: str = field(default_factory=new_guid, compare=False)
    modified: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class DefaultRule:
    """The default response rule: answers peers that ask for IPsec, filters nothing (spec 1.3)."""

    active: bool = True
    qmpfs: bool = False
    qmsecmethods: str = ""
    authentication: tuple[Authentication, ...] = KERBEROS


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """A policy with its rules; what is about key exchange is kept and has no effect."""

    name: str
    description: str = ""
    rules: tuple[StoredRule, ...] = ()
    polling: int = DEFAULT_POLLING
    """Seconds."""
    mmpfs: bool = False
    qmpermm: int = 0
    """Quick modes per main mode; 0 is no limit."""
    mmlifetime: int = DEFAULT_MAIN_MODE_LIFETIME
    """Minutes."""
    mmsecmethods: str = ""
    default_rule: DefaultRule = DefaultRule()
    guid: str = field(default_factory=new_guid, compare=False)
    modified: int = field(default=0, compare=False)


Named = TypeVar("Named", StoredAction, StoredList, StoredPolicy, StoredRule)


def name_key(name: str) -> str:
    """What a name is filed under: names are compared without regard to case."""
    return name.casefold()


@dataclass(frozen=True, slots=True)
class Content:
    """All objects of one store by `name_key`, in the order in which they were made."""

    policies: Mapping[str, StoredPolicy] = field(default_factory=dict)
    filter_lists: Mapping[str, StoredList] = field(default_factory=dict)
    filter_actions: Mapping[str, StoredAction] = field(default_factory=dict)
    assigned: str | None = None
    """Key of the assigned policy; at most one (spec 1.1)."""

    def assigned_policy(self) -> Policy | None:
        """What the driver enforces of this store, or None."""
        return None if self.assigned is None else self.compiled(self.policies[self.assigned])

    def compiled(self, policy: StoredPolicy) -> Policy:
        """A policy with its names resolved, as the driver takes it."""
        return Policy(
            policy.name,
            tuple(self._compiled_rule(rule) for rule in policy.rules),
            policy.description,
        )

    def _compiled_rule(self, rule: StoredRule) -> Rule:
        filters = self.filter_lists[name_key(rule.filter_list)]
        action = self.filter_actions[name_key(rule.filter_action)]
        return Rule(
            rule.name,
            FilterList(filters.name, filters.filters),
            FilterAction.both(action.name, action.action),
            rule.description,
            rule.active,
            rule.connection,
        )


class Draft:
    """A store's content being changed; each change is made whole or raises and changes nothing.

    What it holds is replaced, never altered, so that `content` is a value of its own.
    """

    def __init__(self, content: Content | None = None) -> None:
        content = content or Content()
        self.policies = dict(content.policies)
        self.filter_lists = dict(content.filter_lists)
        self.filter_actions = dict(content.filter_actions)
        self.assigned = content.assigned

    def content(self) -> Content:
        """What the draft holds now."""
        return Content(
            dict(self.policies), dict(self.filter_lists), dict(self.filter_actions), self.assigned
        )

    def policy(self, name: str) -> StoredPolicy:
        """The policy of this name; raises NotFoundError."""
        return _get(self.policies, name, "policy")

    def filter_list(self, name: str) -> StoredList:
        """The filter list of this name; raises NotFoundError."""
        return _get(self.filter_lists, name, "filter list")

    def filter_action(self, name: str) -> StoredAction:
        """The filter action of this name; raises NotFoundError."""
        return _get(self.filter_actions, name, "filter action")

    def rule(self, policy: str, name: str) -> StoredRule:
        """The first rule of this name in a policy; raises NotFoundError."""
        for rule in self.policy(policy).rules:
            if name_key(rule.name) == name_key(name):
                return rule
        raise NotFoundError(f"there is no rule with the name '{name}' in the policy '{policy}'")

    def add_policy(self, policy: StoredPolicy) -> None:
        """Add a policy with its rules. Raises ExistsError, or NotFoundError for what they name."""
        for rule in policy.rules:
            self._check_rule(rule)
        _add(self.policies, policy, "policy")

    def set_policy(self, name: str, policy: StoredPolicy) -> None:
        """Put another policy in a policy's place, which may rename it; it stays assigned."""
        for rule in policy.rules:
            self._check_rule(rule)
        self.policies = _replaced(self.policies, name, policy, "policy")
        if self.assigned == name_key(name):
            self.assigned = name_key(policy.name)

    def delete_policy(self, name: str) -> None:
        """Delete a policy and its rules (spec 1.1); an assigned one is un-assigned first."""
        self.policy(name)
        del self.policies[name_key(name)]
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
        _add(self.filter_lists, filters, "filter list")

    def set_filter_list(self, name: str, filters: StoredList) -> None:
        """Put another list in a list's place; rules follow a new name."""
        old = self.filter_list(name)
        self.filter_lists = _replaced(self.filter_lists, name, filters, "filter list")
        if old.name != filters.name:
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
        self._refuse_if_used("filter list", name, lambda rule: rule.filter_list)
        del self.filter_lists[name_key(name)]

    def add_filter_action(self, action: StoredAction) -> None:
        """Add a filter action; raises ExistsError."""
        _add(self.filter_actions, action, "filter action")

    def set_filter_action(self, name: str, action: StoredAction) -> None:
        """Put another action in an action's place; rules follow a new name."""
        old = self.filter_action(name)
        self.filter_actions = _replaced(self.filter_actions, name, action, "filter action")
        if old.name != action.name:
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
        self._refuse_if_used("filter action", name, lambda rule: rule.filter_action)
        del self.filter_actions[name_key(name)]

    def add_rule(self, policy: str, rule: StoredRule) -> None:
        """Add a rule to a policy; its list and action must exist. Two rules of one policy cannot
        share a name."""
        self._check_rule(rule)
        holder = self.policy(policy)
        if any(name_key(rule.name) == name_key(other.name) for other in holder.rules):
            raise ExistsError(
                f"there is already a rule with the name '{rule.name}' in the policy '{policy}'"
            )
        self._put(replace(holder, rules=(*holder.rules, rule)))

    def set_rule(self, policy: str, name: str, rule: StoredRule) -> None:
        """Put another rule in a rule's place, which may rename it."""
        self._check_rule(rule)
        holder, old = self.policy(policy), self.rule(policy, name)
        if any(
            other is not old and name_key(other.name) == name_key(rule.name)
            for other in holder.rules
        ):
            raise ExistsError(
                f"there is already a rule with the name '{rule.name}' in the policy '{policy}'"
            )
        rules = tuple(rule if other is old else other for other in holder.rules)
        self._put(replace(holder, rules=rules))

    def delete_rule(self, policy: str, name: str) -> None:
        """Delete a rule; its list and action stay (spec 1.1)."""
        holder, old = self.policy(policy), self.rule(policy, name)
        self._put(replace(holder, rules=tuple(one for one in holder.rules if one is not old)))

    def clear(self) -> None:
        """Delete everything."""
        self.policies, self.filter_lists, self.filter_actions = {}, {}, {}
        self.assigned = None

    def _check_rule(self, rule: StoredRule) -> None:
        self.filter_list(rule.filter_list)
        self.filter_action(rule.filter_action)

    def _put(self, policy: StoredPolicy) -> None:
        self.policies[name_key(policy.name)] = policy

    def _rename_in_rules(self, renamed: Callable[[StoredRule], StoredRule]) -> None:
        for policy in list(self.policies.values()):
            self._put(replace(policy, rules=tuple(map(renamed, policy.rules))))

    def _refuse_if_used(self, kind: str, name: str, used: Callable[[StoredRule], str]) -> None:
        for policy in self.policies.values():
            for rule in policy.rules:
                if name_key(used(rule)) == name_key(name):
                    raise InUseError(
                        f"the {kind} '{name}' is used by the rule '{rule.name}' of the policy"
                        f" '{policy.name}'"
                    )


def _get(objects: Mapping[str, Named], name: str, kind: str) -> Named:
    try:
        return objects[name_key(name)]
    except KeyError:
        raise NotFoundError(f"there is no {kind} with the name '{name}'") from None


def _add(objects: dict[str, Named], new: Named, kind: str) -> None:
    if name_key(new.name) in objects:
        raise ExistsError(f"there is already a {kind} with the name '{new.name}'")
    objects[name_key(new.name)] = new


def _replaced(objects: dict[str, Named], name: str, new: Named, kind: str) -> dict[str, Named]:
    _get(objects, name, kind)
    old_key, new_key = name_key(name), name_key(new.name)
    if new_key == old_key:
        return {**objects, old_key: new}
    if new_key in objects:
        raise ExistsError(f"there is already a {kind} with the name '{new.name}'")
    return {
        (new_key if key == old_key else key): (new if key == old_key else one)
        for key, one in objects.items()
    }
