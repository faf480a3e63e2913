"""A policy as one line of JSON, exactly: what the service keeps of one, and hands out.

A policy file cannot hold every policy: of a script with dynamic rules, actions may differ by
direction. `policy.files` reads this form like any other.
"""

from __future__ import annotations

import ipaddress
import json
from dataclasses import fields
from typing import Any, Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import parse_address
from ipsecfd.policy.model import (
    Action,
    Address,
    Connection,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Policy,
    Rule,
)

BEGINNING: Final = '{"ipsecfd_policy": 1, '
"""What every such text begins with."""

_PLAIN: Final = {
    "source_port": int,
    "destination_port": int,
    "protocol": int,
    "mirrored": bool,
    "description": str,
    "text": str,
}
"""The fields of a filter that are not addresses; those with their default are left out."""
_DEFAULTS: Final = {one.name: one.default for one in fields(Filter)}


class ExactError(IpsecfdError):
    """A text that is no policy in this form."""


def render(policy: Policy) -> str:
    """A policy as one line."""
    return json.dumps(
        {
            "ipsecfd_policy": 1,
            "name": policy.name,
            "description": policy.description,
            "rules": [_rule_value(rule) for rule in policy.rules],
        }
    )


def parse(text: str) -> Policy:
    """The policy that `render` wrote. Raises ExactError."""
    try:
        found = json.loads(text)
        if found["ipsecfd_policy"] != 1:
            raise ExactError("written by another release of ipsecfd")
        rules = tuple(_rule(one) for one in found["rules"])
        return Policy(_text(found["name"]), rules, _text(found["description"]))
    except (IpsecfdError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise ExactError(f"cannot be understood: {error}") from error


def address_value(address: Address) -> list[str]:
    """The address as text, and behind it those that a name stands for."""
    names = address.addresses if isinstance(address, DnsName) else ()
    return [str(address), *map(str, names)]


def address_of(found: list[str]) -> Address:
    """The address that `address_value` wrote. Raises IpsecfdError or ValueError."""
    text, *names = found
    if names:
        return DnsName(text, tuple(ipaddress.ip_address(one) for one in names))
    return parse_address(text, lambda _: ())


def check_numbers(one: Filter) -> None:
    """Refuse ports and protocols that no packet has. Raises ExactError."""
    if not all(0 <= port <= 65535 for port in (one.source_port, one.destination_port)):
        raise ExactError("expected ports from 0 to 65535")
    if not 0 <= one.protocol <= 255:
        raise ExactError("expected a protocol from 0 to 255")


def _rule_value(rule: Rule) -> dict[str, Any]:
    return {
        "name": rule.name,
        "description": rule.description,
        "active": rule.active,
        "connection": rule.connection.value,
        **({"tunnel": True} if rule.tunnel else {}),
        "action": [rule.action.name, rule.action.inbound.name, rule.action.outbound.name],
        "filter_list": rule.filter_list.name,
        "filters": [_filter_value(one) for one in rule.filter_list.filters],
    }


def _filter_value(one: Filter) -> dict[str, Any]:
    plain = {name: getattr(one, name) for name in _PLAIN}
    return {
        "source": address_value(one.source),
        "destination": address_value(one.destination),
        **{name: value for name, value in plain.items() if value != _DEFAULTS[name]},
    }


def _rule(found: dict[str, Any]) -> Rule:
    action, inbound, outbound = found["action"]
    return Rule(
        _text(found["name"]),
        FilterList(_text(found["filter_list"]), tuple(_filter(one) for one in found["filters"])),
        FilterAction(_text(action), Action[inbound], Action[outbound]),
        _text(found["description"]),
        bool(found["active"]),
        Connection(found["connection"]),
        bool(found.get("tunnel")),
    )


def _filter(found: dict[str, Any]) -> Filter:
    plain = {name: value for name, value in found.items() if name in _PLAIN}
    for name, value in plain.items():
        if type(value) is not _PLAIN[name]:
            raise ExactError(f"{name}: expected {_PLAIN[name].__name__}")
    made = Filter(address_of(found["source"]), address_of(found["destination"]), **plain)
    check_numbers(made)
    return made


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ExactError(f"expected a text, not {value!r}")
    return value
