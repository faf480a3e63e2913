"""Single commands of a batch file: those of cmd.exe itself, and those that are carried out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.command import Command, Execute, Files
from ipsecfd.policy.scripts.batch.flow import Exit, Frame, Jump
from ipsecfd.policy.scripts.batch.limits import Limits, Stop
from ipsecfd.policy.scripts.batch.named import as_written, deleted, with_files
from ipsecfd.policy.scripts.batch.nodes import Node, Simple, first_place
from ipsecfd.policy.scripts.batch.parser import Parser
from ipsecfd.policy.scripts.batch.programs import (
    Program,
    is_doubtful,
    is_expected_to_succeed,
    label_of,
    program_of,
    split_program,
)
from ipsecfd.policy.scripts.batch.reasons import doubt, not_known
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError
from ipsecfd.policy.scripts.batch.script import Script
from ipsecfd.policy.scripts.batch.variables import Variables, readable, unknowns

_CMD_SWITCHES: Final = re.compile(r"(?:\s*/[abd-jl-z]\w*(?::\w+)?)*\s*/[ck]\s*", re.IGNORECASE)
_START_SWITCHES: Final = re.compile(
    r'\s*(?:"[^"]*"?)?(?:\s*/(?:d\s*(?:"[^"]*"|\S+)|(?:node|affinity|machine)\s+\S+|[a-z]+))*\s*',
    re.IGNORECASE,
)
_SCRIPT_NAME: Final = re.compile(r".*\.(?:bat|cmd)", re.IGNORECASE)
_ARGUMENT: Final = re.compile(r'(?:"[^"]*"?|[^\s,;="])+')
_EXIT: Final = re.compile(r"\s*(/b\b)?\s*(.*)", re.IGNORECASE | re.DOTALL)
_STATUS: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)


class Commands(ABC):
    """Does one command after another; what they stand in is the subclass's.

    Each method for a statement returns whether it succeeded, None where only Windows knows.
    """

    def __init__(
        self, execute: Execute, arguments: Sequence[str] | None, files: Files, name: str
    ) -> None:
        self._execute = execute
        self._files = files
        self._variables = Variables(name, arguments)
        self._limits = Limits()
        self._ignored = 0

    @abstractmethod
    def _lines(self, script: Script, line: int) -> None:
        """Run lines up to the end of the file or subroutine."""

    @abstractmethod
    def _run(self, node: Node, frame: Frame) -> bool | None:
        """Run any statement."""

    def _name_at(self, node: Node, frame: Frame, why: str) -> None:
        """Name a statement by the line it begins on; what it leaves behind is not known."""
        place = first_place(node)
        text = frame.script.lines[place.line - 1]
        self._limits.name(frame.script, place.line, text, f"column {place.column}: {why}")
        self._variables.status = None

    def _simple(self, node: Simple, frame: Frame) -> bool | None:
        text = self._variables.expand_late(node.text, frame.loops).strip()
        self._limits.spend(frame.script, node.place.line, text, len(text))
        return self._command(text, node, frame)

    def _command(self, text: str, node: Simple, frame: Frame) -> bool | None:
        name, rest = split_program(text)
        variables = self._variables
        match name:
            case "echo":
                self._echo(rest, node)
            case "del" | "erase":
                for one in deleted(rest):
                    self._files.delete(one)
                return self._program(name, rest, text, node, frame)
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
                self._exit(rest)
            case "call":
                return self._call(rest.strip(), node, frame)
            case "cmd" if found := _CMD_SWITCHES.match(rest):
                return self._child(_unwrapped(rest[found.end() :]), node, frame)
            case "start":
                found = _START_SWITCHES.match(rest)
                return self._child(rest[found.end() if found else 0 :], node, frame)
            case _:
                return self._program(name, rest, text, node, frame)
        return True

    def _program(self, name: str, rest: str, text: str, node: Simple, frame: Frame) -> bool | None:
        script, place = frame.script, node.place
        program = program_of(name, rest)
        if program is None and _SCRIPT_NAME.fullmatch(name):
            self._other_script(name, rest, node, frame)
            raise Jump(None)  # a script that is not called does not come back
        if program is None and not is_doubtful(name, text):
            self._ignored += bool(name)
            self._variables.status = None
            return True if is_expected_to_succeed(name) else None
        if program is None:
            why = doubt(name, text)
        elif missing := unknowns(rest := with_files(program, rest, self._files)):
            why = not_known(missing)
        else:
            plain = readable(text)
            arguments = plain if program is Program.REG else rest.strip()
            succeeded = self._execute(
                Command(script.file, place.line, place.column, program, arguments, plain)
            )
            self._variables.status = None if succeeded is None else int(not succeeded)
            return succeeded
        self._limits.name(script, place.line, text, f"column {place.column}: {why}")
        self._variables.status = None
        return None

    def _echo(self, rest: str, node: Simple) -> None:
        """Keep what is written to a file: a later command may read it."""
        if node.output:
            line = "" if rest[:1] in (".", ":") and not rest[1:].strip() else rest[1:]
            name = as_written(node.output).strip('"')
            self._files.write(name, line, append=node.appends)

    def _goto(self, rest: str, node: Simple, frame: Frame) -> None:
        name = label_of(rest)
        if name.lower() == "eof" and ":" in rest:
            raise Jump(None)
        line = frame.script.label(name, frame.next_line - 1)
        if line is not None:
            raise Jump(line)
        missing = unknowns(rest)
        self._name_at(node, frame, not_known(missing) if missing else f"there is no label {name}")
        raise Stop

    def _exit(self, rest: str) -> None:
        """`exit` and `exit /b`, with the error level that may stand behind them."""
        found = _EXIT.match(rest)
        assert found is not None
        only_script, status = found.groups()
        if status.strip():
            known = _STATUS.fullmatch(status.strip())
            self._variables.status = int(known[0]) if known else None
        raise Jump(None) if only_script else Exit

    def _call(self, rest: str, node: Simple, frame: Frame) -> bool | None:
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
        return self._variables.succeeded

    def _other_script(self, name: str, rest: str, node: Simple, frame: Frame) -> None:
        text = self._files.read(name)
        if text is None:
            self._name_at(node, frame, f"{readable(name)} is not next to this file")
            return
        self._limits.allow(text.count("\n") + 1)
        self._subroutine(Script(name, text), 0, _ARGUMENT.findall(rest), node, frame)

    def _subroutine(
        self, script: Script, line: int, arguments: Sequence[str], node: Simple, frame: Frame
    ) -> None:
        variables = self._variables
        saved, variables.arguments = variables.arguments, arguments
        variables.changes += 1
        try:
            with self._limits.inside(frame.script, node.place.line, cost=3):
                self._lines(script, line)
        finally:
            variables.arguments = saved

    def _child(self, text: str, node: Simple, frame: Frame) -> bool | None:
        """Run a text in a cmd.exe of its own, which it alone ends."""
        try:
            return self._text_as_line(text, node, frame)
        except (Exit, Jump):
            return self._variables.succeeded

    def _text_as_line(self, text: str, node: Simple, frame: Frame) -> bool | None:
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


def _unwrapped(text: str) -> str:
    """The command behind `cmd /c`, without the quotes around it as a whole."""
    text = text.strip()
    if len(text) > 1 and text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    return text
