"""Values of options and arguments that are one of a few words, or a number within bounds.

Each says in plain words what was expected, and words count in any case: Windows never cared.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer

_Word = TypeVar("_Word", bound=str)
_DIGITS = 18  # more than anybody counts


def one_of(known: Sequence[_Word]) -> Callable[[str], _Word]:
    """A parser of one of these words, which are in lower case."""

    def parse(text: str) -> _Word:
        for word in known:
            if word == text.lower():
                return word
        raise typer.BadParameter(f"{text}: expected {in_words(known)}")

    return parse


def choice(name: str, metavar: str, known: Sequence[str], more: str = "") -> Any:
    """An option that takes one of these words; `more` ends its help."""
    return typer.Option(
        name,
        metavar=metavar,
        help=f"{in_words(known)}. {more}".rstrip(),
        parser=one_of(known),
        autocompletion=offered(known),
    )


def offered(known: Sequence[str]) -> Callable[[str], list[str]]:
    """What a shell completes to these words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete.lower())]

    return complete


def number(least: int, most: int | None = None) -> Callable[[str], int]:
    """A parser of a whole number within bounds."""
    bounds = f"of {least} or more" if most is None else f"from {least} to {most}"

    def parse(text: str) -> int:
        if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
            value = int(text)
            if least <= value and (most is None or value <= most):
                return value
        few = f", of at most {_DIGITS} digits" if most is None and len(text) > _DIGITS else ""
        raise typer.BadParameter(f"{text}: expected a number {bounds}{few}")

    return parse


def in_words(known: Sequence[str]) -> str:
    """The words as a sentence lists them: a, b or c."""
    *others, last = known
    return f"{', '.join(others)} or {last}" if others else last
