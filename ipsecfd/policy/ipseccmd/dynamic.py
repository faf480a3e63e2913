"""Dynamic mode: a run's filters become rules of the driver's database (spec 8.4)."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

from ipsecfd.policy.grammar import Resolve
from ipsecfd.policy.ipseccmd.methods import MainMode, Negotiation, RefusedError
from ipsecfd.policy.ipseccmd.switches import Dynamic
from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.dynamic import (
    DynamicDraft,
    DynamicRule,
    Identity,
    MainModePolicy,
    QuickModePolicy,
)
from ipsecfd.policy.stores.errors import ExistsError

_MAIN_MODE_NAME: Final = "ipseccmd"

Named = TypeVar("Named", MainModePolicy, QuickModePolicy)


def apply_dynamic(request: Dynamic, draft: DynamicDraft, resolve: Resolve) -> None:
    """Add the rules that a run asks for; one that is there already, and the same, stays.

    Raises FilterError, RefusedError or ExistsError and has then changed nothing.
    """
    main_mode = _main_mode(request.main_mode, draft.mmpolicies.by_key)
    quick_mode = _quick_mode(request.rule.negotiation, draft.qmpolicies.by_key)
    new: dict[Identity, DynamicRule] = {}
    for spec in request.rule.filters:
        action = spec.override or request.rule.negotiation.action
        rule = DynamicRule(
            spec.filter(resolve, first_only=True),
            action,
            action,
            request.rule.connection,
            main_mode.name if main_mode else "",
            quick_mode.name if action.negotiates else "",
            request.rule.tunnel,
            request.rule.authentication,
        )
        if new.setdefault(rule.identity, rule) != rule:
            raise RefusedError(f'-f "{spec.text}": the same filter is there with another action')
        if draft.rules.get(rule.identity, rule) != rule:
            raise ExistsError(
                f"there is already another dynamic rule {rule.filter}; -u deletes all of them"
            )
    if main_mode is not None and main_mode.name not in draft.mmpolicies:
        draft.mmpolicies.add(main_mode)
    used = {rule.qmpolicy for rule in new.values()}
    if quick_mode.name in used and quick_mode.name not in draft.qmpolicies:
        draft.qmpolicies.add(quick_mode)
    for identity, rule in new.items():
        if identity not in draft.rules:
            draft.add_rule(rule)


def _main_mode(wanted: MainMode, known: Mapping[str, MainModePolicy]) -> MainModePolicy | None:
    """The main mode policy that holds the settings, or None where none were given."""
    if wanted == MainMode():
        return None
    lifetime, expiration = wanted.lifetime, wanted.soft_expiration
    return _fitting(
        (
            MainModePolicy(
                name,
                wanted.quick_modes or 0,
                480 if lifetime is None else lifetime,
                300 if expiration is None else expiration,
                wanted.methods or "",
            )
            for name in _names(_MAIN_MODE_NAME)
        ),
        known,
    )


def _quick_mode(wanted: Negotiation, known: Mapping[str, QuickModePolicy]) -> QuickModePolicy:
    """The quick mode policy that holds the methods."""
    group = "GRPMM" if wanted.pfs else "NOPFS"
    return _fitting(
        (QuickModePolicy(name, wanted.soft, group, wanted.methods) for name in _names(wanted.name)),
        known,
    )


def _fitting(candidates: Iterator[Named], known: Mapping[str, Named]) -> Named:
    """The first candidate whose name is free, or taken by its equal."""
    return next(one for one in candidates if known.get(name_key(one.name), one) == one)


def _names(base: str) -> Iterator[str]:
    yield base
    for number in itertools.count(2):
        yield f"{base} ({number})"
