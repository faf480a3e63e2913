"""A batch file as lines: its labels, and which commands come next from a place in it."""

from __future__ import annotations

import bisect
import heapq
import re
from collections.abc import Iterable, Iterator
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
_JUMP: Final = re.compile(r"\b(?:goto(?:\s*:|\s)|call\s*:)\s*([^\s:+,;=&|<>()]+)", re.IGNORECASE)
_GOTOS: Final = re.compile(r"\bgoto(?:\s*:|\s)\s*([^\s:+,;=&|<>()]+)", re.IGNORECASE)
_OPEN: Final = -1
"""Stands for a line whose way is being followed."""
_EXIT: Final = re.compile(r"\s*@?\s*exit\b", re.IGNORECASE)
_ASSIGNMENT: Final = re.compile(r"\bset\s|\bshift\b|\bcall[\s:]", re.IGNORECASE)


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
        self._leading: set[int] | None = None
        self._changes: dict[int, int | None] = {}
        self._in_block: list[bool] | None = None
        self._known_ways: dict[int, list[int]] = {}

    def label(self, name: str, after: int) -> int | None:
        """The line of a label: the next one behind a line, else the first of the file."""
        lines = self._labels.get(name.lower())
        if lines is None:
            return None
        return lines[bisect.bisect_right(lines, after) % len(lines)]

    def leads_to_ipsec(self, line: int | None) -> bool:
        """Whether an IPsec command may be met from a line on, whatever conditions say."""
        if self._leading is None:
            self._leading = self._lines_to_ipsec()
        return line in self._leading

    def _lines_to_ipsec(self) -> set[int]:
        origins: dict[int, list[int]] = {}
        found = []
        for line, text in enumerate(self.lines):
            if _has_ipsec(text):
                found.append(line)
            for one in self._next(line):
                origins.setdefault(one, []).append(line)
        leading = set(found)
        while found:
            more = [one for one in origins.get(found.pop(), ()) if one not in leading]
            leading.update(more)
            found += more
        return leading

    def leads_to_change(self, line: int) -> int | None:
        """The first line met from here that bears on IPsec commands behind it, is one, or decides
        between different ones."""
        known = self._changes
        open_lines = [line]
        while open_lines:
            line = open_lines[-1]
            if line in known and known[line] != _OPEN:
                open_lines.pop()
                continue
            ways: list[int] = []
            if not _bears_on_ipsec(self.lines[line]):
                ways = [one for one in self._next(line) if self.leads_to_ipsec(one)]
                if line not in known:
                    known[line] = _OPEN
                    open_lines += [one for one in ways if one not in known]
                    continue
                # Coming to an open line again is a loop that leads to nothing.
                changes = {known[one] for one in ways} - {_OPEN, None}
                known[line] = line if len(changes) > 1 else next(iter(changes), None)
            else:
                known[line] = line
            open_lines.pop()
        return known[line]

    def meeting(self, lines: Iterable[int]) -> tuple[int | None, int]:
        """The next line outside of blocks that all ways from these lines come to; None without one.

        Also how many lines were looked at. Ways out that lead to no IPsec command do not count, and
        neither do subroutines: they come back.
        """
        waiting = sorted(set(lines))
        known = set(waiting)
        looked = 0
        while waiting:
            line = heapq.heappop(waiting)
            looked += 1
            if not waiting and not self._depends(line):
                return line, looked
            ways = [one for one in self.ways(line) if self.leads_to_ipsec(one)]
            if not ways:
                break  # one way ends here
            for one in ways:
                if one not in known:
                    known.add(one)
                    heapq.heappush(waiting, one)
        return None, looked

    def ways(self, line: int) -> list[int]:
        """The lines that may come next, but those of subroutines; kept for the next time."""
        if line not in self._known_ways:
            self._known_ways[line] = self._next(line, _GOTOS)
        return self._known_ways[line]

    def _next(self, line: int, jumps: re.Pattern[str] = _JUMP) -> list[int]:
        """The lines that may come next, those of subroutines included, by the jumps in it."""
        text = self.lines[line]
        if not self._depends(line):
            if found := _GOTO.match(text):
                target = self.label(found[1], line)
                return [] if target is None else [target]
            if _EXIT.match(text):
                return []
        ways = [line + 1] if line + 1 < len(self.lines) else []
        if not _SILENT.match(text) or "&" in text:
            for found in jumps.finditer(text):
                target = self.label(found[1], line)
                if target is not None:
                    ways.append(target)
        return ways

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
