"""Dynamic rules as text: what commands fetch from the agent and hand back, whole (spec 8.3)."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any, Final, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable
from ipsecfd.policy.exact import address_of, address_value, check_numbers
from ipsecfd.policy.grammar import check_filter
from ipsecfd.policy.model import Action, Connection, Filter
from ipsecfd.policy.stores.content import Authentication
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)

FILE_NAME: Final = "dynamic.json"
"""The name of the file under `state_dir`."""

_PLAIN: Final = ("source_port", "destination_port", "protocol", "mirrored", "description")
_RULE_TEXTS: Final = ("mmpolicy", "qmpolicy", "tunnel")


T = TypeVar("T")


class DynamicTextError(IpsecfdError):
    """A text that holds no dynamic rules, or wrong ones."""


def render(content: DynamicContent, *, keys: bool = True) -> str:
    """The rules and their key exchange policies as one line of JSON; with `keys` False, without
    the pre-shared keys in them, for those who may only look."""
    return json.dumps(
        {
            "mmpolicies": [dataclasses.asdict(one) for one in content.mmpolicies.values()],
            "qmpolicies": [dataclasses.asdict(one) for one in content.qmpolicies.values()],
            "rules": [_rule_value(one, keys) for one in content.rules.values()],
        }
    )


def parse(text: str) -> DynamicContent:
    """What `render` wrote. Raises DynamicTextError."""
    try:
        found = json.loads(text)
        draft = DynamicDraft()
        for one in found["mmpolicies"]:
            draft.mmpolicies.add(_typed(MainModePolicy(**one)))
        for one in found["qmpolicies"]:
            draft.qmpolicies.add(_typed(QuickModePolicy(**one)))
        for one in found["rules"]:
            draft.add_rule(_rule(one))
    except (IpsecfdError, ValueError, TypeError, LookupError, RecursionError) as error:
        raise DynamicTextError(f"dynamic rules cannot be understood: {error}") from error
    return draft.content()


def load(state_dir: Path) -> DynamicContent:
    """The rules that an earlier run kept; none if there are none. Raises DynamicTextError."""
    path = state_dir / FILE_NAME
    try:
        return parse(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return DynamicContent()
    except (OSError, UnicodeError, DynamicTextError) as error:
        raise DynamicTextError(
            f"{path}: damaged: {error}; remove it, which forgets the dynamic rules"
        ) from error


def save(state_dir: Path, content: DynamicContent) -> None:
    """Keep the rules for the next start (option `dynamic_persist`). Raises DynamicTextError."""
    path = state_dir / FILE_NAME
    try:
        durable.keep(path, f"{render(content)}\n".encode())
    except OSError as error:
        raise DynamicTextError(f"{path}: cannot be written: {error.strerror}") from error


def forget(state_dir: Path) -> None:
    """Have no rules kept for a later start."""
    with contextlib.suppress(OSError):  # nobody could have kept any there
        (state_dir / FILE_NAME).unlink(missing_ok=True)


def _rule_value(rule: DynamicRule, keys: bool) -> dict[str, Any]:
    one = rule.filter
    ways = [
        [way.kind, way.value if keys or way.kind != "psk" else ""] for way in rule.authentication
    ]
    return {
        "source": address_value(one.source),
        "destination": address_value(one.destination),
        **{name: getattr(one, name) for name in _PLAIN},
        "inbound": rule.inbound.name,
        "outbound": rule.outbound.name,
        "connection": rule.connection.value,
        **{name: getattr(rule, name) for name in _RULE_TEXTS},
        "authentication": ways,
    }


def _rule(found: dict[str, Any]) -> DynamicRule:
    one = _typed(
        Filter(
            address_of(found["source"]),
            address_of(found["destination"]),
            **{name: found[name] for name in _PLAIN},
        )
    )
    check_numbers(one)
    check_filter(one)
    ways = tuple(_typed(Authentication(kind, value)) for kind, value in found["authentication"])
    return _typed(
        DynamicRule(
            one,
            Action[found["inbound"]],
            Action[found["outbound"]],
            Connection(found["connection"]),
            authentication=ways,
            **{name: found[name] for name in _RULE_TEXTS},
        )
    )


_TYPES: Final = {"str": str, "int": int, "bool": bool}


def _typed(value: T) -> T:
    """The value, if its plain fields are what its class says. Raises TypeError."""
    for one in dataclasses.fields(value):  # type: ignore[arg-type]
        wanted = _TYPES.get(str(one.type))
        if wanted is not None and type(getattr(value, one.name)) is not wanted:
            raise TypeError(f"{one.name}: expected {one.type}")
    return value
