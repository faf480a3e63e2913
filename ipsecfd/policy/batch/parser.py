"""The grammar of cmd.exe: from the lines of a batch file to one statement at a time (spec 8.1).

As cmd.exe does, a line is expanded by whoever runs the script before it is read here, and a block
in parentheses or a caret at the end of a line asks for the next one.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from ipsecfd.errors import IpsecfdError

LONGEST_STATEMENT: Final = 1 << 20
"""Characters; what one pair of parentheses may hold."""
DEEPEST: Final = 30
"""Parentheses, `if` and `for` inside one another."""

_BLANKS: Final = " \t\v\f,;=\xa0"
_NAME_ENDS: Final = ' \t\v\f,;=&|<>()\n"'
_MARK: Final = re.compile("\0[^\0\n]*\0")  # see `variables.unknown`
_PLAIN: Final = re.compile(r'(?:[^"^&|<>)\n\0]+|\0[^\0\n]*\0)+')
_QUOTED: Final = re.compile(r'"[^"\n]*"?')
_LOOP: Final = re.compile(r"%(\S)\s+in\s*\(", re.IGNORECASE)
_REDIRECTION: Final = re.compile(r"[0-9]?[<>]")
_COMPARISONS: Final = ("EQU", "NEQ", "LSS", "LEQ", "GTR", "GEQ")


class CommandSyntaxError(IpsecfdError):
    """What cmd.exe would not understand either."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(f"line {line}, column {column}: {why}")
        self.line = line
        self.column = column
        self.why = why


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement begins in its file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Simple:
    """One command with its arguments, without carets and redirections; quotes are kept."""

    place: Place
    text: str
    output: str = ""
    """The file its output goes to; empty for none that matters."""
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """Statements between `&`, `|`, `&&` or `||`, or the lines of a block (as `&`)."""

    operator: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """What an `if` asks; `kind` is its word, or the operator between two sides."""

    kind: str
    left: str
    right: str = ""
    negated: bool = False
    ignore_case: bool = False

    def __str__(self) -> str:
        if self.kind in ("==", *_COMPARISONS):
            return f"{self.left} {self.kind} {self.right}"
        return f"{self.kind} {self.left}"


@dataclass(frozen=True, slots=True)
class If:
    """A condition, what is done when it holds, and what otherwise."""

    place: Place
    condition: Condition
    then: Node
    otherwise: Node | None
    last_line: int


@dataclass(frozen=True, slots=True)
class For:
    """A loop; `switches` is empty for a plain list."""

    place: Place
    switches: str
    variable: str
    items: str
    body: Node


Node: TypeAlias = Simple | Chain | If | For

NextLine: TypeAlias = Callable[[], tuple[int, str, Callable[[int], int]] | None]
"""The next line, expanded: its number, its text, and where a column of it was before. None at the
end of the file."""


