"""From the bytes of a script to its lines: the encodings that Windows' own editors leave behind.

Nobody declares them: a byte order mark tells, then zero bytes, then whether it is valid UTF-8, and
last whether the bytes look like Chinese (cp936), or like Western European as Windows' editors write
it (cp1252) or as cmd.exe and DOS editors do (cp850).
"""

from __future__ import annotations

import codecs
import re
from typing import Final

from ipsecfd.errors import IpsecfdError

_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_END_OF_FILE: Final = "\x1a"
"""Ctrl-Z, with which DOS editors end a text."""
_HIVE: Final = b"regf"
_NO_HIVE: Final = (
    "a registry hive, as Windows' exportpolicy writes it; there, make a .reg file with"
    ' reg export "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local" policy.reg'
)
_ZERO_BYTE: Final = "expected text, not a zero byte"
_HIGH_BYTES: Final = re.compile(rb"[\x80-\xff]+")
_COMMON_CHINESE: Final = re.compile(rb"(?:[\xa1-\xa3\xb0-\xd7][\xa1-\xfe])+")
"""Punctuation, full-width forms and the 3,755 everyday characters of GB 2312."""


class EncodingError(IpsecfdError):
    """Bytes that are no text; the message says which and what was expected; line 0 is no line."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}" if line else why)
        self.line = line
        self.why = why


def is_hive(data: bytes) -> bool:
    """Whether it is a registry hive, as the files are that Windows' exportpolicy writes."""
    return data.startswith(_HIVE)


def decode(data: bytes) -> str:
    """The text of a file, its lines ending with a line feed. Raises EncodingError."""
    if is_hive(data):
        raise EncodingError(0, _NO_HIVE)
    text = _decode(data)
    if "\0" in text:
        line = _lines_before(text, text.index("\0"))
        raise EncodingError(line, _ZERO_BYTE)
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip(_END_OF_FILE)


def _decode(data: bytes) -> str:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _strictly(data[len(mark) :], encoding)
    if b"\0" in data:
        return _unmarked_utf16(data)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        pass
    if _is_chinese(data):
        return data.decode("cp936", errors="replace")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        # One of five bytes that cp1252 leaves undefined. To cmd.exe they are letters, as 0x81, "ü".
        return data.decode("cp850")


def _unmarked_utf16(data: bytes) -> str:
    """Blanks, quotes and line ends are ASCII in any script: one of their two bytes is zero."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if max(even, odd) * 8 >= len(data):
        try:
            return data.decode("utf-16-be" if even > odd else "utf-16-le")
        except UnicodeDecodeError:
            pass
    before = data[: data.index(0)].decode("latin-1")
    raise EncodingError(_lines_before(before, len(before)), _ZERO_BYTE)


def _strictly(data: bytes, encoding: str) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        before = data[: error.start].decode(encoding, errors="replace")
        line = _lines_before(before, len(before))
        byte = f"byte 0x{data[error.start]:02x}"
        raise EncodingError(line, f"expected {encoding.upper()} text, not {byte}") from error


def _is_chinese(data: bytes) -> bool:
    """Whether most bytes outside ASCII are pairs of everyday Chinese characters.

    An accented Western letter stands alone between ASCII ones.
    """
    runs = _HIGH_BYTES.findall(data)
    common = sum(len(pairs) for run in runs for pairs in _COMMON_CHINESE.findall(run))
    return common * 2 > sum(map(len, runs))


def _lines_before(text: str, end: int) -> int:
    return text[:end].replace("\r\n", "\n").replace("\r", "\n").count("\n") + 1
