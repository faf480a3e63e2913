"""The files of the diagnostic log: the one that is written, and those that logrotate moved away."""

from __future__ import annotations

import gzip
import os
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from ipsecfd.errors import IpsecfdError

_LONGEST_LINE: Final = 1 << 16
_MOVED: Final = re.compile(r"[.-]\d+(\.gz)?", re.ASCII)
"""What logrotate appends to a name: a number or a date."""


class NoLogError(IpsecfdError):
    """There is no such file."""


def rotated(path: Path) -> list[Path]:
    """The files that were this log once, the youngest first."""
    try:
        beside = list(path.parent.iterdir())
    except OSError:
        return []
    found = {
        one: _modified(one)
        for one in beside
        if one.name.startswith(path.name) and _MOVED.fullmatch(one.name[len(path.name) :])
    }
    return sorted(found, key=lambda one: found[one], reverse=True)


def written_since(files: list[Path], moment: float) -> list[Path]:
    """Those of some files that may hold records from this time on, in seconds since 1970."""
    return [one for one in files if _modified(one) >= moment]


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:  # moved on in this moment
        return 0.0


def open_log(path: Path) -> BinaryIO:
    """A file of the log, for reading, compressed or not; raises IpsecfdError, NoLogError where
    there is none."""
    try:
        if path.suffix == ".gz":
            return cast(BinaryIO, gzip.open(path))
        return path.open("rb")
    except FileNotFoundError:
        raise NoLogError(
            f"{path}: there is no diagnostic log; it begins when ipsecfd first runs"
        ) from None
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> IpsecfdError:
    """Why a file of the log cannot be read."""
    return IpsecfdError(
        f"{path}: cannot read the diagnostic log: {error.strerror}"
        + ("; try as root" if isinstance(error, PermissionError) else "")
    )


def lines_of(path: Path, file: BinaryIO | None = None) -> Iterator[bytes]:
    """All lines of a file of the log, which may be open already; raises IpsecfdError."""
    with file or open_log(path) as opened:
        try:
            yield from whole_lines(opened, last=True)
        except (EOFError, OSError, zlib.error) as error:
            raise IpsecfdError(f"{path}: cannot read the diagnostic log: {error}") from error


def whole_lines(file: BinaryIO, *, last: bool = False) -> Iterator[bytes]:
    """The lines from here on. What comes after the last line's end is left for the next time,
    unless it is the `last`. Of a line that is too long for a record there is only the beginning."""
    while line := file.readline(_LONGEST_LINE):
        piece, size = line, len(line)
        while len(piece) == _LONGEST_LINE and not piece.endswith(b"\n"):
            piece = file.readline(_LONGEST_LINE)
            size += len(piece)
        if not piece.endswith(b"\n") and not last:
            file.seek(-size, os.SEEK_CUR)
            return
        yield line
