"""Capture files by hand, for tests: they know the formats and nothing of the reader."""

from __future__ import annotations

import struct
from collections.abc import Iterable

ETHERNET, RAW = 1, 101

Frame = bytes | tuple[bytes, int] | tuple[bytes, int, float]
"""Bytes; with the length on the wire; with the time in seconds."""


def _parts(frame: Frame) -> tuple[bytes, int, float]:
    if isinstance(frame, bytes):
        return frame, len(frame), 0.0
    return (*frame, 0.0) if len(frame) == 2 else frame


def pcap(
    frames: Iterable[Frame], link: int = RAW, *, order: str = "<", nano: bool = False
) -> bytes:
    """A pcap file in one byte order and resolution."""
    magic, unit = (0xA1B23C4D, 1e9) if nano else (0xA1B2C3D4, 1e6)
    out = [struct.pack(order + "IHHIIII", magic, 2, 4, 0, 0, 262144, link)]
    for frame in frames:
        data, wire, time = _parts(frame)
        fraction = round(time % 1 * unit)
        out += [struct.pack(order + "IIII", int(time), fraction, len(data), wire), data]
    return b"".join(out)


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A pcapng block."""
    body += bytes(-len(body) % 4)
    length = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + length + body + length


def section(order: str = "<") -> bytes:
    """The header of a pcapng section."""
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link: int = RAW, order: str = "<", *, nano: bool = False, snaplen: int = 0) -> bytes:
    """A pcapng interface description."""
    options = struct.pack(order + "HHB3xHH", 9, 1, 9, 0, 0) if nano else b""
    return block(1, struct.pack(order + "HHI", link, 0, snaplen) + options, order)


def enhanced(frame: Frame, number: int = 0, order: str = "<", *, nano: bool = False) -> bytes:
    """A pcapng packet of an interface."""
    data, wire, time = _parts(frame)
    ticks = round(time * (1e9 if nano else 1e6))
    about = (number, ticks >> 32, ticks & 0xFFFFFFFF, len(data), wire)
    return block(6, struct.pack(order + "5I", *about) + data, order)


def simple(data: bytes, order: str = "<") -> bytes:
    """A pcapng packet without interface and time."""
    return block(3, struct.pack(order + "I", len(data)) + data, order)


def pcapng(
    frames: Iterable[Frame], link: int = RAW, *, order: str = "<", nano: bool = False
) -> bytes:
    """A pcapng file with one section and one interface."""
    packets = b"".join(enhanced(frame, 0, order, nano=nano) for frame in frames)
    return section(order) + interface(link, order, nano=nano) + packets


def ethernet(packet: bytes, kind: int | None = None, tags: Iterable[tuple[int, int]] = ()) -> bytes:
    """An Ethernet frame, padded to 60 bytes; tags are VLAN type and number."""
    vlan = b"".join(struct.pack("!HH", *tag) for tag in tags)
    return (bytes(12) + vlan + struct.pack("!H", ethertype(packet, kind)) + packet).ljust(60, b"\0")


def ethertype(packet: bytes, kind: int | None = None) -> int:
    """The Ethernet type of an IP packet."""
    return kind or (0x86DD if packet[0] >> 4 == 6 else 0x0800)
