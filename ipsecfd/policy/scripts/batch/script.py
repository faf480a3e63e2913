"""A batch file as lines: its labels, and which commands come next from a place in it."""

from __future__ import annotations

import bisect
import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.arguments import Arguments
from ipsecfd.policy.scripts.batch.glance import behind_statement, glance
from ipsecfd.policy.scripts.batch.nodes import Chain, If, Node, Simple, simple_commands
from ipsecfd.policy.scripts.batch.programs import (
    is_doubtful,
    is_known,
    label_of,
    run_by,
    scripts_meant,
    split_program,
)
from ipsecfd.policy.scripts.batch.variables import Variables

_LABEL: Final = re.compile(r"[\s,;=]*:[\s,;=]*([^\s:+,;=&|<>]+)")
_IPSEC: Final = re.compile(
    r"\bips\w*\s+(?:st|dy)\w*|\bipsec(?:cmd|pol)\b|\bnetsh(?:\.exe)?\"?\s+(?:-|exec\b|\0)"
    r"|\breg\w*(?:\.exe)?\"?\s.*\\ipsec\b",
    re.IGNORECASE,
)
_SAYS: Final = ("echo", "title")
_LATE: Final = re.compile("[\0%!]")
"""What of a label is only known when the script comes to the jump."""
_FOLDER_ENDS: Final = re.compile(r"[\\/\0]")
_MOST_JOINED: Final = 100
"""Lines that carets make one of, for a look ahead."""


def concerns_ipsec(text: str) -> bool:
    """Whether a command may be one about IPsec policies, wherever its program lies."""
    name, _ = split_program(text)
    if name in _SAYS:
        return False
    return _IPSEC.search(text) is not None or ("\0" in name and is_doubtful(name, text))


