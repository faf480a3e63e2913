"""A command line of ipseccmd as arguments, and back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

PROGRAMS: Final = ("ipseccmd", "ipsecpol")
_TOKEN: Final = re.compile(r'(\\*)(")|([ \t\r\n\f\v]+)|\\+|[^ \t\r\n\f\v"\\]+')
_PLAIN: Final = re.compile(r"[\w.:*+=/,\\\[\]-]+")


def program_of(word: str) -> str | None:
    """The program that a command's first word names, with or without path and `.exe`, or None."""
    name = re.split(r"[\\/]", word)[-1].lower().removesuffix(".exe")
    return name if name in PROGRAMS else None


def split_line(line: str) -> list[str]:
    r"""The arguments of a command line, cut as Windows programs do: blanks outside of double
    quotes separate them, `\"` is a quote mark, and a backslash is itself before anything else."""
    words: list[str] = []
    word: str | None = None
    quoted = False
    for found in _TOKEN.finditer(line):
        slashes, quote, blanks = found.groups()
        if blanks and not quoted:
            if word is not None:
                words.append(word)
            word = None
            continue
        piece = found.group()
        if quote:
            literal = len(slashes) % 2 == 1
            quoted ^= not literal
            piece = "\\" * (len(slashes) // 2) + ('"' if literal else "")
        word = (word or "") + piece
    return words if word is None else [*words, word]


def join_line(arguments: Sequence[str]) -> str:
    """The command line that `split_line` cuts into these arguments."""
    return " ".join(map(_quoted, arguments))


def _quoted(argument: str) -> str:
    if _PLAIN.fullmatch(argument):
        return argument
    inner = re.sub(r'(\\*)(?="|$)', r"\1\1", argument).replace('"', '\\"')
    return f'"{inner}"'
