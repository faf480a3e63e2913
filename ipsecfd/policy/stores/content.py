"""What a policy store holds, as values (spec 1.1, 1.5).

Names are compared without regard to case and kept as written.
"""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from ipsecfd.policy.model import (
    Action,
    Address,
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


def name_key(name: str) -> str:
    """What a name is filed under: names are compared without regard to case."""
    return name.casefold()


def rule_key(rule: StoredRule) -> str:
    """What a rule is filed under in its policy: its name, or its guid when it has none.

    Rules made with Windows' own windows have no name, and a policy may hold many of them.
    """
    return name_key(rule.name) or rule.guid


FilterIdentity: TypeAlias = tuple[Address, Address, int, int, int, bool]


def filter_identity(one: Filter) -> FilterIdentity:
    """What tells a filter from another one in its list: all but its description (spec 3.4)."""
    return (
        one.source,
        one.destination,
        one.source_port,
        one.destination_port,
        one.protocol,
        one.mirrored,
    )


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
            rule.tunnel != "",
        )
