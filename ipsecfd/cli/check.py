"""`ipsecfd check`: are these policy files valid, and do they mean what they seem to?"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecfd.cli.figures import many
from ipsecfd.cli.known import kept_names

if TYPE_CHECKING:
    from ipsecfd.policy.mistakes import Mistake
    from ipsecfd.policy.model import Policy


def check(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Policy files.")],
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a file.")] = False,
) -> None:
    """Check policy files; exit status 1 if any has a mistake.

    Mistakes and warnings go to stderr, a line each. Warnings alone do not fail.
    """
    from ipsecfd.policy.files import load
    from ipsecfd.policy.mistakes import PolicyError, printable

    names = kept_names()
    valid = True
    for path in files:
        counts: _Counts | None = None
        mistakes: tuple[Mistake, ...] = ()
        warnings: tuple[Mistake, ...] = ()
        try:
            loaded = load(path, names)
        except PolicyError as error:
            valid = False
            mistakes = error.mistakes
        else:
            counts = _count(loaded.policy)
            warnings = loaded.warnings
        if as_json:
            print(_json(str(path), counts, mistakes, warnings))
            continue
        for mistake in mistakes:
            print(mistake, file=sys.stderr)
        for warning in warnings:
            print(f"warning: {warning}", file=sys.stderr)
        if counts is not None:
            print(printable(f"{path}: {counts}"))
    if not valid:
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Counts:
    """How much is in a policy; filters are those of active rules."""

    policy: str
    rules: int
    inactive: int
    filters: int
    specific_filters: int

    def __str__(self) -> str:
        rules = many(self.rules, "rule")
        if self.inactive:
            rules += f" ({self.inactive} inactive)"
        filters = many(self.filters, "filter")
        return (
            f"{self.policy}: {rules}, {filters}, {many(self.specific_filters, 'specific filter')}"
        )


def _count(policy: Policy) -> _Counts:
    from ipsecfd.driver.specific import specific_filters
    from ipsecfd.policy.model import Store

    active = [rule for rule in policy.rules if rule.active]
    return _Counts(
        policy.name,
        len(policy.rules),
        len(policy.rules) - len(active),
        sum(len(rule.filter_list.filters) for rule in active),
        len(specific_filters([(Store.LOCAL, policy)], ipv6=True)),
    )


def _json(
    file: str, counts: _Counts | None, mistakes: Iterable[Mistake], warnings: Iterable[Mistake]
) -> str:
    return json.dumps(
        {
            "file": file,
            "valid": counts is not None,
            **(asdict(counts) if counts else {}),
            "mistakes": [asdict(one) for one in mistakes],
            "warnings": [asdict(one) for one in warnings],
        }
    )
