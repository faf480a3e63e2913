"""Lines of the files that a script writes itself, as far as it is known that it does."""

from __future__ import annotations

from typing import Final

from ipsecfd.policy.scripts.batch.variables import unknown

_MARK: Final = "\0("  # no other mark begins like this, see `variables.unknown`


def perhaps_written(text: str, line: int) -> str:
    """A line, or several, that a statement may have written; `line` is where that stands.

    Whoever carries it out as a command names it: it has something that is not known.
    """
    return f"{text} {unknown(f'(whether-line-{line}-is-done)')}"


def printed_by(program: str) -> str:
    """What a program writes to a file, which only Windows knows."""
    return unknown(f"(what-{program}-prints)")


def is_certain(text: str) -> bool:
    """Whether all lines of a file are known to be there, and no other ones."""
    return _MARK not in text
