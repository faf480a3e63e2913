"""What an export is made of."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Final

_BREAKS: Final = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that no line of a script can hold."""


@dataclass(frozen=True, slots=True)
class Exported:
    """A text to be imported elsewhere, and what of the store it does not say."""

    text: str
    notes: tuple[str, ...] = ()


def one_line(text: str) -> str:
    """The text with blanks for what would break a line."""
    if text.isprintable():
        return text
    return "".join(" " if unicodedata.category(one) in _BREAKS else one for one in text)
