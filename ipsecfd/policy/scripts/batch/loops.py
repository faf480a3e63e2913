"""What the `for` loops of a batch file count over, as far as it stands in the script (spec 8.1)."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.scripts.batch.written import is_certain

_ITEM: Final = re.compile(r'(?:[^\s,;="]|"[^"]*"?)+')
_COUNT: Final = re.compile(r"\s*(-?[0-9]{1,9})[\s,;=]+(-?[0-9]{1,9})[\s,;=]+(-?[0-9]{1,9})\s*")
_OPTION: Final = re.compile(
    r"(?:(usebackq)|(tokens|skip)=(\S+)|eol=(.?)"
    r"|delims=(.*?)(?=\s(?:tokens|skip|eol|usebackq)\b|$))\s*",
    re.IGNORECASE,
)
_SKIP: Final = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)
_TOKEN: Final = re.compile(r"([0-9]{1,2})(?:-([0-9]{1,2}))?")

Read = Callable[[str], str | None]
"""The text of a file that the script names; None when it is not at hand."""


class UnknownLoopError(Exception):
    """Only Windows knows what the loop counts over; the text says why."""


def rounds(switches: str, variable: str, items: str, read: Read) -> Iterator[dict[str, str]]:
    """The values of the loop's variables, round by round. Raises UnknownLoopError."""
    switch = switches[:2].lower()
    if not switch:
        return ({variable: one} for one in _listed(items))
    if switch == "/l":
        return ({variable: str(one)} for one in _counted(items))
    if switch == "/f":
        return _lines(switches[2:].strip(), variable, items.strip(), read)
    raise UnknownLoopError(f"for {switches} counts over folders of the computer it runs on")


def _listed(items: str) -> list[str]:
    found = _ITEM.findall(items)
    for one in found:
        if "*" in one or "?" in one:
            raise UnknownLoopError(f"{one} stands for names of files")
    return found


def _counted(items: str) -> range:
    found = _COUNT.fullmatch(items)
    if found is None:
        raise UnknownLoopError("for /L needs three numbers: start, step and end")
    start, step, end = map(int, found.groups())
    if step == 0:
        raise UnknownLoopError("for /L with the step 0 never ends")
    return range(start, end + (1 if step > 0 else -1), step)


@dataclass(frozen=True, slots=True)
class _Options:
    delimiters: str = " \t"
    tokens: tuple[int, ...] = (1,)
    rest: bool = False
    """Whether a last variable takes all that is left of a line."""
    skip: int = 0
    comment: str = ";"
    """The character that begins one; empty for none."""
    quotes_are_files: bool = False


def _lines(options_text: str, variable: str, items: str, read: Read) -> Iterator[dict[str, str]]:
    options = _options(options_text)
    quote = items[:1]
    if quote in ("'", "`") and not (quote == "'" and options.quotes_are_files):
        raise UnknownLoopError("it counts over what a program prints")
    if quote == ('"', "'")[options.quotes_are_files]:
        text: str | None = items[1:-1]
    else:
        text = read(items.strip('"'))
        if text is None:
            raise UnknownLoopError(f"the file {items} is not next to this one")
        if not is_certain(text):
            raise UnknownLoopError(f"only Windows knows all the lines of {items}")
    assert text is not None
    return _tokens(options, variable, text)


def _tokens(options: _Options, variable: str, text: str) -> Iterator[dict[str, str]]:
    names = [chr(ord(variable) + number) for number in range(len(options.tokens) + options.rest)]
    last = max(options.tokens, default=0)
    for line in itertools.islice(text.split("\n"), options.skip, None):
        first = line.lstrip(options.delimiters)[:1] if options.delimiters else line[:1]
        if not first or first == options.comment:
            continue
        pieces, rest = _cut(line, options.delimiters, last)
        if not pieces and not (options.rest and rest):
            continue
        values = [pieces[one - 1] if one <= len(pieces) else "" for one in options.tokens]
        yield dict(zip(names, [*values, rest], strict=False))


def _cut(line: str, delimiters: str, count: int) -> tuple[list[str], str]:
    """The first pieces of a line between delimiters, and what is left behind them."""
    if not delimiters:
        return ([line], "") if count else ([], line)
    pieces: list[str] = []
    rest = line.lstrip(delimiters)
    inside = re.compile(f"[^{re.escape(delimiters)}]+")
    while rest and len(pieces) < count and (found := inside.match(rest)):
        pieces.append(found[0])
        rest = rest[found.end() :].lstrip(delimiters)
    return pieces, rest


def _options(quoted: str) -> _Options:
    text = quoted.strip('"')
    tokens: tuple[int, ...] = (1,)
    delimiters, rest, skip, comment, backquotes = " \t", False, 0, ";", False
    at = len(text) - len(text.lstrip())
    while at < len(text):
        found = _OPTION.match(text, at)
        if found is None:
            raise UnknownLoopError(f'"{text}" is no option of for /F')
        at = found.end()
        word, value = (found[2] or "").lower(), found[3]
        if found[1]:
            backquotes = True
        elif word == "tokens":
            tokens, rest = _numbers(value)
        elif word == "skip":
            if not _SKIP.fullmatch(value):
                raise UnknownLoopError(f"skip={value} is no decimal number")
            skip = int(value)
        elif found[4] is not None:
            comment = found[4] or ('"' if quoted.endswith('"') else "")
        else:
            delimiters = found[5]
    return _Options(delimiters, tokens, rest, skip, comment, backquotes)


def _numbers(text: str) -> tuple[tuple[int, ...], bool]:
    rest = text.endswith("*")
    numbers: list[int] = []
    for one in filter(None, text.removesuffix("*").split(",")):
        found = _TOKEN.fullmatch(one)
        if found is None:
            raise UnknownLoopError(f"tokens={text} is no list of numbers")
        numbers += range(int(found[1]), int(found[2] or found[1]) + 1)
    return tuple(sorted(set(numbers))), rest
