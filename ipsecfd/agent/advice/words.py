"""Several filters or rules in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

NAMED: Final = 3
"""Filters or rules that a warning names; of the others it says how many there are."""


def listed(things: Sequence[object], last: str = "and") -> str:
    """The first few of several things in words, and how many more there are."""
    shown = [str(one) for one in things[:NAMED]]
    if len(things) > NAMED:
        shown.append(f"{len(things) - NAMED:,} more")
    return f" {last} ".join(filter(None, (", ".join(shown[:-1]), shown[-1])))
