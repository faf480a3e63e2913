"""What is wrong with a policy, one line for each mistake, and all of them at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from ipsecfd.errors import IpsecfdError

_LONGEST_TEXT = 100


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake or a warning: file, place in it, offending text, and what was expected.

    The place is a key path that counts from 1, or a line and column; place and text may be empty.
    """

    file: str
    place: str
    text: str
    expected: str

    def __str__(self) -> str:
        offending = quoted(printable(self.text)) if self.text else ""
        parts = (printable(self.file), printable(self.place), offending, printable(self.expected))
        return ": ".join(part for part in parts if part)


class PolicyError(IpsecfdError):
    """A policy that is refused as a whole; `mistakes` says why, a line each in the text."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def quoted(text: str) -> str:
    """The offending text for a message, cut short where it would hide the rest."""
    return f'"{text}"' if len(text) <= _LONGEST_TEXT else f'"{text[:_LONGEST_TEXT]}..."'


def printable(text: str) -> str:
    """The text on one line that any terminal can take; what it cannot show is escaped."""
    if text.isprintable():
        return text
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def known_names(word: str, known: Iterable[str]) -> str:
    """A hint for an unknown word: the known one that it resembles, or all of them."""
    names = list(dict.fromkeys(filter(None, known)))  # one that is missing is told elsewhere
    by_lower = {name.lower(): name for name in names}
    near = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{by_lower[near[0]]}"?'
    return f"known: {', '.join(names)}" if names else "there is none"
