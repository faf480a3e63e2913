"""Capture files to IP packets: pcap and pcapng, with the link layer taken off by hand.

scapy reads the file formats and nothing else. It takes damage for the end of the file, so what it
reads from is watched, and a capture that does not end where a record ends is refused by name.
"""

from __future__ import annotations

import contextlib
import gzip
import logging
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal, NamedTuple, Protocol, cast

from ipsecfd.errors import IpsecfdError

STANDARD_INPUT: Final = Path("-")

_GZIP_MAGIC: Final = b"\x1f\x8b"
_LARGEST_READ: Final = 1 << 24
"""Bytes; no honest block of a capture is larger, and a lying one must not eat the memory."""

_IPV4, _IPV6, _PPPOE_SESSION = b"\x08\x00", b"\x86\xdd", b"\x88\x64"
_VLAN_TAGS = frozenset({b"\x81\x00", b"\x88\xa8", b"\x91\x00"})
_PPP_IP = frozenset({0x21, 0x57})
_ADDRESS_FAMILIES = frozenset({2, 10, 24, 28, 30})
"""AF_INET, and AF_INET6 of Linux, NetBSD, FreeBSD and macOS."""

_SECTION, _INTERFACE = 0x0A0D0D0A, 1
_PACKET_BLOCKS = frozenset({2, 3, 6})
_WITH_CAPTURED_LENGTH: Final = (2, 6)
_PACKET_PLACE: Final = 20
"""Where the packet begins in the body of these two; its captured length is at 12."""


class CaptureError(IpsecfdError):
    """A file that is no capture, is damaged, or holds what nobody here can read."""


class Record(NamedTuple):
    """One record of a capture."""

    data: bytes | None
    """The IP packet; None for a frame that carries none, such as ARP."""
    time: float
    """Seconds since 1970, never less than in the record before."""
    cut: bool
    """Whether there was more on the wire than in the capture."""


def capture_name(path: Path) -> str:
    """What messages call a capture."""
    return "standard input" if path == STANDARD_INPUT else str(path)


def records(path: Path) -> Iterator[Record]:
    """The records of a pcap or pcapng file, also gzipped, one after the other, as they come.

    Raises CaptureError; for damage in the middle only after all records before it.
    """
    latest = 0.0
    name = capture_name(path)
    try:
        with _opened(path) as file:
            magic = file.read(len(_GZIP_MAGIC))
            whole = _Resumed(magic, file)
            plain: _Readable = whole
            if magic == _GZIP_MAGIC:
                plain = gzip.GzipFile(fileobj=cast(BinaryIO, whole))  # of which it only reads
            source = _Watched(plain)
            for link, frame, wire_length, time in _frames(name, source):
                strip = LINK_TYPES.get(link)
                if strip is None:
                    raise CaptureError(
                        f"{name}: packet at byte {source.start}: link type {link} is not known"
                        " here; expected Ethernet, raw IP, Linux cooked, PPP or loopback"
                    )
                latest = max(latest, time or 0.0)
                yield Record(strip(frame), latest, len(frame) < wire_length)
    except OSError as error:
        raise CaptureError(f"{name}: {error.strerror or error}") from error


def _opened(path: Path) -> contextlib.AbstractContextManager[_Readable]:
    if path != STANDARD_INPUT:
        return path.open("rb")
    if sys.stdin.isatty():
        raise CaptureError("standard input is a terminal: expected a capture, as from a pipe")
    return contextlib.nullcontext(sys.stdin.buffer)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Resumed:
    """A file that is read from its beginning again, also one that cannot go back."""

    def __init__(self, beginning: bytes, file: _Readable) -> None:
        self._beginning = beginning
        self._file = file

    def read(self, size: int, /) -> bytes:
        """Read bytes as a file does."""
        data, self._beginning = self._beginning[:size], self._beginning[size:]
        return data + self._file.read(size - len(data))


