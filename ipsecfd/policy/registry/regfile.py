"""Registry exports as text: `.reg` files and dumps of `reg add` commands (spec 8.6).

What is no registry text is named by line in `Tree.failures`, and the rest is read.
"""

from __future__ import annotations

import re
from typing import Final

from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.registry.regcommand import is_reg_command, run_reg_command, split_words
from ipsecfd.policy.registry.tree import Data, Key, Place, RegistryFileError, Tree, Value
from ipsecfd.policy.scripts.encoding import EncodingError, decode

_HEADER_4: Final = "REGEDIT4"
_HEADER_5: Final = "Windows Registry Editor Version 5.00"
_NEWLINE: Final = re.compile(r"\r\n|\n|\r")
_KEY: Final = re.compile(r"\[(-?)(.*)\]\s*(?:;.*)?")
_NAME: Final = re.compile(r'(?:@|"((?:[^"\\]|\\.)*)")\s*=\s*')
_TEXT: Final = re.compile(r'((?:[^"\\]|\\.)*)"\s*(?:;.*)?', re.DOTALL)
_CLOSED: Final = re.compile(r'(?:[^"\\]|\\.)*"', re.DOTALL)
_DWORD: Final = re.compile(r"dword:\s*([0-9a-f]{1,8})\s*(?:;.*)?", re.IGNORECASE)
_HEX: Final = re.compile(r"hex(?:\(([0-9a-f]{1,8})\))?:(.*)", re.IGNORECASE | re.DOTALL)
_BYTES: Final = re.compile(r"(?:[0-9a-f]{1,2}(?:,[0-9a-f]{1,2})*)?,?", re.IGNORECASE)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_COMMENT: Final = re.compile(r"(?:@?(?:rem|echo|pause|exit)\b|::|#).*|@?", re.IGNORECASE)


def read(data: bytes, file: str) -> Tree:
    """The tree of a file of any encoding; `file` is what failures call it.

    Raises RegistryFileError for what is no registry text at all.
    """
    try:
        return read_text(decode(data), file)
    except EncodingError as error:
        raise RegistryFileError(f"{printable(file)}: {error}") from error


def read_text(text: str, file: str) -> Tree:
    """The tree of a text, a .reg file or a dump of commands. Raises RegistryFileError."""
    tree = Tree(file)
    if not is_registry_text(text):
        raise RegistryFileError(
            f"{printable(file)}: expected a registry export: a .reg file, which begins with"
            f' "{_HEADER_5}" or "{_HEADER_4}", or lines of reg add'
        )
    lines = _NEWLINE.split(text)
    header = _first_line(text)
    if header.startswith((_HEADER_4, _HEADER_5)):
        _RegFile(tree, lines, wide=header.startswith(_HEADER_5)).read()
    else:
        _read_commands(tree, lines)
    return tree


def is_registry_text(text: str) -> bool:
    """Whether a text begins like a .reg file or a dump of `reg add` commands."""
    first = _first_line(text)
    return first.startswith((_HEADER_4, _HEADER_5)) or is_reg_command(
        list(split_words(first[:1_000]))
    )


def _first_line(text: str) -> str:
    """The first line that is neither empty nor a comment."""
    for found in re.finditer(r"[^\r\n]+", text):
        line = found[0].strip()
        if not line.startswith(";") and not _COMMENT.fullmatch(line):
            return line
    return ""


def _read_commands(tree: Tree, lines: list[str]) -> None:
    number = 0
    while number < len(lines):
        start, text = number, lines[number]
        while text.endswith("^") and number + 1 < len(lines):
            number += 1
            text = text[:-1] + lines[number]
        number += 1
        if not _COMMENT.fullmatch(text.strip()):
            run_reg_command(tree, text, start + 1)


class _RegFile:
    """Reads the lines of one .reg file."""

    def __init__(self, tree: Tree, lines: list[str], *, wide: bool) -> None:
        self._tree = tree
        self._lines = lines
        self._wide = wide
        self._number = 0
        self._key: Key | None = None

    def read(self) -> None:
        """Read all lines behind the header."""
        while not self._lines[self._number].strip("\ufeff \t").startswith((_HEADER_4, _HEADER_5)):
            self._number += 1
        self._number += 1
        while self._number < len(self._lines):
            line = self._lines[self._number].strip()
            place = Place(self._number + 1, line)
            self._number += 1
            try:
                if line and not line.startswith(";"):
                    self._line(line, place)
            except RegistryFileError as error:
                self._tree.refuse(place, str(error))

    def _line(self, line: str, place: Place) -> None:
        if line.startswith("["):
            self._key = None
            found = _KEY.fullmatch(line)
            if found is None:
                raise RegistryFileError("expected ] behind the key")
            if found[1]:
                self._tree.delete(found[2], place)
            else:
                self._key = self._tree.make(found[2], place)
            return
        named = _NAME.match(line)
        if named is None:
            raise RegistryFileError('expected [KEY], "NAME"=VALUE or ; and a comment')
        written = self._value_text(line[named.end() :])
        if self._key is None:
            raise RegistryFileError("expected a key, [HKEY_LOCAL_MACHINE\\...], before its values")
        name = _ESCAPE.sub(r"\1", named[1] or "")
        if written == "-":
            self._key.delete(name, place)
        else:
            self._key.set(Value(name, self._data(written), place))

    def _value_text(self, rest: str) -> str:
        """The whole value, which may go on over further lines."""
        pieces = [rest]
        if rest.startswith('"'):
            closed = _CLOSED.match(rest, 1)
            while not closed and self._more() and not self._next().startswith(("[HKEY", "[-HKEY")):
                pieces.append(self._take())
                closed = _CLOSED.match(pieces[-1])
            return "\n".join(pieces)
        while pieces[-1].endswith("\\"):
            if not self._more() or not self._next().strip():
                raise RegistryFileError(
                    "expected the rest of the value behind \\, on the next line"
                )
            pieces[-1] = pieces[-1][:-1]
            pieces.append(self._take().strip())
        return "".join(pieces)

    def _data(self, written: str) -> Data:
        if written.startswith('"'):
            text = _TEXT.fullmatch(written, 1)
            if text is None:
                raise RegistryFileError('expected a closing " at the end of the value')
            return _ESCAPE.sub(r"\1", text[1])
        if number := _DWORD.fullmatch(written):
            return int(number[1], 16)
        if binary := _HEX.fullmatch(written):
            return self._binary(int(binary[1] or "3", 16), binary[2])
        raise RegistryFileError('expected "TEXT", dword:NUMBER, hex:BYTES or -')

    def _binary(self, kind: int, written: str) -> Data:
        digits = "".join(written.split())
        if _BYTES.fullmatch(digits) is None:
            raise RegistryFileError("expected bytes in hexadecimal with commas between them")
        data = bytes(int(one, 16) for one in digits.split(",") if one)
        match kind:
            case 1 | 2:
                return self._text(data).partition("\0")[0]
            case 7:
                return tuple(one for one in self._text(data).split("\0") if one)
            case 4 | 0xB:
                return int.from_bytes(data, "little")
            case 5:
                return int.from_bytes(data, "big")
            case _:
                return data

    def _text(self, data: bytes) -> str:
        if not self._wide:
            return data.decode("cp1252", errors="replace")
        try:
            return data.decode("utf-16-le")
        except UnicodeDecodeError as error:
            raise RegistryFileError("expected bytes that are text in UTF-16") from error

    def _more(self) -> bool:
        return self._number < len(self._lines)

    def _next(self) -> str:
        return self._lines[self._number]

    def _take(self) -> str:
        self._number += 1
        return self._lines[self._number - 1]
