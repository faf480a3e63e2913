"""Runs a batch file statement by statement, with bounds that no file can pass."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.scripts.batch.command import Command, Execute, Files, Outcome
from ipsecfd.policy.scripts.batch.conditions import holds
from ipsecfd.policy.scripts.batch.doubts import concerns_ipsec, forget_assignments, way_behind
from ipsecfd.policy.scripts.batch.limits import Limits, Stop
from ipsecfd.policy.scripts.batch.loops import UnknownLoopError, rounds
from ipsecfd.policy.scripts.batch.nodes import (
    Chain,
    For,
    If,
    Node,
    Simple,
    first_place,
)
from ipsecfd.policy.scripts.batch.parser import Parser
from ipsecfd.policy.scripts.batch.programs import (
    Program,
    is_doubtful,
    is_expected_to_succeed,
    label_of,
    next_word,
    program_of,
    split_program,
)
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError
from ipsecfd.policy.scripts.batch.script import Script, simple_commands
from ipsecfd.policy.scripts.batch.variables import LONGEST_VALUE, Variables, readable, unknowns

_CMD_SWITCHES: Final = re.compile(r"(?:\s*/[abd-jl-z]\w*(?::\w+)?)*\s*/[ck]\s*", re.IGNORECASE)
_START_SWITCHES: Final = re.compile(
    r'\s*(?:"[^"]*"?)?(?:\s*/(?:d\s*(?:"[^"]*"|\S+)|(?:node|affinity|machine)\s+\S+|[a-z]+))*\s*',
    re.IGNORECASE,
)
_SCRIPT_NAME: Final = re.compile(r".*\.(?:bat|cmd)", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r'(?:"[^"]*"?|[^\s,;="])+')
_FILE: Final = re.compile(
    r'((?:^|\s)(?:[-/]f|[-/]file|exec|import|/s)\s+)("[^"]*"|[^\s"]+)', re.IGNORECASE
)
_IPSECCMD_FILE: Final = re.compile(r'((?:^|\s)[-/]file\s+)("[^"]*"|[^\s"]+)', re.IGNORECASE)
"""A command's word for the file it reads; behind -f, ipseccmd has filters."""
_FOLDER: Final = re.compile(r'^("?)(?:\0[^\0]*\0)+(?=[^"\0])')
"""A folder that cannot be known, before the name of a file: it is looked for next to this one."""
_OWN_FOLDER: Final = re.compile(r'^("?)(?:\0%~[a-z]*[0-9]\0)+(?=[^"\0])', re.IGNORECASE)
"""That of the script itself, as in %~dp0s.txt."""
_GIVEN_ARGUMENT: Final = re.compile(r"%(?:~?[0-9]|\*)")


def run(
    text: str,
    file: str,
    execute: Execute,
    *,
    files: Files,
    arguments: Sequence[str] | None = None,
) -> Outcome:
    """Run a batch file; `arguments` are its %1, %2 and so on, None when nobody gave any."""
    return _Run(execute, arguments, files, file).whole(Script(file, text))


