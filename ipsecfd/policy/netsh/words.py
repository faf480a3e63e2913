r"""A command line as words: blanks, quotes, and where the `=` of a tag is (spec 8.1).

A quote mark opens or closes, anywhere in a word; one that is never closed reaches to the end of
the line, as on Windows. A value cannot hold a quote mark itself: it is written `\'` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

# Blanks are those of ASCII: a name may hold the wide blanks of other scripts without quotes.
_WORD: Final = re.compile(r'(?:[^ \t\r\n\f\v"]|"[^"]*(?:"|\Z))+')
_QUOTED: Final = re.compile(r'(?:[^"=]+=)?"[^"]*"')
_ESCAPED: Final = re.compile(r"(\\+)'")
_TO_ESCAPE: Final = re.compile(r"(\\*)(['\"])")


@dataclass(frozen=True, slots=True)
class Word:
    """A word without its quote marks."""

    text: str
    equals: int = -1
    """Where the tag ends: the first `=` outside quotes, or in a word that is quoted as a whole."""
    quoted: bool = False
    """Whether the word had quote marks, so that nothing behind `=` is an empty value."""

    @property
    def tagged(self) -> bool:
        """Whether the word begins with a tag, as `name=x` and `name=` do."""
        return self.equals > 0

    @property
    def joins(self) -> bool:
        """Whether the word goes on with a tag before it, as `=x` and `=` do."""
        return self.equals == 0


def split(line: str) -> list[Word]:
    """The words of a line."""
    return [_word(found.group()) for found in _WORD.finditer(line)]


def from_arguments(arguments: Iterable[str]) -> list[Word]:
    """The words of a command line that a shell has split and freed of its quotes.

    Quotes that it left around a whole value or word (`'name="a b"'`) are those of netsh.
    """
    return [
        _word(one) if _QUOTED.fullmatch(one) else Word(one, one.find("="), quoted=not one)
        for one in arguments
    ]


def unescaped(value: str) -> str:
    r"""The value with `\'` as a quote mark; `\\'` is a backslash and an apostrophe."""
    if "\\'" not in value:
        return value
    return _ESCAPED.sub(_unescape, value)


def quoted(value: str) -> str:
    """The value in quotes, written so that it is read back as it is."""
    return f'"{_TO_ESCAPE.sub(_escape, value)}"'


def _word(raw: str) -> Word:
    if '"' not in raw:
        return Word(raw, raw.find("="))
    text = raw.replace('"', "")
    if raw.startswith('"'):
        return Word(text, text.find("="), quoted=True)
    bare = raw[: raw.index('"')]  # a tag stands before the quote marks of its value
    return Word(text, bare.find("="), quoted=True)


def _unescape(found: re.Match[str]) -> str:
    count = len(found[1])
    return "\\" * (count // 2) + ('"' if count % 2 else "'")


def _escape(found: re.Match[str]) -> str:
    doubled = found[1] * 2
    return f"{doubled}\\'" if found[2] == '"' else f"{doubled}'"
