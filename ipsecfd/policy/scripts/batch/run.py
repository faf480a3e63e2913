"""Runs a batch file statement by statement, with bounds that no file can pass."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.command import Execute, Files, Outcome
from ipsecfd.policy.scripts.batch.commands import Commands
from ipsecfd.policy.scripts.batch.conditions import guards_deletion, holds
from ipsecfd.policy.scripts.batch.doubts import way_behind
from ipsecfd.policy.scripts.batch.effects import Effects
from ipsecfd.policy.scripts.batch.flow import Frame, Jump
from ipsecfd.policy.scripts.batch.limits import Stop
from ipsecfd.policy.scripts.batch.loops import UnknownLoopError, rounds
from ipsecfd.policy.scripts.batch.nodes import Chain, For, If, Node, Simple, first_place
from ipsecfd.policy.scripts.batch.parser import Parser
from ipsecfd.policy.scripts.batch.reasons import not_known
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError
from ipsecfd.policy.scripts.batch.script import Script, simple_commands
from ipsecfd.policy.scripts.batch.variables import LONGEST_VALUE, readable, unknowns
from ipsecfd.policy.scripts.batch.written import perhaps_written

_LOOK: Final = 20
"""Characters of text that take as long as a look at a line for where ways meet."""
_LOOK_INSIDE: Final = 100
"""And one for what its commands leave behind."""


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


class _Run(Commands):
    """One run of a script with all that it calls."""

    def __init__(
        self, execute: Execute, arguments: Sequence[str] | None, files: Files, name: str
    ) -> None:
        super().__init__(execute, arguments, files, name)
        self._been: set[tuple[str, int, int]] = set()

    def whole(self, script: Script) -> Outcome:
        """Run a script from its first line."""
        self._limits.allow(len(script.lines))
        with contextlib.suppress(Stop):
            self._lines(script, 0)
        return Outcome(tuple(self._limits.problems), self._ignored)

    def _lines(self, script: Script, line: int) -> None:
        with self._variables.scopes.of_subroutine():
            while line < len(script.lines):
                try:
                    line = self._line(script, line)
                except Jump as jump:
                    if jump.line is None:
                        break
                    if jump.line <= line:
                        self._refuse_endless_loop(script, jump.line, line)
                    line = jump.line

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
            self._variables.status = None
            return next_line
        if node is not None:
            self._run(node, Frame(script, next_line, {}))
        return next_line

    def _run(self, node: Node, frame: Frame) -> bool | None:
        if isinstance(node, Simple):
            return self._simple(node, frame)
        with self._limits.inside(frame.script, frame.next_line):
            if isinstance(node, Chain):
                return self._chain(node, frame)
            if isinstance(node, If):
                return self._if(node, frame)
            return self._for(node, frame)

    def _chain(self, node: Chain, frame: Frame) -> bool | None:
        result: bool | None = True
        if node.operator == "|":
            for one in node.parts:
                result = self._child(functools.partial(self._run, one, frame))
            return result
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

    def _if(self, node: If, frame: Frame) -> bool | None:
        condition = node.condition
        left, right = (
            self._variables.expand_late(one, frame.loops)
            for one in (condition.left, condition.right)
        )
        found = holds(condition, left, right, self._variables)
        if found is None and guards_deletion(node):
            found = True
        if found is not None:
            branch = node.then if found else node.otherwise
            return True if branch is None else self._run(branch, frame)
        why = f"only Windows knows whether {readable(str(condition))}"
        self._perhaps(node, node.last_line, frame, why)
        return None

    def _for(self, node: For, frame: Frame) -> bool | None:
        script, line = frame.script, node.place.line
        items = self._variables.expand_late(node.items, frame.loops)
        try:
            if missing := unknowns(items) or unknowns(node.switches):
                raise UnknownLoopError(not_known(missing))
            for one in rounds(node.switches, node.variable, items, self._files.read):
                self._limits.spend(script, line, script.lines[line - 1], 1)
                self._run(node.body, Frame(script, frame.next_line, {**frame.loops, **one}))
        except UnknownLoopError as error:
            behind = max(one.place.line for one in simple_commands(node))
            self._perhaps(node, behind, frame, f"this loop cannot be expanded: {error}")
            return None
        return True

    def _perhaps(self, node: Node, behind: int, frame: Frame, why: str) -> None:
        """Pass a statement that may or may not be run, and name it where that matters.

        `behind` is the line the script goes on with, counted from 0.
        """
        script = frame.script
        effects = Effects(self._variables, self.script)
        effects.add_statement(node, script, frame.loops)
        way = way_behind(node, behind, script)
        line = frame.next_line
        cost = _LOOK * way.cost + _LOOK_INSIDE * effects.looked
        self._limits.spend(script, line, script.lines[line - 1], cost)
        self._blur(effects, first_place(node).line)
        if way.differs:
            goes_on = "nothing behind it is done"
            if way.jump is not None:
                goes_on = f"goes on where the ways meet, at line {way.jump + 1}"
            why = f"{why}, and other IPsec commands follow then: {goes_on}"
        if way.differs or effects.ipsec:
            self._name_at(node, frame, why)
        if way.differs or way.jump is not None:
            raise Jump(way.jump)

    def _blur(self, effects: Effects, line: int) -> None:
        """Forget what these may have changed; `line` is where that is decided."""
        variables = self._variables
        variables.status = None
        for options in effects.scopes:
            variables.enter(options, certain=False)
        if effects.leaves:
            variables.leave(certain=False)
        for name in effects.names:
            variables.forget(name)
        if effects.shifts:
            variables.arguments = variables.arguments.perhaps_shifted()
        for one in effects.outputs:
            text = perhaps_written(one.text, line)
            self._write_to(one.file, text, append=one.appends)