class Parser:
    """Reads one statement; take a new one for the next."""

    def __init__(self, next_line: NextLine) -> None:
        self._next_line = next_line
        self._text = ""
        self._at = 0
        self._number = 0
        self._column: Callable[[int], int] = lambda at: at
        self._depth = 0
        self._read = 0

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

    # Lines and characters

    def _advance(self) -> bool:
        found = self._next_line()
        if found is None:
            return False
        self._number, text, self._column = found
        self._text = f"{text}\n"
        self._at = 0
        self._read += len(text) + 1
        if self._read > LONGEST_STATEMENT:
            raise self._mistake(f"expected a block of at most {LONGEST_STATEMENT:,} characters")
        return True

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _place(self) -> Place:
        return Place(self._number, self._column(self._at) + 1)

    def _mistake(self, why: str, place: Place | None = None) -> CommandSyntaxError:
        place = place or self._place()
        return CommandSyntaxError(place.line, place.column, why)

    def _skip_blanks(self) -> None:
        while True:
            while self._peek() and self._peek() in _BLANKS:
                self._at += 1
            if not self._text.startswith("^\n", self._at) or not self._advance():
                return

    # Statements

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

    def _word_ahead(self) -> str:
        end = self._at
        while end < len(self._text) and self._text[end] not in _NAME_ENDS:
            end += 1
        return self._text[self._at : end].lower()

    def _skip_line(self) -> None:
        self._at = max(len(self._text) - 1, 0)

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
                raise self._mistake(f'expected a command, not "{here}"')
        self._redirections()
        if len(parts) < 2:
            return parts[0] if parts else None
        return Chain("&", tuple(parts))

    def _redirections(self) -> None:
        """Skip the redirections behind a block; where its output goes does not matter."""
        self._skip_blanks()
        while found := _REDIRECTION.match(self._text, self._at):
            self._at = found.end()
            self._redirection()
            self._skip_blanks()

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
        if operator.upper() not in _COMPARISONS:
            raise self._mistake(
                f"expected a comparison such as == or EQU behind if {left}".rstrip()
            )
        self._at += len(operator)
        return Condition(operator.upper(), left, self._side(), negated, ignore_case)

    def _skip_blanks_but_equals(self) -> None:
        while self._peek() in (" ", "\t"):
            self._at += 1

    def _side(self) -> str:
        """One side of a comparison: up to a blank or `==` outside quotes."""
        self._skip_blanks_but_equals()
        side = ""
        while True:
            here = self._peek()
            if here == '"':
                found = _QUOTED.match(self._text, self._at)
                assert found is not None
                side += found[0]
                self._at = found.end()
            elif mark := _MARK.match(self._text, self._at):
                side += mark[0]
                self._at = mark.end()
            elif here in ("", "\n", " ", "\t") or self._text.startswith("==", self._at):
                return side
            elif here == "^":
                side += self._text[self._at + 1 : self._at + 2].strip("\n")
                self._at = min(self._at + 2, len(self._text) - 1)
            elif here in "(&|" and side:
                return side
            else:
                side += here
                self._at += 1

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

    def _items(self, place: Place) -> str:
        """The list of a loop, up to its closing parenthesis; lines of it are as good as blanks."""
        pieces: list[str] = []
        while True:
            here = self._peek()
            if found := _QUOTED.match(self._text, self._at) or _PLAIN.match(self._text, self._at):
                pieces.append(found[0])
                self._at = found.end()
            elif here == ")":
                self._at += 1
                return "".join(pieces)
            elif here in ("", "\n"):
                pieces.append(" ")
                if not self._advance():
                    raise self._mistake('expected ")" behind the list of this loop', place)
            else:
                at = self._at + (here == "^" and self._text[self._at + 1] != "\n")
                pieces.append("" if self._text[at] == "^" else self._text[at])
                self._at = at + 1

    def _simple(self, in_block: bool) -> Node | None:
        place = self._place()
        pieces: list[str] = []
        output, appends = "", False
        while True:
            here = self._peek()
            if here == '"':
                found = _QUOTED.match(self._text, self._at)
                assert found is not None
                pieces.append(found[0])
                self._at = found.end()
            elif found := _PLAIN.match(self._text, self._at):
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
        text = "".join(pieces).strip()
        return Simple(place, text, output, appends) if text else None

    def _escaped(self) -> str:
        """The character behind a caret; at the end of a line, the first one of the next line."""
        self._at += 1
        if self._peek() == "\n":
            if not self._advance():
                return ""
            if self._peek() == "\n":  # the line behind is empty: nothing is joined
                return ""
        one = self._peek()
        self._at += len(one)
        return one

    def _redirection(self) -> tuple[str, bool]:
        """The file behind `<` or `>`, and whether it is `>>`; empty for `>&1`."""
        appends = self._peek() == ">"
        self._at += appends
        if self._peek() == "&":
            self._at += 2
            self._at = min(self._at, len(self._text) - 1)
            return "", appends
        self._skip_blanks_but_equals()
        name = ""
        while True:
            if found := _QUOTED.match(self._text, self._at):
                name += found[0]
                self._at = found.end()
            elif self._peek() and self._peek() not in _NAME_ENDS:
                name += self._peek()
                self._at += 1
            else:
                return name, appends


def _drop_handle(pieces: list[str]) -> str:
    """Take the handle off the text before a redirection, as the 2 of ` 2>nul`."""
    if not pieces:
        return ""
    found = re.search(r"(?:^|[\s=,;])([0-9])$", pieces[-1])
    if found is None:
        return ""
    pieces[-1] = pieces[-1][: found.start(1)]
    return found[1]
