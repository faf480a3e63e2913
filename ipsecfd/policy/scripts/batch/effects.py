"""What commands that may or may not be run leave behind for the rest of their script."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ipsecfd.policy.scripts.batch.assignments import names
from ipsecfd.policy.scripts.batch.named import as_written
from ipsecfd.policy.scripts.batch.nodes import Node
from ipsecfd.policy.scripts.batch.programs import child_text, is_known, label_of, split_program
from ipsecfd.policy.scripts.batch.script import Script, simple_commands, speaks_of_ipsec
from ipsecfd.policy.scripts.batch.variables import Variables, unknown, unknowns

FindScript: TypeAlias = Callable[[str, bool], tuple[str, str | None] | None]
"""The name and the text of the script that a command names, as `Commands.script` has it."""

_SAYS: Final = ("echo", "title")
_COMMENT: Final = re.compile(r"[\s@(]*(?:rem\b|:)", re.IGNORECASE)
_CHANGE: Final = re.compile(
    r"\b(?:(set)(?=[\s/\",;=])|(setlocal)\b([^&|]*)|(endlocal)\b|(shift)\b|(call)\b)", re.IGNORECASE
)
_CALLED: Final = re.compile(r"\s*([^&|<>]*)")
_OUTPUT: Final = re.compile(
    r'(?<![\s=,;][02-9])(?<!>)(>>?)(?![&>])\s*((?:"[^"]*"|[^\s&|<>()",;=])+)'
)
_REFERENCE: Final = re.compile(r"%+[^%]*%?|![^!]*!")


@dataclass(frozen=True, slots=True)
class Output:
    """A line that is perhaps written to a file."""

    file: str
    text: str
    appends: bool


class Effects:
    """Gathers what commands may do; those of subroutines and other scripts that they call, too."""

    def __init__(self, variables: Variables, find: FindScript) -> None:
        self._variables = variables
        self._find = find
        self._known: set[tuple[str, int, bool]] = set()
        self._waiting: list[tuple[Script, int, bool]] = []
        """Lines to look at, and whether they are run in a cmd.exe of its own."""
        self.names: dict[str, None] = {}
        """Variables that may get another value; a mark stands for what is not known of a name."""
        self.scopes: list[str] = []
        """The options of each `setlocal`."""
        self.leaves = self.shifts = False
        """Whether an `endlocal` or `shift` is among them."""
        self.outputs: list[Output] = []
        self.ipsec = False
        """Whether an IPsec command is among them, or a script that is not at hand."""
        self.looked = 0
        """Lines that were looked at."""

    def add_statement(self, node: Node, script: Script, loops: Mapping[str, str]) -> None:
        """Gather those of a statement; values of the loops around it are known."""
        for one in simple_commands(node):
            text = self._variables.expand_late(one.text, loops)
            self._command(text, script, one.place.line - 1)
            if one.output:
                name, rest = split_program(text)
                line = rest[1:] if name == "echo" else text
                self.outputs.append(Output(as_written(one.output).strip('"'), line, one.appends))
        self._follow()

    def add_lines(self, script: Script, lines: Iterable[int]) -> None:
        """Gather those of lines of the script itself, which count from 0."""
        for line in lines:
            self._line(script, line, own=True)
        self._follow()

    def _command(self, text: str, script: Script, line: int) -> None:
        name, rest = split_program(text)
        if name not in _SAYS and speaks_of_ipsec(text):
            self.ipsec = True
        match name:
            case "set":
                self.names.update(dict.fromkeys(names(rest)))
            case "setlocal":
                self.scopes.append(rest)
            case "endlocal":
                self.leaves = True
            case "shift":
                self.shifts = True
            case "call":
                self._call(rest.strip(), script, line)
            case _ if (inner := child_text(name, rest)) is not None:
                self._script(inner, child=True)
            case _:
                self._script(text)

    def _call(self, text: str, script: Script, line: int) -> None:
        rest = self._variables.expand(text)[0]
        name, _ = split_program(rest)
        if rest.startswith(":"):
            target = script.label(label_of(rest), line)
            if target is not None:
                self._waiting.append((script, target, False))
                self.ipsec |= script.leads_to_ipsec(target)
            elif unknowns(rest):
                self.ipsec = True
        elif name.endswith("\0"):
            self.ipsec = True
        elif not self._script(rest, expected=not is_known(name)):
            self._command(rest, script, line)

    def _script(self, text: str, *, expected: bool = False, child: bool = False) -> bool:
        found = self._find(text, expected)
        if found is None:
            return False
        name, inside = found
        if inside is None:
            self.ipsec = True
        elif (name, 0, child) not in self._known:
            other = Script(name, inside)
            self.looked += len(other.lines)
            self._waiting.append((other, 0, child))
            self.ipsec |= other.leads_to_ipsec(0)
        return True

    def _follow(self) -> None:
        """Go through the lines that subroutines and other scripts may come to."""
        while self._waiting:
            script, line, child = self._waiting.pop()
            if (script.file, line, child) not in self._known:
                self._known.add((script.file, line, child))
                self._line(script, line, own=False, child=child)
                self._waiting += [(script, one, child) for one in script.ways(line)]

    def _line(self, script: Script, line: int, *, own: bool, child: bool = False) -> None:
        """Gather what stands in a line; arguments and scopes are the script's own, or of others,
        and so are the variables of a cmd.exe of its own."""
        self.looked += 1
        text = script.lines[line]
        if _COMMENT.match(text):
            return
        for found in _CHANGE.finditer(text):
            behind = text[found.end() :]
            plain, enters, options, leaves, shifts, calls = found.groups()
            if plain and not child:
                for name in names(behind):
                    self.names[_REFERENCE.sub(unknown(""), name)] = None
            elif calls:
                if called := _CALLED.match(behind):
                    self._call(self._variables.expand(called[1])[0].strip(), script, line)
            elif own:
                self.scopes += [options] if enters else []
                self.leaves |= bool(leaves)
                self.shifts |= bool(shifts)
        self._script(self._variables.expand(text.lstrip(" \t@("))[0], child=child)
        for found in _OUTPUT.finditer(text):
            file = as_written(self._variables.expand(found[2])[0]).strip('"')
            self.outputs.append(Output(file, text.strip(), found[1] == ">>"))
