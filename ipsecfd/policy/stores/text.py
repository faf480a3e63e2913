"""A store as text that reads like a policy file; `reader` reads it again.

Reading never needs the network: a DNS name stands there with the addresses it had when its filter
was made (spec 2.1). What has its default is left out.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Final

from ipsecfd.policy.model import PROTOCOL_NAMES, Connection, DnsName, Filter
from ipsecfd.policy.stores import tomlwriter
from ipsecfd.policy.stores.content import (
    DEFAULT_MAIN_MODE_LIFETIME,
    DEFAULT_POLLING,
    KERBEROS,
    Authentication,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.tomlwriter import Value

VERSION: Final = 1
"""Of the format."""
_LATEST: Final = 253_402_300_799
"""Seconds since 1970 of the last moment that TOML can write."""


def render(content: Content, remark: str = "Policies of ipsecfd.") -> str:
    """The store as TOML; `remark` goes to its first lines."""
    top: dict[str, Value] = {"version": VERSION}
    if content.assigned is not None:
        top["assigned"] = content.policies[content.assigned].name
    return "".join(
        (
            *(f"# {line}\n" for line in remark.splitlines()),
            tomlwriter.keys(top),
            *(_policy(one) for one in content.policies.values()),
            *(_filter_list(one) for one in content.filter_lists.values()),
            *(_filter_action(one) for one in content.filter_actions.values()),
        )
    )


def filter_value(one: Filter) -> Value:
    """A filter in the policy file's one-line form, or as a table when that does not hold it all."""
    if not one.description and not _names(one):
        return str(one)
    pairs: dict[str, Value] = {
        "source": str(one.source),
        "destination": str(one.destination),
        "source_port": one.source_port,
        "destination_port": one.destination_port,
        "protocol": PROTOCOL_NAMES.get(one.protocol, one.protocol),
        "mirrored": one.mirrored,
        "description": one.description,
    }
    usual = {
        "source_port": 0,
        "destination_port": 0,
        "protocol": "any",
        "mirrored": True,
        "description": "",
    }
    return {**_unusual(pairs, usual), **_names(one)}


def _names(one: Filter) -> dict[str, Value]:
    """The addresses of the DNS names in a filter."""
    return {
        f"{side}_addresses": [str(address) for address in name.addresses]
        for side, name in (("source", one.source), ("destination", one.destination))
        if isinstance(name, DnsName)
    }


def _policy(policy: StoredPolicy) -> str:
    usual = {
        "description": "",
        "polling": DEFAULT_POLLING,
        "mmpfs": False,
        "qmpermm": 0,
        "mmlifetime": DEFAULT_MAIN_MODE_LIFETIME,
        "mmsecmethods": "",
    }
    pairs: dict[str, Value] = {
        "name": policy.name,
        "description": policy.description,
        "polling": policy.polling,
        "mmpfs": policy.mmpfs,
        "qmpermm": policy.qmpermm,
        "mmlifetime": policy.mmlifetime,
        "mmsecmethods": policy.mmsecmethods,
    }
    return "".join(
        (
            tomlwriter.table("[[policy]]", {**_unusual(pairs, usual), **_identity(policy)}),
            _default_rule(policy.default_rule),
            *(_rule(rule) for rule in policy.rules),
        )
    )


def _default_rule(rule: DefaultRule) -> str:
    if rule == DefaultRule():
        return ""
    usual = {"active": True, "qmpfs": False, "qmsecmethods": ""}
    pairs: dict[str, Value] = {
        "active": rule.active,
        "qmpfs": rule.qmpfs,
        "qmsecmethods": rule.qmsecmethods,
    }
    return tomlwriter.table(
        "[policy.default_rule]",
        {**_unusual(pairs, usual), **_authentication(rule.authentication)},
    )


def _rule(rule: StoredRule) -> str:
    usual = {
        "description": "",
        "active": True,
        "connection": Connection.ALL.value,
        "tunnel": "",
    }
    pairs: dict[str, Value] = {
        "name": rule.name,
        "description": rule.description,
        "action": rule.filter_action,
        "filter_list": rule.filter_list,
        "active": rule.active,
        "connection": rule.connection.value,
        "tunnel": rule.tunnel,
    }
    return tomlwriter.table(
        "[[policy.rule]]",
        {**_unusual(pairs, usual), **_authentication(rule.authentication), **_identity(rule)},
    )


def _filter_list(filters: StoredList) -> str:
    pairs: dict[str, Value] = {"name": filters.name, "description": filters.description}
    return tomlwriter.table(
        "[[filter_list]]",
        {
            **_unusual(pairs, {"description": ""}),
            **_identity(filters),
            "filters": [filter_value(one) for one in filters.filters],
        },
    )


def _filter_action(action: StoredAction) -> str:
    usual = {
        "description": "",
        "inpass": False,
        "soft": False,
        "qmpfs": False,
        "qmsecmethods": "",
    }
    pairs: dict[str, Value] = {
        "name": action.name,
        "description": action.description,
        "type": action.behaviour.value,
        "inpass": action.inpass,
        "soft": action.soft,
        "qmpfs": action.qmpfs,
        "qmsecmethods": action.qmsecmethods,
    }
    return tomlwriter.table("[[filter_action]]", {**_unusual(pairs, usual), **_identity(action)})


def _authentication(ways: tuple[Authentication, ...]) -> dict[str, Value]:
    if ways == KERBEROS:
        return {}
    return {
        "authentication": [
            _unusual({"kind": one.kind, "value": one.value}, {"value": ""}) for one in ways
        ]
    }


def _identity(one: StoredPolicy | StoredRule | StoredList | StoredAction) -> dict[str, Value]:
    pairs: dict[str, Value] = {"guid": one.guid}
    if one.modified:
        seconds = min(max(one.modified, 0), _LATEST)
        pairs["modified"] = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return pairs


def _unusual(pairs: Mapping[str, Value], usual: Mapping[str, object]) -> dict[str, Value]:
    return {key: value for key, value in pairs.items() if value != usual.get(key)}
