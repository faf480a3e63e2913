"""From the bytes of a policy file to text, and from text to TOML."""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final

from ipsecfd.policy.denied import reason
from ipsecfd.policy.mistakes import Mistake, PolicyError

LARGEST: Final = 64 << 20
"""Bytes, many times the largest policy: a device never ends, and would take all memory."""
TOO_LARGE: Final = f"expected at most {LARGEST >> 20} MiB, and there is more"

_SYNTAX_ERROR: Final = re.compile(
    r"(.*) \(at (?:(line (\d+), column \d+)|end of document)\)", re.DOTALL
)


def read_text(path: Path) -> str:
    """The text of a policy file: UTF-8, with or without a byte order mark. Raises PolicyError."""
    return utf8_text(read_bytes(path), str(path))


def read_plain_text(path: Path) -> str:
    """The same of a file that the service reads by itself: it would wait for ever for a pipe that
    nobody writes to, so anything but a plain file and /dev/null is refused. Raises PolicyError."""
    with contextlib.suppress(OSError, ValueError):  # read_text says it better
        if not (path.is_file() or path.is_dir() or path.samefile(os.devnull)):
            wrong = "cannot be read: expected a plain file, not a pipe, a socket or a device"
            raise PolicyError([Mistake(str(path), "", "", wrong)])
    return read_text(path)


def read_bytes(path: Path) -> bytes:
    """What is in a file of at most LARGEST bytes. Raises PolicyError."""
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = reason(path, error) if isinstance(error, OSError) else str(error)
        raise PolicyError([Mistake(str(path), "", "", f"cannot be read: {why}")]) from error
    if len(data) > LARGEST:
        raise PolicyError([Mistake(str(path), "", "", TOO_LARGE)])
    return data


def utf8_text(data: bytes, file: str) -> str:
    """The text of UTF-8, with or without a byte order mark; `file` is what the mistake calls it.

    Raises PolicyError.
    """
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        wrong = "expected UTF-8 text, not UTF-16; save it as UTF-8"
        raise PolicyError([Mistake(file, "", "", wrong)])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        wrong = f"expected UTF-8 text, not byte 0x{data[error.start]:02x}"
        line = data.count(b"\n", 0, error.start) + 1
        raise PolicyError([Mistake(file, f"line {line}", "", wrong)]) from error
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise PolicyError([Mistake(file, f"line {line}", "", "expected text, not a zero byte")])
    return text


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """The text as TOML; `file` is what the mistake calls it. Raises PolicyError."""
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise PolicyError([Mistake(file, "", "", "expected TOML that is nested less")]) from error
    except tomllib.TOMLDecodeError as error:
        raise PolicyError([_syntax_mistake(str(error), text, file)]) from error
    except ValueError as error:  # Python's own limit, which guards against quadratic time
        raise PolicyError([Mistake(file, "", "", "expected numbers of fewer digits")]) from error


def _syntax_mistake(message: str, text: str, file: str) -> Mistake:
    found = _SYNTAX_ERROR.fullmatch(message)
    if found is None:
        return Mistake(file, "", "", f"not TOML: {message}")
    what, place, number = found.groups()
    what = f"not TOML: {what[:1].lower()}{what[1:]}"
    lines = text.split("\n")
    wrong = lines[int(number) - 1].strip() if number else ""
    return Mistake(file, place or f"line {len(lines)}", wrong, what)
