"""The variables of a batch file: what `%A%`, `%1`, `%%i` and `!A!` stand for (spec 8.1).

What only Windows could know stays in the text as it was written, between two zero bytes, which no
decoded script holds: so it can travel through assignments and be named where it would matter.
"""

from __future__ import annotations

import bisect
import contextlib
import functools
import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from ipsecfd.policy.scripts.batch import assignments
from ipsecfd.policy.scripts.batch.arguments import Arguments
from ipsecfd.policy.scripts.batch.scopes import Scopes

LONGEST_VALUE: Final = 8191
"""Characters, of a line or a variable: cmd.exe's own limit."""

_PERCENT: Final = re.compile(
    r"\0[^\0]*\0|%%|%(\*)|%~([a-z]*)([0-9])|%([0-9])|%([^%:\n\0]+)(?::([^%\n\0]*))?%|%",
    re.IGNORECASE,
)
"""A mark, which stays; or what `%` begins."""
_DELAYED: Final = re.compile(r"\0[^\0]*\0|!([^!:\n\0]+)(?::([^!\n\0]*))?!|!")
_MODIFIERS: Final = "fdpnxsatz"
_SLICE: Final = re.compile(r"~\s*(-?[0-9]{1,6})(?:\s*,\s*(-?[0-9]{1,6}))?\s*")
_SEPARATOR: Final = re.compile(r"[\s\0\",;=&|<>^]")
_UNKNOWN: Final = re.compile("\0([^\0]*)\0")
_SHIFT: Final = re.compile(r"\s*(?:/([0-8]))?\s*")
_DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,8})", re.ASCII)
_OPERATIONS: Final = {"+": operator.add, "-": operator.sub, "*": operator.mul}


def unknown(reference: str) -> str:
    """A mark for something that cannot be known, such as `%TEMP%`.

    What separates words or commands is taken out of it, so that a mark is never cut.
    """
    return f"\0{_SEPARATOR.sub('', reference)}\0"


def unknowns(text: str) -> list[str]:
    """What in a text cannot be known, each once, as written."""
    return list(dict.fromkeys(_UNKNOWN.findall(text)))


def readable(text: str) -> str:
    """The text without marks."""
    return text.replace("\0", "")


