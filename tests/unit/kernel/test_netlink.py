"""Messages and attributes of netlink, also damaged ones."""

from __future__ import annotations

import struct

import pytest

from ipsecfd.kernel.netlink import attributes, messages


def message(kind: int, body: bytes, length: int | None = None) -> bytes:
    """A message, padded as in a buffer; its length may lie."""
    length = 16 + len(body) if length is None else length
    return struct.pack("=IHHII", length, kind, 0, 0, 0) + body + bytes(-len(body) % 4)


def attribute(kind: int, value: bytes, length: int | None = None) -> bytes:
    """An attribute, padded as in a message; its length may lie."""
    length = 4 + len(value) if length is None else length
    return struct.pack("=HH", length, kind) + value + bytes(-len(value) % 4)


def test_messages_of_a_buffer() -> None:
    """Bodies of any length stand behind each other, padded to four bytes."""
    data = message(20, b"first") + message(3, b"") + message(24, b"last")
    found = [(kind, data[start:end]) for start, end, kind in messages(data)]
    assert found == [(20, b"first"), (3, b""), (24, b"last")]


def test_attributes_between_two_places() -> None:
    """Padding is no part of a value, and the two highest bits none of the kind."""
    data = b"head" + attribute(1, b"inet\0") + attribute(2 | 0x8000, b"") + b"tail"
    found = [(kind, data[start:end]) for kind, start, end in attributes(data, 4, len(data) - 4)]
    assert found == [(1, b"inet\0"), (2, b"")]


@pytest.mark.parametrize("length", [0, 1, 3, 15])
def test_a_length_below_the_header_ends_it(length: int) -> None:
    """Whatever stands there, nobody reads the same place for ever."""
    assert list(messages(message(20, b"body", length))) == []
    assert list(attributes(attribute(1, b"body", min(length, 3)), 0, 8)) == []


@pytest.mark.parametrize("size", range(4))
def test_what_is_cut_off_is_left_out(size: int) -> None:
    """Less than a header at the end of a buffer or message is nothing."""
    assert list(messages(message(20, b"")[: 12 + size])) == []
    assert list(attributes(attribute(1, b"")[:size], 0, size)) == []
