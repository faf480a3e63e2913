"""The dynamic store: rules that live in the driver's database until the service stops (spec 1.5).

Its rules have no name of their own in netsh; what they match is their identity (spec 8.3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

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
from ipsecfd.policy.stores.content import KERBEROS, Authentication, filter_identity, name_key
from ipsecfd.policy.stores.errors import ExistsError, InUseError, NotFoundError
from ipsecfd.policy.stores.named import NamedObjects

POLICY_NAME = "Dynamic rules"
"""What logs call the policy that the dynamic rules make."""

Identity = tuple[Address, Address, int, int, int, bool, Connection]
"""Source, destination, their ports, protocol, mirrored, connection type."""


@dataclass(frozen=True, slots=True)
class MainModePolicy:
    """Kept and shown, without effect."""

    name: str
    qmpermm: int = 0
    mmlifetime: int = 480
    """Minutes."""
    softsaexpirationtime: int = 300
    """Seconds."""
    mmsecmethods: str = ""


@dataclass(frozen=True, slots=True)
class QuickModePolicy:
    """Its `soft` decides how negotiated packets are treated here (spec 1.2); the rest is kept."""

    name: str
    soft: bool = False
    pfsgroup: str = "NOPFS"
    qmsecmethods: str = ""


@dataclass(frozen=True, slots=True)
class DynamicRule:
    """A filter with an action for each direction, for the filter and its mirror alike."""

    filter: Filter
    inbound: Action
    outbound: Action
    connection: Connection = Connection.ALL
    mmpolicy: str = ""
    qmpolicy: str = ""
    tunnel: str = ""
    authentication: tuple[Authentication, ...] = KERBEROS

    @property
    def identity(self) -> Identity:
        """What tells this rule from another one."""
        return (*filter_identity(self.filter), self.connection)


@dataclass(frozen=True, slots=True)
class DynamicContent:
    """All dynamic objects, in the order in which they were made."""

    mmpolicies: Mapping[str, MainModePolicy] = field(default_factory=dict)
    qmpolicies: Mapping[str, QuickModePolicy] = field(default_factory=dict)
    rules: Mapping[Identity, DynamicRule] = field(default_factory=dict)

    def policy(self) -> Policy:
        """What the driver enforces of the dynamic rules; a rule is named by its filter."""
        return Policy(
            POLICY_NAME,
            tuple(
                Rule(
                    str(rule.filter),
                    FilterList(str(rule.filter), (rule.filter,)),
                    FilterAction("dynamic", rule.inbound, rule.outbound),
                    connection=rule.connection,
                    tunnel=rule.tunnel != "",
                )
                for rule in self.rules.values()
            ),
        )


Mode = TypeVar("Mode", MainModePolicy, QuickModePolicy)


class DynamicDraft:
    """Dynamic objects being changed; each change is made whole or raises and changes nothing."""

    def __init__(self, content: DynamicContent | None = None) -> None:
        content = content or DynamicContent()
        self.mmpolicies = NamedObjects("main mode policy", content.mmpolicies)
        self.qmpolicies = NamedObjects("quick mode policy", content.qmpolicies)
        self.rules = dict(content.rules)

    def content(self) -> DynamicContent:
        """What the draft holds now."""
        return DynamicContent(
            dict(self.mmpolicies.by_key), dict(self.qmpolicies.by_key), dict(self.rules)
        )

    def delete_mmpolicy(self, name: str) -> None:
        """Delete a main mode policy; raises NotFoundError, and InUseError while a rule uses it."""
        _delete(self.mmpolicies, name, (rule.mmpolicy for rule in self.rules.values()))

    def delete_qmpolicy(self, name: str) -> None:
        """Delete a quick mode policy; raises NotFoundError, and InUseError while a rule uses it."""
        _delete(self.qmpolicies, name, (rule.qmpolicy for rule in self.rules.values()))

    def add_rule(self, rule: DynamicRule) -> None:
        """Add a rule; raises ExistsError when one of its identity is there."""
        if rule.identity in self.rules:
            raise ExistsError(f"there is already a dynamic rule {rule.filter}")
        self.rules[rule.identity] = rule

    def set_rule(self, rule: DynamicRule) -> None:
        """Change the rule of this identity; raises NotFoundError."""
        if rule.identity not in self.rules:
            raise NotFoundError(f"there is no dynamic rule {rule.filter}")
        self.rules[rule.identity] = rule

    def delete_rule(self, identity: Identity) -> None:
        """Delete a rule; raises NotFoundError."""
        if self.rules.pop(identity, None) is None:
            raise NotFoundError("there is no dynamic rule with these values")

    def clear(self) -> None:
        """Delete everything."""
        self.mmpolicies.clear()
        self.qmpolicies.clear()
        self.rules = {}


def _delete(policies: NamedObjects[Mode], name: str, used: Iterable[str]) -> None:
    policies.get(name)
    if any(name_key(name) == name_key(one) for one in used):
        raise InUseError(f"the {policies.kind} '{name}' is used by a dynamic rule")
    policies.delete(name)
