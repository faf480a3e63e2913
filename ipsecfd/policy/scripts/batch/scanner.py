"""The lines of a batch file as characters: blanks, quotes, carets, redirections, places."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.scripts.batch.nodes import Place

LONGEST_STATEMENT: Final = 1 << 20
"""Characters; what one pair of parentheses may hold."""

_BLANKS: Final = " \t\v\f,;=\xa0"
_NAME_ENDS: Final = ' \t\v\f,;=&|<>()\n"'
_MARK: Final = re.compile("\0[^\0\n]*\0")  # see `variables.unknown`
PLAIN: Final = re.compile(r'(?:[^"^&|<>)\n\0]+|\0[^\0\n]*\0)+')
QUOTED: Final = re.compile(r'"[^"\n]*"?')
_REDIRECTION: Final = re.compile(r"[0-9]?[<>]")


class CommandSyntaxError(IpsecfdError):
    """What cmd.exe would not understand either."""

    def __init__(self, line: int, column: int, why: str) -> None:
        super().__init__(f"line {line}, column {column}: {why}")
        self.line = line
        self.column = column
        self.why = why


NextLine: TypeAlias = Callable[[], tuple[int, str, Callable[[int], int]] | None]
"""The next line, expanded: its number, its text, and where a column of it was before. None at the
end of the file."""


class Scanner:
    """A place in a statement, and the pieces of text that can be read from there."""

    def __init__(self, next_line: NextLine) -> None:
        self._next_line = next_line
        self._text = ""
        self._at = 0
        self._number = 0
        self._column: Callable[[int], int] = lambda at: at
        self._depth = 0
        self._read = 0

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

    def _word_ahead(self) -> str:
        end = self._at
        while end < len(self._text) and self._text[end] not in _NAME_ENDS:
            end += 1
        return self._text[self._at : end].lower()

    def _skip_line(self) -> None:
        self._at = max(len(self._text) - 1, 0)

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
                found = QUOTED.match(self._text, self._at)
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

    def _items(self, place: Place) -> str:
        """The list of a loop, up to its closing parenthesis; lines of it are as good as blanks."""
        pieces: list[str] = []
        while True:
            here = self._peek()
            if found := QUOTED.match(self._text, self._at) or PLAIN.match(self._text, self._at):
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

    def _redirections(self) -> tuple[str, bool]:
        """The file that a block's output goes to, empty for none, and whether it is added there."""
        output = "", False
        self._skip_blanks()
        while found := _REDIRECTION.match(self._text, self._at):
            self._at = found.end()
            name, appends = self._redirection()
            if name and found[0] in (">", "1>"):
                output = name, appends
            self._skip_blanks()
        return output

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
            if found := QUOTED.match(self._text, self._at):
                name += found[0]
                self._at = found.end()
            elif self._peek() and self._peek() not in _NAME_ENDS:
                name += self._peek()
                self._at += 1
            else:
                return name, appends
