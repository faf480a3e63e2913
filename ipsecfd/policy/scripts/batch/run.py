"""Runs a batch file statement by statement, with bounds that no file can pass."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.command import Command, Execute, Files, Outcome
from ipsecfd.policy.scripts.batch.commands import Commands
from ipsecfd.policy.scripts.batch.conditions import guards_deletion, holds, possible, upon_success
from ipsecfd.policy.scripts.batch.doubts import (
    Way,
    is_guard,
    leaves_upon_success,
    targets,
    way_behind,
)
from ipsecfd.policy.scripts.batch.effects import Effects
from ipsecfd.policy.scripts.batch.flow import Frame, Jump
from ipsecfd.policy.scripts.batch.limits import Stop
from ipsecfd.policy.scripts.batch.loops import UnknownLoopError, rounds
from ipsecfd.policy.scripts.batch.nodes import (
    Chain,
    For,
    If,
    Node,
    Simple,
    first_place,
    simple_commands,
)
from ipsecfd.policy.scripts.batch.parser import Parser
from ipsecfd.policy.scripts.batch.programs import Program
from ipsecfd.policy.scripts.batch.reasons import not_known
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError
from ipsecfd.policy.scripts.batch.script import Script, falls_through
from ipsecfd.policy.scripts.batch.variables import LONGEST_VALUE, readable, unknowns
from ipsecfd.policy.scripts.batch.written import perhaps_written

_LOOK: Final = 100
"""Characters of text that take as long as a look at a line for what it may leave behind."""


def run(
    text: str,
    file: str,
    execute: Execute,
    *,
    files: Files,
    arguments: Sequence[str] | None = None,
) -> Outcome:
    """Run a batch file; `arguments` are its %1, %2 and so on, None when nobody gave any."""
    return _Run(execute, arguments, files, file).whole(file, text)


class _Run(Commands):
    """One run of a script with all that it calls."""

    def __init__(
        self, execute: Execute, arguments: Sequence[str] | None, files: Files, name: str
    ) -> None:
        super().__init__(execute, arguments, files, name)
        self._been: set[tuple[str, int, int]] = set()

    def whole(self, file: str, text: str) -> Outcome:
        """Run a script from its first line."""
        script = Script(file, text, self._others.lead_to_ipsec)
        self._limits.allow(script.end)
        with contextlib.suppress(Stop):
            self._lines(script, 0)
        return Outcome(tuple(self._limits.problems), self._ignored)

    def _lines(self, script: Script, line: int) -> None:
        with self._variables.scopes.of_subroutine():
            while line < script.end:
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
            if next_line == script.end:
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
                self._perhaps(rest, behind, frame, why, success=node.operator == "&&")
                break
            result = self._run(one, frame.before(node.parts, number + 1, frame.loops))
        return result

    def _if(self, node: If, frame: Frame) -> bool | None:
        condition = node.condition
        left, right = (
            self._variables.expand_late(one, frame.loops)
            for one in (condition.left, condition.right)
        )
        found = holds(condition, left, right, self._variables)
        if found is None and guards_deletion(node):
            found = not condition.negated
        if found is not None:
            branch = node.then if found else node.otherwise
            return True if branch is None else self._run(branch, frame)
        why = f"only Windows knows whether {readable(str(condition))}"
        self._perhaps(node, node.last_line, frame, why, success=upon_success(condition))
        return None

    def _for(self, node: For, frame: Frame) -> bool | None:
        script, line = frame.script, node.place.line
        items = self._variables.expand_late(node.items, frame.loops)
        try:
            if missing := unknowns(items) or unknowns(node.switches):
                raise UnknownLoopError(not_known(missing))
            for one in rounds(node.switches, node.variable, items, self._files.read):
                self._limits.spend(script, line, script.lines[line - 1], 1)
                self._run(node.body, frame.before((node,), 0, {**frame.loops, **one}))
        except UnknownLoopError as error:
            behind = max(one.place.line for one in simple_commands(node))
            self._perhaps(node, behind, frame, f"this loop cannot be expanded: {error}")
            return None
        return True

    def _perhaps(
        self, node: Node, behind: int, frame: Frame, why: str, *, success: bool | None = None
    ) -> None:
        """Pass a statement that may or may not be run, and name it where that matters.

        `behind` is the line the script goes on with, counted from 0; `success` says whether the
        statement is for when the command before it succeeds, or fails.
        """
        script, line = frame.script, frame.next_line
        effects = Effects(self._variables, self._others)
        later = Effects(self._variables, self._others)
        branches = possible(node, self._variables)
        effects.add_statement(branches, script, frame.loops)
        way = self._way(branches, behind, frame, later, success)
        cost = _LOOK * (effects.looked + later.looked)
        self._limits.spend(script, line, script.lines[line - 1], cost)
        if effects.status or later.status:
            self._variables.status = None
        branch = branches.then if isinstance(branches, If) and not branches.otherwise else branches
        if way is not None or falls_through(branch):  # what a guard does ends with the script
            self._blur(effects, node, frame)
        if way is None:
            if effects.ipsec:
                self._name_at(node, frame, why)
            return
        self._blur(later, node, frame)
        at_end = way.line == script.end
        if later.ipsec or not way.known:
            where = f"goes on where the ways meet, at line {way.line + 1}"
            where = "nothing behind it is done" if at_end else where
            why = f"{why}, and other IPsec commands follow then: {where}"
        if later.ipsec or effects.ipsec or not way.known:
            self._name_at(node, frame, why)
        raise Jump(None if at_end else way.line)

    def _way(
        self, node: Node, behind: int, frame: Frame, later: Effects, success: bool | None
    ) -> Way | None:
        """How the script goes on behind a statement that may or may not jump; None as if not.

        What is perhaps done before it comes there is added to `later`.
        """
        script, called = frame.script, self._callers > 0
        jumps = self._targets(node, frame, frame.loops)
        goes_on: set[int | None] = set()
        every = self._carried_out and leaves_upon_success(jumps, behind, script, success=success)
        if not isinstance(node, If) or falls_through(node):
            guard = not every and is_guard(jumps, behind, script, called=called)
            if guard or not jumps:
                return None
            goes_on.add(behind)
            for one, loops in frame.rest(behind):
                later.add_statement(one, script, loops)
                goes_on |= self._targets(one, frame, loops)
        way = way_behind(jumps, goes_on, script, ipsec=later.ipsec, called=called, every=every)
        if way is not None:
            later.add_lines(script, way.passed)
        return way

    def _targets(self, node: Node, frame: Frame, loops: Mapping[str, str]) -> set[int | None]:
        return targets(node, frame.script, lambda text: self._variables.expand_late(text, loops))

    def _blur(self, effects: Effects, node: Node, frame: Frame) -> None:
        """Forget what these may have changed, by a statement or behind it."""
        variables, place = self._variables, first_place(node)
        for options in effects.scopes:
            variables.enter(options, certain=False)
        if effects.leaves:
            variables.leave(certain=False)
        for name in effects.names:
            variables.forget(name)
        if effects.shifts:
            variables.arguments = variables.arguments.perhaps_shifted()
        for one in effects.outputs:
            text = perhaps_written(one.text, place.line)
            self._write_to(one.file, text, append=one.appends)
        if effects.stops:
            file, text = frame.script.file, frame.script.lines[place.line - 1].strip()
            where = file, place.line, place.column
            self._execute(Command(*where, Program.SERVICE, "", text, certain=False))
