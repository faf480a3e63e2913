"""Single commands of a batch file: those of cmd.exe itself, and those that are carried out."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.arguments import Arguments, words
from ipsecfd.policy.scripts.batch.command import Command, Execute, Files
from ipsecfd.policy.scripts.batch.flow import Exit, Frame, Jump
from ipsecfd.policy.scripts.batch.limits import Limits, Stop
from ipsecfd.policy.scripts.batch.named import (
    as_written,
    deleted,
    with_files,
    without_folder,
)
from ipsecfd.policy.scripts.batch.nodes import Node, Simple, first_place
from ipsecfd.policy.scripts.batch.others import Other, Others
from ipsecfd.policy.scripts.batch.parser import Parser
from ipsecfd.policy.scripts.batch.programs import (
    Program,
    child_text,
    is_doubtful,
    is_expected_to_succeed,
    is_known,
    label_of,
    next_word,
    prints_nothing,
    program_of,
    split_program,
)
from ipsecfd.policy.scripts.batch.reasons import doubt, not_known
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError
from ipsecfd.policy.scripts.batch.script import Script
from ipsecfd.policy.scripts.batch.variables import Variables, readable, unknowns
from ipsecfd.policy.scripts.batch.written import is_certain, printed_by

_DEVICES: Final = ("nul", "con", "prn")
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
        self._variables = Variables(Arguments.given(name, arguments))
        self._limits = Limits()
        self._ignored = 0
        self._others = Others(files, self._variables)
        self._carried_out = False
        """Whether an IPsec command was."""
        self._callers = 0
        """How many scripts and subroutines wait for this one to come back."""

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
        text = self._variables.expand_late(node.text, frame.loops).lstrip()
        scopes = self._variables.scopes
        self._limits.spend(frame.script, node.place.line, text, len(text) + scopes.work)
        scopes.work = 0
        return self._command(text, node, frame)

    def _command(self, text: str, node: Simple, frame: Frame) -> bool | None:
        name, rest = split_program(text)
        variables = self._variables
        if node.output and name != "echo":
            self._write(node, self._printed(name, rest))
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
                variables.shift(rest)
            case "goto":
                self._goto(rest, node, frame)
            case "exit":
                self._exit(rest)
            case "call":
                return self._call(rest.lstrip(), node, frame)
            case _ if (inner := child_text(name, rest)) is not None:
                return self._child(lambda: self._text_as_line(inner, node, frame))
            case _:
                return self._program(name, rest, text, node, frame)
        return True

    def _program(self, name: str, rest: str, text: str, node: Simple, frame: Frame) -> bool | None:
        script, place = frame.script, node.place
        program = program_of(name, rest)
        if other := self._others.find(text, expected=False):
            self._other_script(other, rest, node, frame)
            raise Jump(None)  # a script that is not called does not come back
        if program is None and not is_doubtful(name, text):
            self._ignored += bool(name)
            self._variables.status = None
            return True if is_expected_to_succeed(name) else None
        if program is None:
            why = doubt(name, text)
        elif program is Program.REG_FILE and (doubtful := self._doubtful_file(rest)):
            why = f"only Windows knows all the lines of {doubtful}"
        elif missing := unknowns(rest := with_files(program, rest, self._files)):
            why = not_known(missing)
        else:
            plain = readable(text).strip()
            arguments = plain if program is Program.REG else rest.strip()
            succeeded = self._execute(
                Command(script.file, place.line, place.column, program, arguments, plain)
            )
            self._carried_out = True
            self._variables.status = None if succeeded is None else int(not succeeded)
            return succeeded
        self._limits.name(script, place.line, text, f"column {place.column}: {why}")
        self._variables.status = None
        return None

    def _doubtful_file(self, rest: str) -> str:
        """A file behind a program's name of which not all lines are certain; empty for none."""
        for name in map(as_written, words(rest)):
            text = self._files.read(name.strip('"'))
            if text is not None and not is_certain(text):
                return name
        return ""

    def _echo(self, rest: str, node: Simple) -> None:
        empty = rest[:1] in (".", ":") and not rest[1:].strip()
        self._write(node, "" if empty else rest[1:])

    def _printed(self, name: str, rest: str) -> str:
        """What a command other than `echo` writes to a file."""
        file, more = next_word(rest)
        if name == "type" and not more.strip() and file.lower() not in _DEVICES:
            text = self._files.read(as_written(file))
            return printed_by(name) if text is None else text.removesuffix("\n")
        return "" if prints_nothing(name, rest) else printed_by(name)

    def _write(self, node: Simple, line: str) -> None:
        """Keep what a command writes to a file: a later one may read it."""
        if node.output:
            self._write_to(as_written(node.output).strip('"'), line, append=node.appends)

    def _write_to(self, name: str, line: str, *, append: bool) -> None:
        if name.lower() not in _DEVICES:
            self._files.write(name, line, append=append)
            if name.lower().endswith((".bat", ".cmd")):
                self._others.changed()

    def _goto(self, rest: str, node: Simple, frame: Frame) -> None:
        name = label_of(rest)
        if name.lower() == "eof" and ":" in rest:
            raise Jump(None)
        line = frame.script.label(name, frame.next_line - 1)
        if line is not None:
            raise Jump(line)
        self._no_label(rest, node, frame)

    def _no_label(self, rest: str, node: Simple, frame: Frame) -> None:
        why = f"there is no label {label_of(rest)}"
        self._name_at(node, frame, not_known(missing) if (missing := unknowns(rest)) else why)
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

    def _call(self, text: str, node: Simple, frame: Frame) -> bool | None:
        script = frame.script
        rest = self._variables.expand(text)[0]  # for the second time, as cmd.exe does
        if not rest.startswith(":"):
            name, behind = split_program(rest)
            other = self._others.find(rest, expected=not is_known(name))
            if other is None and name.endswith("\0"):
                self._name_at(node, frame, not_known(unknowns(rest)))
                return None
            if other is None:
                return self._text_as_line(text, node, frame)
            self._other_script(other, behind, node, frame)
        elif found := words(rest):
            label = found[0]
            line = script.label(label_of(label), frame.next_line - 1)
            if line is not None:
                arguments = Arguments.called(label, rest[len(label) :])
                self._subroutine(script, line, arguments, node, frame)
            elif label.lower() != ":eof":
                self._no_label(label, node, frame)
        return self._variables.succeeded

    def _other_script(self, other: Other, rest: str, node: Simple, frame: Frame) -> None:
        if other.text is None:
            name = without_folder(other.name)
            missing = unknowns(name)
            why = not_known(missing) if missing else f"{name} is not next to this file"
            self._name_at(node, frame, why)
            return
        if not is_certain(other.text):
            self._name_at(node, frame, f"only Windows knows all the lines of {other.name}")
            return
        script = self._others.script(other.name, other.text)
        self._limits.allow(script.end)
        self._subroutine(script, 0, Arguments.called(other.name, rest), node, frame)

    def _subroutine(
        self, script: Script, line: int, arguments: Arguments, node: Simple, frame: Frame
    ) -> None:
        variables = self._variables
        saved, variables.arguments = variables.arguments, arguments
        variables.changes += 1
        self._callers += 1
        try:
            with self._limits.inside(frame.script, node.place.line, cost=3):
                self._lines(script, line)
        finally:
            variables.arguments = saved
            self._callers -= 1

    def _child(self, run: Callable[[], bool | None]) -> bool | None:
        """Run something in a cmd.exe of its own, which it alone ends, and changes variables of."""
        with self._variables.of_child():
            try:
                return run()
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
