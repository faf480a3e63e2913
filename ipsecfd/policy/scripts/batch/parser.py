"""The grammar of cmd.exe: from the lines of a batch file to one statement at a time (spec 8.1).

As cmd.exe does, a line is expanded by whoever runs the script before it is read here, and a block
in parentheses or a caret at the end of a line asks for the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from ipsecfd.policy.scripts.batch.nodes import (
    COMPARISONS,
    Chain,
    Condition,
    For,
    If,
    Node,
    Simple,
    redirected,
)
from ipsecfd.policy.scripts.batch.scanner import PLAIN, QUOTED, Scanner
from ipsecfd.policy.scripts.batch.variables import readable

DEEPEST: Final = 30
"""Parentheses, `if` and `for` inside one another."""

_LOOP: Final = re.compile(r"%(\S)\s+in\s*\(", re.IGNORECASE)


class Parser(Scanner):
    """Reads one statement; take a new one for the next."""

    def statement(self) -> Node | None:
        """The next statement; None for a line that does nothing. Raises CommandSyntaxError."""
        if not self._advance():
            return None
        self._skip_blanks()
        if self._peek() == ")":  # outside a block cmd.exe takes no notice of the whole line
            return None
        found = self._sequence(in_block=False)
        self._skip_blanks()
        if self._peek() not in ("\n", ""):
            raise self._mistake("expected & or the end of the line behind a block")
        return found

    def _sequence(self, *, in_block: bool) -> Node | None:
        return self._chain("&", self._alternatives, in_block)

    def _alternatives(self, in_block: bool) -> Node | None:
        return self._chain("||", self._conjunction, in_block)

    def _conjunction(self, in_block: bool) -> Node | None:
        return self._chain("&&", self._pipe, in_block)

    def _pipe(self, in_block: bool) -> Node | None:
        return self._chain("|", self._command, in_block)

    def _chain(
        self, operator: str, part: Callable[[bool], Node | None], in_block: bool
    ) -> Node | None:
        parts = [part(in_block)]
        while self._takes(operator):
            parts.append(part(in_block))
        found = [one for one in parts if one is not None]
        if len(found) < 2:
            return found[0] if found else None
        return Chain(operator, tuple(found))

    def _takes(self, operator: str) -> bool:
        self._skip_blanks()
        if not self._text.startswith(operator, self._at):
            return False
        after = self._text[self._at + len(operator) : self._at + len(operator) + 1]
        if len(operator) == 1 and after == operator:
            return False
        self._at += len(operator)
        return True

    def _command(self, in_block: bool) -> Node | None:
        self._skip_blanks()
        while self._peek() == "@":
            self._at += 1
            self._skip_blanks()
        here = self._peek()
        if here == ":" or not here:
            self._skip_line()
            return None
        if here == "(":
            return self._block()
        name = self._word_ahead().partition("/")[0]
        if name == "rem":
            self._skip_line()
            return None
        if name == "if":
            return self._nested(self._if, in_block)
        if name == "for" and (loop := _LOOP.search(self._text, self._at)):
            switches = self._text[self._at + 3 : loop.start()].strip()
            if not switches or switches.startswith("/"):
                return self._nested(lambda block: self._for(switches, loop, block), in_block)
        return self._simple(in_block)

    def _nested(self, parse: Callable[[bool], Node | None], in_block: bool) -> Node | None:
        self._depth += 1
        if self._depth > DEEPEST:
            raise self._mistake(f"expected at most {DEEPEST} blocks inside one another")
        try:
            return parse(in_block)
        finally:
            self._depth -= 1

    def _block(self) -> Node | None:
        return self._nested(lambda _: self._lines_of_block(), in_block=True)

    def _lines_of_block(self) -> Node | None:
        start = self._place()
        self._at += 1
        parts: list[Node] = []
        while True:
            self._skip_blanks()
            here = self._peek()
            if here == ")":
                self._at += 1
                break
            if here in ("\n", ""):
                if not self._advance():
                    raise self._mistake('expected ")" for this "(" before the file ends', start)
                continue
            before = (self._number, self._at)
            one = self._sequence(in_block=True)
            if one is not None:
                parts.append(one)
            if (self._number, self._at) == before:  # an operator that nothing stands before
                found = readable(self._text[self._at :].split(maxsplit=1)[0])
                raise self._mistake(f'expected a command, not "{found}"')
        output, appends = self._redirections()
        if output:
            # What makes the file anew, or not, and all of the block adds to it.
            first = Simple(start, "echo.", output, appends)
            parts = [first, *(redirected(one, output) for one in parts)]
        if len(parts) < 2:
            return parts[0] if parts else None
        return Chain("&", tuple(parts))

    def _if(self, in_block: bool) -> Node | None:
        place = self._place()
        self._at += 2
        condition = self._condition()
        then, closed = self._branch(in_block)
        otherwise = None
        if closed:
            self._skip_blanks()
            if self._word_ahead() == "else":
                self._at += 4
                otherwise = self._branch(in_block)[0]
        if then is None and otherwise is None:
            return None
        return If(place, condition, then or Chain("&", ()), otherwise, self._number)

    def _branch(self, in_block: bool) -> tuple[Node | None, bool]:
        """A branch of an `if`, and whether it was one block, which an `else` may follow."""
        self._skip_blanks()
        if self._peek() == "(":
            return self._block(), True
        return self._sequence(in_block=in_block), False

    def _condition(self) -> Condition:
        negated = ignore_case = False
        while True:
            self._skip_blanks()
            word = self._word_ahead()
            if word == "not":
                negated = not negated
            elif word == "/i":
                ignore_case = True
            else:
                break
            self._at += len(word)
        if word in ("defined", "exist", "errorlevel", "cmdextversion"):
            self._at += len(word)
            return Condition(word, self._side(), "", negated, ignore_case)
        left = self._side()
        self._skip_blanks_but_equals()
        if self._text.startswith("==", self._at):
            self._at += 2
            return Condition("==", left, self._side(), negated, ignore_case)
        operator = self._word_ahead()
        if operator.upper() not in COMPARISONS:
            raise self._mistake(
                f"expected a comparison such as == or EQU behind if {readable(left)}".rstrip()
            )
        self._at += len(operator)
        return Condition(operator.upper(), left, self._side(), negated, ignore_case)

    def _for(self, switches: str, loop: re.Match[str], in_block: bool) -> Node | None:
        place = self._place()
        self._at = loop.end()
        items = self._items(place)
        self._skip_blanks()
        if self._word_ahead() != "do":
            raise self._mistake("expected do behind the list of a for loop")
        self._at += 2
        body = self._sequence(in_block=in_block)
        if body is None:
            return None
        return For(place, switches, loop[1], items, body)

    def _simple(self, in_block: bool) -> Node | None:
        place = self._place()
        pieces: list[str] = []
        output, appends = "", False
        while True:
            here = self._peek()
            if here == '"':
                found = QUOTED.match(self._text, self._at)
                assert found is not None
                pieces.append(found[0])
                self._at = found.end()
            elif found := PLAIN.match(self._text, self._at):
                pieces.append(found[0])
                self._at = found.end()
            elif here == "^":
                pieces.append(self._escaped())
            elif here in "<>" and here:
                handle = _drop_handle(pieces)
                self._at += 1
                name, more = self._redirection()
                if here == ">" and handle in ("", "1") and name:
                    output, appends = name, more
            elif here == ")" and not in_block:
                pieces.append(here)
                self._at += 1
            else:
                break
        text = "".join(pieces).lstrip()
        return Simple(place, text, output, appends) if text else None


def _drop_handle(pieces: list[str]) -> str:
    """Take the handle off the text before a redirection, as the 2 of ` 2>nul`."""
    if not pieces:
        return ""
    found = re.search(r"(?:^|[\s=,;])([0-9])$", pieces[-1])
    if found is None:
        return ""
    pieces[-1] = pieces[-1][: found.start(1)]
    return found[1]
