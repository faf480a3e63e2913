"""The form of everything on a netlink socket: messages in a buffer, attributes in a message."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

HEADER_BYTES: Final = 16
"""Of a message, before its body."""

_HEADER: Final = struct.Struct("=IH10x")
_ATTRIBUTE: Final = struct.Struct("=HH")
_KIND: Final = 0x3FFF  # the bits above say how a value is written


def messages(data: bytes) -> Iterator[tuple[int, int, int]]:
    """The messages in a buffer: where each one's body begins and ends, and its kind."""
    position = 0
    while position + HEADER_BYTES <= len(data):
        length, kind = _HEADER.unpack_from(data, position)
        if length < HEADER_BYTES:
            return
        yield position + HEADER_BYTES, position + length, kind
        position += aligned(length)


def attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """The attributes between two places: kind, and where the value begins and ends."""
    while start + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(data, start)
        if length < 4:
            return
        yield kind & _KIND, start + 4, start + length
        start += aligned(length)


def aligned(length: int) -> int:
    """A length in bytes with the padding up to the next message or attribute."""
    return (length + 3) & ~3