class _Jump(Exception):  # noqa: N818 - control flow, no error
    """A `goto`; without a line, the end of the file or subroutine it stands in."""

    def __init__(self, line: int | None) -> None:
        self.line = line


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where a statement is being run."""

    script: Script
    next_line: int
    """Where the script goes on behind it; counts from 0."""
    loops: Mapping[str, str]
    """The values of the loop variables around it."""


class _Run:
    """One run of a script with all that it calls."""

    def __init__(
        self, execute: Execute, arguments: Sequence[str] | None, files: Files, name: str
    ) -> None:
        self._execute = execute
        self._files = files
        self._variables = Variables(name, arguments)
        self._limits = Limits()
        self._ignored = 0
        self._been: set[tuple[str, int, int]] = set()

    def whole(self, script: Script) -> Outcome:
        """Run a script from its first line."""
        self._limits.allow(len(script.lines))
        with contextlib.suppress(Stop):
            self._lines(script, 0)
        return Outcome(tuple(self._limits.problems), self._ignored)

    # Lines

    def _lines(self, script: Script, line: int) -> None:
        """Run lines up to the end of the file or subroutine."""
        scopes = self._variables.scopes
        while line < len(script.lines):
            try:
                line = self._line(script, line)
            except _Jump as jump:
                if jump.line is None:
                    break
                if jump.line <= line:
                    self._refuse_endless_loop(script, jump.line, line)
                line = jump.line
        while self._variables.scopes > scopes:
            self._variables.leave()

    def _refuse_endless_loop(self, script: Script, line: int, origin: int) -> None:
        """Stop where nothing has changed since the script last came here."""
        place = (script.file, line, self._variables.changes)
        if place in self._been:
            self._limits.name(script, origin + 1, script.lines[origin], "this loop never ends")
            raise Stop
        self._been.add(place)

    def _line(self, script: Script, line: int) -> int:
        """Run the statement at a line and return the line behind it."""
        next_line = line

        def read() -> tuple[int, str, Callable[[int], int]] | None:
            nonlocal next_line
            if next_line == len(script.lines):
                return None
            raw = script.lines[next_line]
            next_line += 1
            text, column = self._variables.expand(raw)
            self._limits.spend(script, next_line, raw, len(text))
            if len(text) > max(LONGEST_VALUE, len(raw)):
                why = f"becomes longer than {LONGEST_VALUE:,} characters, which cmd.exe refuses"
                raise CommandSyntaxError(next_line, 1, why)
            return next_line, text, column

        try:
            node = Parser(read).statement()
        except CommandSyntaxError as error:
            text = script.lines[error.line - 1]
            self._limits.name(script, error.line, text, f"column {error.column}: {error.why}")
            return next_line
        if node is not None:
            self._run(node, _Frame(script, next_line, {}))
        return next_line

    # Statements: each returns whether it succeeded, None where only Windows knows

    def _run(self, node: Node, frame: _Frame) -> bool | None:
        if isinstance(node, Simple):
            return self._simple(node, frame)
        with self._limits.inside(frame.script, frame.next_line):
            if isinstance(node, Chain):
                return self._chain(node, frame)
            if isinstance(node, If):
                return self._if(node, frame)
            self._for(node, frame)
            return True

    def _chain(self, node: Chain, frame: _Frame) -> bool | None:
        result: bool | None = True
        for number, one in enumerate(node.parts):
            if number and node.operator == "&&" and result is False:
                break
            if number and node.operator == "||" and result:
                break
            if number and node.operator in ("&&", "||") and result is None:
                word = "succeeds" if node.operator == "&&" else "fails"
                rest = Chain(node.operator, node.parts[number:])
                why = f"only Windows knows whether what is before {word}"
                behind = max(each.place.line for each in simple_commands(rest))
                self._perhaps(rest, behind, frame, why)
                break
            result = self._run(one, frame)
        return result

    def _if(self, node: If, frame: _Frame) -> bool | None:
        condition = node.condition
        left, right = (
            self._variables.expand_late(one, frame.loops)
            for one in (condition.left, condition.right)
        )
        found = holds(condition, left, right, self._variables)
        if found is not None:
            branch = node.then if found else node.otherwise
            return True if branch is None else self._run(branch, frame)
        why = f"only Windows knows whether {readable(str(condition))}"
        self._perhaps(node, node.last_line, frame, why)
        return None

    def _perhaps(self, node: Node, behind: int, frame: _Frame, why: str) -> None:
        """Pass a statement that may or may not be run, and name it where that matters.

        `behind` is the line the script goes on with, counted from 0.
        """
        forget_assignments(node, self._variables)
        if concerns_ipsec(node, frame.script):
            self._name_at(node, frame, why)
            return
        way = way_behind(node, behind, frame.script)
        if way.differs:
            self._name_at(node, frame, f"{why}, and other IPsec commands follow then")
        if way.jump is not None:
            raise _Jump(way.jump)

    def _for(self, node: For, frame: _Frame) -> None:
        script, line = frame.script, node.place.line
        items = self._variables.expand_late(node.items, frame.loops)
        try:
            if missing := unknowns(items) or unknowns(node.switches):
                raise UnknownLoopError(_not_known(missing))
            for one in rounds(node.switches, node.variable, items, self._files.read):
                self._limits.spend(script, line, script.lines[line - 1], 1)
                self._run(node.body, _Frame(script, frame.next_line, {**frame.loops, **one}))
        except UnknownLoopError as error:
            if concerns_ipsec(node.body, script):
                self._name_at(node, frame, f"this loop cannot be expanded: {error}")
            forget_assignments(node.body, self._variables)

    def _name_at(self, node: Node, frame: _Frame, why: str) -> None:
        """Name a statement by the line it begins on."""
        place = first_place(node)
        line = place.line
        text = frame.script.lines[line - 1]
        self._limits.name(frame.script, line, text, f"column {place.column}: {why}")

    # Commands

    def _simple(self, node: Simple, frame: _Frame) -> bool | None:
        text = self._variables.expand_late(node.text, frame.loops).strip()
        self._limits.spend(frame.script, node.place.line, text, len(text))
        return self._command(text, node, frame)

    def _command(self, text: str, node: Simple, frame: _Frame) -> bool | None:
        name, rest = split_program(text)
        variables = self._variables
        match name:
            case "echo":
                self._echo(rest, node)
            case "set":
                variables.assign(rest)
            case "setlocal":
                variables.enter(rest)
            case "endlocal":
                variables.leave()
            case "shift":
                variables.shift()
            case "goto":
                self._goto(rest, node, frame)
            case "exit":
                if rest.strip().lower().startswith("/b"):
                    raise _Jump(None)
                raise Stop
            case "call":
                return self._call(rest.strip(), node, frame)
            case "cmd" if found := _CMD_SWITCHES.match(rest):
                return self._text_as_line(_unwrapped(rest[found.end() :]), node, frame)
            case "start":
                found = _START_SWITCHES.match(rest)
                with self._limits.inside(frame.script, node.place.line):
                    return self._command(rest[found.end() if found else 0 :], node, frame)
            case _:
                return self._program(name, rest, text, node, frame)
        return True

    def _program(self, name: str, rest: str, text: str, node: Simple, frame: _Frame) -> bool | None:
        script, place = frame.script, node.place
        program = program_of(name, rest)
        if program is None and _SCRIPT_NAME.fullmatch(name):
            self._other_script(name, rest, node, frame)
            raise _Jump(None)  # a script that is not called does not come back
        if program is None and not is_doubtful(name, text):
            self._ignored += bool(name)
            self._variables.status = None
            return True if is_expected_to_succeed(name) else None
        if program is None:
            why = _doubt(name, text)
        elif missing := unknowns(rest := self._with_files(program, rest)):
            why = _not_known(missing)
        else:
            plain = readable(text)
            arguments = plain if program is Program.REG else rest.strip()
            succeeded = self._execute(
                Command(script.file, place.line, place.column, program, arguments, plain)
            )
            self._variables.status = 0 if succeeded else 1
            return succeeded
        self._limits.name(script, place.line, text, f"column {place.column}: {why}")
        self._variables.status = None
        return None

    def _echo(self, rest: str, node: Simple) -> None:
        """Keep what is written to a file: a later command may read it."""
        if node.output:
            line = "" if rest[:1] in (".", ":") and not rest[1:].strip() else rest[1:]
            name = _as_written(node.output).strip('"')
            self._files.write(name, line, append=node.appends)

    def _with_files(self, program: Program, rest: str) -> str:
        """What stands behind a program's name, with files as they are looked for here."""
        filters = program in (Program.IPSECCMD, Program.IPSECPOL)
        return (_IPSECCMD_FILE if filters else _FILE).sub(self._file_word, rest)

    def _file_word(self, found: re.Match[str]) -> str:
        """A file that the script itself wrote is known by its text, whatever that stands for."""
        switch, name = found.groups()
        if "\0" in name and self._files.read(_as_written(name)) is not None:
            return switch + _as_written(name)
        return switch + _FOLDER.sub(r"\1", name)

    def _goto(self, rest: str, node: Simple, frame: _Frame) -> None:
        name = label_of(rest)
        if name.lower() == "eof" and ":" in rest:
            raise _Jump(None)
        line = frame.script.label(name, frame.next_line - 1)
        if line is not None:
            raise _Jump(line)
        missing = unknowns(rest)
        self._name_at(node, frame, _not_known(missing) if missing else f"there is no label {name}")
        raise Stop

    def _call(self, rest: str, node: Simple, frame: _Frame) -> bool | None:
        script = frame.script
        if not rest.startswith(":"):
            name, behind = split_program(rest)
            if not _SCRIPT_NAME.fullmatch(name):
                return self._text_as_line(rest, node, frame)
            self._other_script(name, behind, node, frame)
        elif words := _ARGUMENT.findall(rest):
            line = script.label(label_of(words[0]), frame.next_line - 1)
            if line is not None:
                self._subroutine(script, line, words[1:], node, frame)
            elif words[0].lower() != ":eof":
                self._name_at(node, frame, f"there is no label {label_of(words[0])}")
                raise Stop
        status = self._variables.status
        return None if status is None else status == 0

    def _other_script(self, name: str, rest: str, node: Simple, frame: _Frame) -> None:
        text = self._files.read(name)
        if text is None:
            self._name_at(node, frame, f"{readable(name)} is not next to this file")
            return
        self._limits.allow(text.count("\n") + 1)
        self._subroutine(Script(name, text), 0, _ARGUMENT.findall(rest), node, frame)

    def _subroutine(
        self, script: Script, line: int, arguments: Sequence[str], node: Simple, frame: _Frame
    ) -> None:
        variables = self._variables
        saved, variables.arguments = variables.arguments, arguments
        variables.changes += 1
        try:
            with self._limits.inside(frame.script, node.place.line, cost=3):
                self._lines(script, line)
        finally:
            variables.arguments = saved

    def _text_as_line(self, text: str, node: Simple, frame: _Frame) -> bool | None:
        """Run a text that cmd.exe reads as a line of its own: behind `call` and `cmd /c`."""
        script, line = frame.script, node.place.line
        expanded = self._variables.expand(text)[0]
        lines = iter([(line, expanded, lambda _: node.place.column - 1)])
        with self._limits.inside(script, line, cost=2):
            self._limits.spend(script, line, text, len(expanded))
            try:
                found = Parser(lambda: next(lines, None)).statement()
            except CommandSyntaxError as error:
                self._name_at(node, frame, error.why)
                return None
            return True if found is None else self._run(found, frame)


def _as_written(name: str) -> str:
    """The text of a file's name, without the script's own folder."""
    return readable(_OWN_FOLDER.sub(r"\1", name))


def _not_known(missing: Sequence[str]) -> str:
    """Why a command that needs these cannot be carried out, and what to do."""
    what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not known"
    if all(map(_GIVEN_ARGUMENT.fullmatch, missing)):
        return f"{what}: give the script's arguments with --arg"
    return f"{what} here: set it in the script"


def _doubt(name: str, text: str) -> str:
    if "\0" in name:
        return _not_known(unknowns(text))
    if name == "netsh":
        word = next_word(split_program(text)[1])[0]
        return f'netsh knows no "{word}"' if word else "expected a command behind netsh"
    return f'expected netsh, ipseccmd, ipsecpol or reg, not "{readable(name)}"'


def _unwrapped(text: str) -> str:
    """The command behind `cmd /c`, without the quotes around it as a whole."""
    text = text.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    return text
