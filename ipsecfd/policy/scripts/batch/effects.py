"""What commands that may or may not be run leave behind for the rest of their script."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.scripts.batch.assignments import names
from ipsecfd.policy.scripts.batch.named import as_written, deleted
from ipsecfd.policy.scripts.batch.nodes import Node, simple_commands
from ipsecfd.policy.scripts.batch.others import Others
from ipsecfd.policy.scripts.batch.programs import child_text, is_known, split_program, stops_service
from ipsecfd.policy.scripts.batch.script import Script, concerns_ipsec
from ipsecfd.policy.scripts.batch.variables import Variables, unknown

_REFERENCE: Final = re.compile(r"%+[^%]*%?|![^!]*!")
_UNREAD: Final = re.compile("\0(%[^%:\0]+%)\0")
"""The mark of a variable in a line that the script has not come to."""
_KEEP_STATUS: Final = ("echo", "goto", "rem")
"""Commands that leave the error level as it is."""


@dataclass(frozen=True, slots=True)
class Output:
    """A line that is perhaps written to a file."""

    file: str
    text: str
    appends: bool


class _Place(enum.Enum):
    """Where commands stand, and so what of their script they can change."""

    OWN = enum.auto()
    CALLED = enum.auto()
    """A subroutine or other script: arguments and scopes are its own."""
    CHILD = enum.auto()
    """A cmd.exe of its own: so are variables."""


class Effects:
    """Gathers what commands may do; those of subroutines and other scripts that they call, too."""

    def __init__(self, variables: Variables, others: Others) -> None:
        self._variables = variables
        self._others = others
        self._known: set[tuple[str, int, _Place]] = set()
        self._waiting: list[tuple[Script, int, _Place]] = []
        """Lines to look at."""
        self.names: dict[str, None] = {}
        """Variables that may get another value; a mark stands for what is not known of a name."""
        self.scopes: list[str] = []
        """The options of each `setlocal`."""
        self.leaves = self.shifts = False
        """Whether an `endlocal` or `shift` is among them."""
        self.stops = False
        """Whether one of them stops the service."""
        self.status = False
        """Whether the error level may be another one behind them."""
        self.outputs: list[Output] = []
        self.ipsec = False
        """Whether an IPsec command is among them, or a script that is not at hand."""
        self.looked = 0
        """Lines that were looked at."""

    def add_statement(self, node: Node, script: Script, loops: Mapping[str, str]) -> None:
        """Gather those of a statement; values of the loops around it are known."""
        for one in simple_commands(node):
            self.looked += 1
            text = self._variables.expand_late(one.text, loops)
            self._command(text, text, script, one.place.line - 1, _Place.OWN)
            self._output(text, one.output, appends=one.appends)
        self._follow()

    def add_lines(self, script: Script, lines: Iterable[int]) -> None:
        """Gather those of lines of the script itself, which count from 0."""
        for line in lines:
            self._line(script, line, _Place.OWN)
        self._follow()

    def _line(self, script: Script, line: int, place: _Place) -> None:
        self.looked += 1
        for one in simple_commands(script.statement(line)):
            text = self._read(one.text)
            self._command(one.text, text, script, line, place)
            self._output(text, self._read(one.output), appends=one.appends)

    def _read(self, text: str) -> str:
        """The text with the variables that have a value now."""
        return _UNREAD.sub(lambda found: self._variables.expand(found[1])[0], text)

    def _command(self, written: str, text: str, script: Script, line: int, place: _Place) -> None:
        """Gather those of one command; `written` has no values that may be others by then."""
        name, rest = split_program(text)
        self.ipsec |= concerns_ipsec(text)
        self.status |= name not in _KEEP_STATUS
        self.stops |= stops_service(name, rest)
        match name:
            case "set" if place is not _Place.CHILD:
                program, its = split_program(written)
                for one in names(its if program == name else rest):
                    self.names[_REFERENCE.sub(unknown(""), one)] = None
            case "setlocal" if place is _Place.OWN:
                self.scopes.append(rest)
            case "endlocal":
                self.leaves |= place is _Place.OWN
            case "shift":
                self.shifts |= place is _Place.OWN
            case "call":
                self._call(split_program(written)[1].strip(), rest.strip(), script, line, place)
            case "del" | "erase":
                # As good as a line in it that nobody knows.
                self.outputs += [Output(one, "", appends=True) for one in deleted(rest)]
            case _ if (inner := child_text(name, rest)) is not None:
                child = Script(f"cmd /c {inner}", inner, self._others.lead_to_ipsec)
                self._wait(child, 0, _Place.CHILD)
            case _:
                self._script(text, place)

    def _output(self, text: str, file: str, *, appends: bool) -> None:
        if file:
            name, rest = split_program(text)
            said = rest[1:] if name == "echo" else text
            self.outputs.append(Output(as_written(file).strip('"'), said, appends))

    def _call(self, written: str, text: str, script: Script, line: int, place: _Place) -> None:
        while (found := split_program(text))[0] == "call":
            written, text = split_program(written)[1].strip(), found[1].strip()
        rest = self._variables.expand(text)[0]
        name, _ = split_program(rest)
        if rest.startswith(":"):
            target = script.target(rest, line)
            self.ipsec |= target is None
            if target is not None:
                self._wait(script, target, place)
        elif name == "call" or name.endswith("\0"):
            self.ipsec = True
        elif not self._script(rest, place, expected=not is_known(name)):
            self._command(written, rest, script, line, place)

    def _script(self, text: str, place: _Place, *, expected: bool = False) -> bool:
        found = self._others.find(text, expected=expected)
        if found is None:
            return False
        if found.text is None:
            self.ipsec = True
        else:
            self._wait(self._others.script(found.name, found.text), 0, place)
        return True

    def _wait(self, script: Script, line: int, place: _Place) -> None:
        """Look at a line, and at those behind it, when the others are done."""
        place = _Place.CALLED if place is _Place.OWN else place
        if line != script.end and (script.file, line, place) not in self._known:
            self._known.add((script.file, line, place))
            self._waiting.append((script, line, place))

    def _follow(self) -> None:
        """Go through the lines that subroutines and other scripts may come to."""
        while self._waiting:
            script, line, place = self._waiting.pop()
            self._line(script, line, place)
            for one in script.ways(line):
                self._wait(script, one, place)