class Variables:
    """Environment, arguments and error level of a batch file as far as they can be known."""

    def __init__(self, arguments: Arguments) -> None:
        self.arguments = arguments
        self.status: int | None = None
        """The error level; None where only Windows knows."""
        self.changes = 0
        """Counts up whenever something may have got another value."""
        self.scopes = Scopes()

    @property
    def succeeded(self) -> bool | None:
        """Whether the error level tells of success; None where only Windows knows."""
        return None if self.status is None else self.status == 0

    def enter(self, options: str, *, certain: bool = True) -> None:
        """`setlocal` with its options, or one that may or may not be run."""
        self.scopes.enter(certain=certain)
        if "delayedexpansion" in options.lower():
            delayed = "enabledelayed" in options.lower()
            if certain or delayed == self.scopes.delayed:
                self.scopes.delayed = delayed
            else:
                self.scopes.delayed = None

    def leave(self, *, certain: bool = True) -> None:
        """`endlocal`, or one that may or may not be run."""
        self.scopes.leave(certain=certain)
        self.changes += 1

    @contextlib.contextmanager
    def of_child(self) -> Iterator[None]:
        """Inside, variables and arguments are those of a cmd.exe of its own."""
        arguments, changes = self.arguments, self.changes
        try:
            with self.scopes.of_child():
                yield
        finally:
            self.arguments, self.changes = arguments, changes

    def shift(self, options: str) -> None:
        """`shift` with its option; cmd.exe refuses others, and shifts nothing."""
        if found := _SHIFT.fullmatch(options):
            self.arguments = self.arguments.shifted(int(found[1] or 0))
            self.changes += 1

    def get(self, name: str) -> str | None:
        """The value, empty when the script unset it; None when the script never set it."""
        return self.scopes.values.get(name.upper())

    def set(self, name: str, value: str) -> None:
        """Set a variable; empty unsets it."""
        if len(value) > LONGEST_VALUE:
            value = unknown(f"%{name}%")
        if self.scopes.values.get(name.upper()) != value:
            self.scopes.values[name.upper()] = value
            self.changes += 1

    def forget(self, name: str) -> None:
        """Say that only Windows would know the value from here on; so for every variable that the
        name may stand for, where not all of it is known."""
        if "\0" not in name:
            self.set(name, unknown(f"%{name}%"))
            return
        start, *_, end = name.upper().split("\0")
        values = self.scopes.values
        for one in [one for one in values if one.startswith(start) and one.endswith(end)]:
            del values[one]
            self.changes += 1

    def assign(self, text: str) -> None:
        """What stands behind `set`."""
        switch = text.lstrip()[:2].lower()
        parts = assignments.sums(text.lstrip()[2:]) if switch == "/a" else None
        if parts is not None:
            for part in parts:
                self._add(part)
            return
        name, value = assignments.set_name(text)
        if switch in ("/a", "/p") or "\0" in name:
            for one in assignments.names(text):
                self.forget(one)
        elif name:
            self.set(name, value)

    def _add(self, part: assignments.Sum) -> None:
        start = self._number(part.name) if part.change else 0
        first, second = self._number(part.first), self._number(part.second)
        if start is None or first is None or second is None or "\0" in part.name:
            self.forget(part.name)
            return
        value = _OPERATIONS[part.operator](first, second)
        if part.change:
            value = _OPERATIONS[part.change](start, value)
        if abs(value) < 2**31:
            self.set(part.name, str(value))
        else:
            self.forget(part.name)

    def _number(self, text: str) -> int | None:
        """A number or a variable's value as one; what is not set counts as 0 to `set /a`, but only
        Windows knows what is not set."""
        if _DECIMAL.fullmatch(text):
            return int(text)
        value = self.get(text)
        if value is not None and _DECIMAL.fullmatch(value):
            return int(value)
        return 0 if value == "" else None

    def expand(self, line: str) -> tuple[str, Callable[[int], int]]:
        """A line with `%...%` and arguments in place, and where each column of it was before."""
        if "%" not in line:
            return line, lambda column: column
        pieces: list[str] = []
        written, read, length = [0], [0], 0
        end = 0
        for found in _PERCENT.finditer(line):
            if length > LONGEST_VALUE and length > len(line):
                break
            before, value = line[end : found.start()], self._percent(found)
            pieces += (before, value)
            length += len(before) + len(value)
            end = found.end()
            written.append(length)
            read.append(end)
        pieces.append(line[end:])

        def column_before(column: int) -> int:
            last = bisect.bisect_right(written, column) - 1
            return read[last] + column - written[last]

        return "".join(pieces), column_before

    def _percent(self, found: re.Match[str]) -> str:
        everything, modifiers, number, plain, name, change = found.groups()
        if found[0].startswith("\0"):
            return found[0]
        if found[0] == "%%":
            return "%"
        if everything:
            value = self.arguments.everything
            return unknown(found[0]) if value is None else value
        if number is not None:
            value = self.arguments.get(int(number))
            if value is None or modifiers:
                return unknown(found[0])
            return value.strip('"')
        if plain is not None:
            value = self.arguments.get(int(plain))
            return unknown(found[0]) if value is None else value
        return "" if name is None else self._value(found[0], name, change)

    def _value(self, reference: str, name: str, change: str | None) -> str:
        value = self.get(name)
        if value is None and name.upper() == "ERRORLEVEL" and self.status is not None:
            value = str(self.status)
        if value is None or (change is not None and "\0" in value):
            return unknown(reference)
        return value if change is None else _changed(value, change)

    def expand_late(self, text: str, loops: Mapping[str, str]) -> str:
        """A command's text with `%%i` and `!A!` in place, as they are when it is run."""
        if loops and "%" in text:
            pattern = _loop_reference("".join(loops))
            text = pattern.sub(lambda found: _loop_value(found, loops), text)
        if self.scopes.delayed is not False and "!" in text:
            text = _DELAYED.sub(self._delayed, text)
        return text

    def _delayed(self, found: re.Match[str]) -> str:
        if found[0].startswith("\0"):
            return found[0]
        if self.scopes.delayed is None:
            return unknown(found[0])
        return self._value(found[0], found[1], found[2]) if found[1] else ""


@functools.lru_cache(maxsize=64)
def _loop_reference(names: str) -> re.Pattern[str]:
    """What stands for the variables of loops: as cmd.exe has it, a letter that could be a modifier
    is the name where no name of a loop follows it, as the p of `"%%~p"` in `for %%p`."""
    modifiers = _MODIFIERS + _MODIFIERS.upper()
    return re.compile(f"\0[^\0]*\0|%(?:~([{modifiers}]*))?([{re.escape(names)}])")


def _loop_value(found: re.Match[str], loops: Mapping[str, str]) -> str:
    modifiers, name = found.groups()
    if name is None:
        return found[0]
    if modifiers is None:
        return loops[name]
    return unknown(f"%{found[0]}") if modifiers else loops[name].strip('"')


def _changed(value: str, change: str) -> str:
    """The value with `~FROM,COUNT` or `OLD=NEW` applied."""
    if part := _SLICE.fullmatch(change):
        start = int(part[1])
        rest = value[start:] if start >= 0 else value[max(len(value) + start, 0) :]
        return rest if part[2] is None else rest[: int(part[2])]
    old, equals, new = change.partition("=")
    if not equals or not old.strip("*"):
        return value
    if old.startswith("*"):
        at = value.lower().find(old[1:].lower())
        return value if at < 0 else new + value[at + len(old) - 1 :]
    return re.sub(re.escape(old), lambda _: new, value[:LONGEST_VALUE], flags=re.IGNORECASE)[
        : LONGEST_VALUE + 1
    ]