class _Watched:
    """A file for scapy to read from that remembers how its reads went."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._position = 0
        self.start = 0
        """Where the present record begins."""
        self.head = b""
        """The first bytes read of the present record."""
        self.wrong = False
        """Whether a read of the present record gave less than was asked for, or nothing."""

    def begin(self) -> None:
        """What is read from here on is a new record."""
        self.start, self.head, self.wrong = self._position, b"", False

    @property
    def at_end(self) -> bool:
        """Whether the file ends where the present record would begin."""
        return self._position == self.start and not self.wrong

    def read(self, size: int) -> bytes:
        """Read bytes as a file does; damage of any kind is an OSError."""
        if not 0 <= size <= _LARGEST_READ:
            self.wrong = True
            raise OSError(f"a length of {size} bytes")
        try:
            data = self._file.read(size)
        except (EOFError, OSError, zlib.error) as error:  # the ways in which gzip fails
            self.wrong = True
            raise OSError(str(error)) from error
        if len(data) < size and (data or self._position > self.start):
            self.wrong = True
        self._position += len(data)
        self.head = self.head or data
        return data


_Frame = tuple[int, bytes, int, float | None]
"""Link type, bytes, length on the wire, seconds since 1970 where the record says."""


def _frames(name: str, source: _Watched) -> Iterator[_Frame]:
    from scapy.utils import RawPcapNgReader, RawPcapReader

    logging.getLogger("scapy.runtime").setLevel(logging.CRITICAL)  # we have words of our own
    try:
        reader = RawPcapReader(source)
    except Exception as error:
        raise CaptureError(
            f"{name}: not a pcap or pcapng capture, or one that ends in its first header"
        ) from error
    following: Callable[[Any, _Watched], _Frame | None] = _pcap_frame
    if isinstance(reader, RawPcapNgReader):
        following = _pcapng_frame
        for kind in _WITH_CAPTURED_LENGTH:
            reader.blocktypes[kind] = _Checked(reader, reader.blocktypes[kind])
    while True:
        source.begin()
        try:
            frame = following(reader, source)
        except Exception as error:  # whatever scapy stumbles over in hostile bytes
            if source.at_end:
                return
            raise CaptureError(
                f"{name}: damaged or cut short at byte {source.start}; what comes before is whole"
            ) from error
        if frame is not None:
            yield frame


def _pcap_frame(reader: Any, source: _Watched) -> _Frame:
    data, about = next(reader)
    if source.wrong:
        raise EOFError
    time = about.sec + about.usec / (1e9 if reader.nano else 1e6)
    return reader.linktype & 0xFFFF, data, about.wirelen, time  # above: length of the checksum


class _Checked(NamedTuple):
    """How scapy reads a kind of packet block, which takes one that is too short for its packet."""

    reader: Any
    read: Callable[[bytes, int], Any]

    def __call__(self, block: bytes, size: int) -> Any:
        order: Literal["little", "big"] = "little" if self.reader.endian == "<" else "big"
        if int.from_bytes(block[12:16], order) > len(block) - _PACKET_PLACE:
            raise ValueError("a captured length beyond the end of the block")
        return self.read(block, size)


def _pcapng_frame(reader: Any, source: _Watched) -> _Frame | None:
    """The frame of the next block, or None if it holds none."""
    block = reader._read_block()
    kind = int.from_bytes(source.head, "little" if reader.endian == "<" else "big")
    if block is None:
        if kind in _PACKET_BLOCKS:
            raise ValueError("a packet of an interface that the file does not describe")
        if kind == _SECTION:
            reader.interfaces.clear()  # each section numbers its own
        elif kind == _INTERFACE and reader.interfaces[-1][1] == 0:
            link, _, options = reader.interfaces[-1]
            reader.interfaces[-1] = (link, 0xFFFFFFFF, options)  # 0 means no limit
        return None
    data, about = block
    time = None
    if about.tshigh is not None:
        time = (about.tshigh << 32 | about.tslow) / about.tsresol
    return about.linktype, data, about.wirelen, time


def _behind_type(frame: bytes, place: int) -> bytes | None:
    """The packet behind the Ethernet type at a place, VLAN tags and PPPoE, or None."""
    kind = frame[place : place + 2]
    while kind in _VLAN_TAGS:
        place += 4
        kind = frame[place : place + 2]
    if kind in (_IPV4, _IPV6):
        return frame[place + 2 :]
    return _ppp(frame[place + 8 :]) if kind == _PPPOE_SESSION else None


def _ethernet(frame: bytes) -> bytes | None:
    return _behind_type(frame, 12)


def _raw(frame: bytes) -> bytes | None:
    return frame


def _cooked(frame: bytes) -> bytes | None:
    return _behind_type(frame, 14)


def _cooked2(frame: bytes) -> bytes | None:
    return _behind_type(frame[:2] + frame[20:], 0)


def _ppp(frame: bytes) -> bytes | None:
    if frame.startswith(b"\xff\x03"):
        frame = frame[2:]
    size = 1 if frame and frame[0] & 1 else 2  # an odd first byte is a compressed field (RFC 1661)
    return frame[size:] if int.from_bytes(frame[:size], "big") in _PPP_IP else None


def _loopback(frame: bytes) -> bytes | None:
    family = frame[:4]  # in the byte order of whoever captured
    known = {int.from_bytes(family, "big"), int.from_bytes(family, "little")} & _ADDRESS_FAMILIES
    return frame[4:] if known else None


LINK_TYPES: Final[Mapping[int, Callable[[bytes], bytes | None]]] = {
    0: _loopback,
    1: _ethernet,
    9: _ppp,
    12: _raw,
    14: _raw,
    50: _ppp,
    101: _raw,
    108: _loopback,
    113: _cooked,
    228: _raw,
    229: _raw,
    276: _cooked2,
}
"""How to take off each known link layer, by its number in capture files (LINKTYPE_ values)."""