class Script:
    """The lines of one file; they count from 0 here."""

    def __init__(self, file: str, text: str, lead_to_ipsec: Callable[[str], bool]) -> None:
        """`lead_to_ipsec` says of a line with programs that are not known whether it does."""
        self.file = file
        self.text = text
        self.lines = text.split("\n")
        self.end = len(self.lines)
        """Stands for a way out of the file, or of the subroutine."""
        self._lead_to_ipsec = lead_to_ipsec
        self._nothing_known = Variables(Arguments.given(file, None))
        self._labels: dict[str, list[int]] = {}
        for number, line in enumerate(self.lines):
            if ":" in line and (found := _LABEL.match(line)):
                self._labels.setdefault(found[1].lower(), []).append(number)
        self._leading: set[int] | None = None
        self._in_block: list[bool] | None = None
        self._known_ways: dict[int, list[int]] = {}
        self._leads_anywhere: set[int] = set()
        """Lines with a jump whose target is only known when the script comes there."""

    def label(self, name: str, after: int) -> int | None:
        """The line of a label: the next one behind a line, else the first of the file."""
        lines = self._labels.get(name.lower())
        if lines is None:
            return None
        return lines[bisect.bisect_right(lines, after) % len(lines)]

    def target(self, rest: str, line: int) -> int | None:
        """Where the `goto` in a line leads to whose label stands in `rest`: `end` where there is
        no such label, None where it is only known when the script comes there."""
        name = label_of(rest)
        if _LATE.search(name):
            return None
        found = self.label(name, line)
        if found is None:  # a parenthesis behind it is perhaps the end of the block
            found = self.label(name.rstrip(")"), line)
        return self.end if found is None else found

    def statement(self, line: int) -> Node | None:
        """What stands in a line, with marks for all that is only known when the script comes there;
        None where it does nothing."""
        text = self.lines[line]
        for joined in self.lines[line + 1 : line + _MOST_JOINED] if text.endswith("^") else ():
            text = text[:-1] + joined
            if not joined.endswith("^"):
                break
        return glance(self._nothing_known.expand(text)[0])

    def _seen_from_afar(self, line: int) -> str | None:
        """A line with marks for what is not known before the script comes there; None behind the
        last one."""
        return None if line == self.end else self._nothing_known.expand(self.lines[line])[0]

    def leads_to_ipsec(self, line: int) -> bool:
        """Whether an IPsec command may be met from a line on, whatever conditions say."""
        if self._leading is None:
            self._leading = self._lines_to_ipsec()
        return line in self._leading

    def _lines_to_ipsec(self) -> set[int]:
        origins: dict[int, list[int]] = {}
        found = []
        written = self._scripts_written()
        for line in range(self.end):
            if self._concerns_ipsec(line, written):
                found.append(line)
            for one in (*self.ways(line), *self._called(line)):
                origins.setdefault(one, []).append(line)
        leading = set(found)
        while found:
            more = [one for one in origins.get(found.pop(), ()) if one not in leading]
            leading.update(more)
            found += more
        return leading

    def _scripts_written(self) -> set[str]:
        """The names of the scripts that this one makes."""
        outputs = (
            _file_name(one.output.strip('"'))
            for line in range(self.end)
            if ">" in self.lines[line]
            for one in simple_commands(self.statement(line))
        )
        return {one for one in outputs if one.endswith((".bat", ".cmd"))}

    def _concerns_ipsec(self, line: int, written: set[str]) -> bool:
        """Whether an IPsec command stands in a line, or what may lead to any."""
        others = False
        for one in simple_commands(self.statement(line)):
            name, rest = split_program(one.text)
            if concerns_ipsec(one.text) or (_is_jump(name, rest) and _LATE.search(label_of(rest))):
                return True
            run = run_by(one.text)
            if not is_known(split_program(run)[0]):
                others = True
                if not written.isdisjoint(_file_name(each) for each in scripts_meant(run)):
                    return True
        return others and self._lead_to_ipsec(self.lines[line])

    def _called(self, line: int) -> Iterator[int]:
        """The lines of the subroutines that a line calls."""
        for one in simple_commands(self.statement(line)):
            name, rest = split_program(one.text)
            if name == "call" and _is_jump(name, rest):
                target = self.target(rest, line)
                if target is not None:
                    yield target

    def meeting(self, lines: Iterable[int], *, to_ipsec: bool = False) -> tuple[int, Sequence[int]]:
        """The next line outside of blocks that all ways from these lines come to, or the end; and
        the lines that are perhaps done before.

        With `to_ipsec`, ways out that lead to no IPsec command do not count. Behind a jump that may
        lead anywhere every line is perhaps done.
        """
        waiting = sorted(set(lines))
        known = set(waiting)
        passed: list[int] = []
        while waiting:
            line = heapq.heappop(waiting)
            if line == self.end or not (waiting or self._depends(line)):
                return line, passed
            passed.append(line)
            ways = self.ways(line)
            if line in self._leads_anywhere:
                return self.end, range(self.end)
            if to_ipsec:
                ways = [one for one in ways if self.leads_to_ipsec(one)] or [self.end]
            for one in ways:
                if one not in known:
                    known.add(one)
                    heapq.heappush(waiting, one)
        return self.end, passed

    def ways(self, line: int) -> list[int]:
        """The lines that may come next, `end` included; not those of subroutines, which come back.

        They are kept for the next time.
        """
        if line not in self._known_ways:
            node = self.statement(line)
            ways = list(self._jumps(node, line))
            if node is None or self._depends(line) or falls_through(node):
                ways.append(line + 1)
            self._known_ways[line] = ways
        return self._known_ways[line]

    def _jumps(self, node: Node | None, line: int) -> Iterator[int]:
        for one in simple_commands(node):
            name, rest = split_program(one.text)
            if name == "exit":
                yield self.end
            elif name == "goto":
                target = self.target(rest, line)
                if target is None:
                    self._leads_anywhere.add(line)
                yield self.end if target is None else target

    def _depends(self, line: int) -> bool:
        """Whether a line is a further one of a statement that begins before it."""
        if self._in_block is None:
            self._in_block = [False] * self.end
            first = 0
            while first < self.end:
                behind = behind_statement(self._seen_from_afar, first)
                self._in_block[first + 1 : behind] = [True] * (behind - first - 1)
                first = behind
        return self._in_block[line]


def _is_jump(name: str, rest: str) -> bool:
    """Whether a label stands behind a command's name."""
    return name == "goto" or (name == "call" and rest.lstrip().startswith(":"))


def _file_name(path: str) -> str:
    return _FOLDER_ENDS.split(path)[-1].lower()


def falls_through(node: Node) -> bool:
    """Whether the script may come from a statement to what stands behind it."""
    match node:
        case Simple(text=text):
            return split_program(text)[0] not in ("goto", "exit")
        case Chain(operator="&", parts=parts):
            return all(map(falls_through, parts))
        case Chain(operator="&&" | "||", parts=parts):
            return falls_through(parts[0])
        case If(then=then, otherwise=otherwise):
            return otherwise is None or falls_through(then) or falls_through(otherwise)
    return True
