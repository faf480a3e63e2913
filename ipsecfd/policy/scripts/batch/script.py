"""A batch file as lines: its labels, and which commands come next from a place in it."""

from __future__ import annotations

import bisect
import re
from collections.abc import Callable, Iterator
from typing import Final

from ipsecfd.policy.scripts.batch.nodes import Chain, For, If, Node, Simple

_LABEL: Final = re.compile(r"[\s,;=]*:([^\s:+,;=&|<>]+)")
_SILENT: Final = re.compile(r"[\s@(]*(?:rem\b|::|echo\b|title\b)", re.IGNORECASE)
_IPSEC: Final = re.compile(
    r"\bips\w*\s+(?:st|dy)\w*|\bipsec(?:cmd|pol)\b|\bnetsh(?:\.exe)?\"?\s+(?:-|exec\b)"
    r"|\breg\w*(?:\.exe)?\"?\s.*\\ipsec\b",
    re.IGNORECASE,
)
_GOTO: Final = re.compile(r"\s*@?\s*goto[\s:]\s*:?([^\s:+,;=&|<>]+)", re.IGNORECASE)
_EXIT: Final = re.compile(r"\s*@?\s*exit\b", re.IGNORECASE)
_ASSIGNMENT: Final = re.compile(r"\bset\s|\bshift\b|\bcall\s", re.IGNORECASE)


def speaks_of_ipsec(text: str) -> bool:
    """Whether a command's text has to do with IPsec policies, whatever surrounds it."""
    return _IPSEC.search(text) is not None


def simple_commands(node: Node | None) -> Iterator[Simple]:
    """All commands in a statement."""
    match node:
        case Simple():
            yield node
        case Chain(parts=parts):
            for one in parts:
                yield from simple_commands(one)
        case If(then=then, otherwise=otherwise):
            yield from simple_commands(then)
            yield from simple_commands(otherwise)
        case For(body=body):
            yield from simple_commands(body)


class Script:
    """The lines of one file; they count from 0 here."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self.lines = text.split("\n")
        self._labels: dict[str, list[int]] = {}
        for number, line in enumerate(self.lines):
            if ":" in line and (found := _LABEL.match(line)):
                self._labels.setdefault(found[1].lower(), []).append(number)
        self._ways: dict[Callable[[str], bool], dict[int, int | None]] = {}
        self._in_block: list[bool] | None = None

    def label(self, name: str, after: int) -> int | None:
        """The line of a label: the next one behind a line, else the first of the file."""
        lines = self._labels.get(name.lower())
        if lines is None:
            return None
        return lines[bisect.bisect_right(lines, after) % len(lines)]

    def leads_to_ipsec(self, line: int | None) -> int | None:
        """The first line of an IPsec command that is met from here; None when there is none.

        Jumps are followed unless they depend on something.
        """
        return self._leads_to(line, _has_ipsec)

    def leads_to_change(self, line: int | None) -> int | None:
        """Likewise, the first line that bears on IPsec commands behind it or is one."""
        return self._leads_to(line, _bears_on_ipsec)

    def _leads_to(self, line: int | None, matters: Callable[[str], bool]) -> int | None:
        known = self._ways.setdefault(matters, {})
        way: list[int] = []
        found: int | None = None
        while line is not None and line < len(self.lines):
            if line in known:
                found = known[line]
                break
            known[line] = None  # coming here again is a loop that leads to nothing
            way.append(line)
            if matters(self.lines[line]):
                found = line
                break
            line = self._next(line)
        known.update(dict.fromkeys(way, found))
        return found

    def _next(self, line: int) -> int | None:
        if not self._depends(line):
            if found := _GOTO.match(self.lines[line]):
                return self.label(found[1], line)
            if _EXIT.match(self.lines[line]):
                return None
        return line + 1

    def _depends(self, line: int) -> bool:
        """Whether a line stands in a block, by how blocks are usually laid out."""
        if self._in_block is None:
            self._in_block, depth = [], 0
            for text in map(str.strip, self.lines):
                if text.startswith(":"):
                    depth = 0
                elif text.startswith(")") or (text.endswith(")") and "(" not in text):
                    depth = max(depth - 1, 0)
                self._in_block.append(depth > 0)
                depth += text.endswith("(")
        return self._in_block[line]


def _has_ipsec(line: str) -> bool:
    return speaks_of_ipsec(line) and _SILENT.match(line) is None


def _bears_on_ipsec(line: str) -> bool:
    return _SILENT.match(line) is None and (
        speaks_of_ipsec(line) or _ASSIGNMENT.search(line) is not None
    )
