"""Facts to bytes, the way back of `driver.packet`: packets for the driver to judge.

They are whole and well-formed: the driver judges them as it judges what comes from the wire.
"""

from __future__ import annotations

import struct
from typing import Final

from ipsecfd.policy.model import ICMP, ICMPV6, TCP, UDP, IPAddress

_HOP_LIMIT: Final = 64
_SYN: Final = 0x02


def build(
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    source_port: int = 0,
    destination_port: int = 0,
) -> bytes:
    """A whole packet between two addresses of one family: a TCP SYN, an empty UDP datagram, an
    echo request, or a header with eight bytes of zero behind it. Ports are for TCP and UDP."""
    payload = _payload(source, destination, protocol, source_port, destination_port)
    if source.version == 6:
        return build_ipv6(source, destination, protocol, payload)
    total = 20 + len(payload)
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, _HOP_LIMIT, protocol, 0)
    header += source.packed + destination.packed
    return header[:10] + _checksum(header) + header[12:] + payload


def build_ipv6(
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    payload: bytes,
    hop_limit: int = _HOP_LIMIT,
) -> bytes:
    """An IPv6 packet without extension headers."""
    header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit)
    return header + source.packed + destination.packed + payload


def _payload(
    source: IPAddress, destination: IPAddress, protocol: int, source_port: int, port: int
) -> bytes:
    match protocol:
        case 6:
            payload = struct.pack("!HHIIBBHHH", source_port, port, 0, 0, 5 << 4, _SYN, 65535, 0, 0)
            checksum_at = 16
        case 17:
            payload = struct.pack("!HHHH", source_port, port, 8, 0)
            checksum_at = 6
        case 1 | 58:
            payload = struct.pack("!BBHHH", 8 if protocol == ICMP else 128, 0, 0, 1, 1)
            checksum_at = 2
        case _:
            return bytes(8)
    pseudo = b""  # the words of its two forms (RFC 768, RFC 8200) add up to the same
    if protocol in (TCP, UDP, ICMPV6):
        pseudo = source.packed + destination.packed + struct.pack("!II", len(payload), protocol)
    checksum = _checksum(pseudo + payload)
    return payload[:checksum_at] + checksum + payload[checksum_at + 2 :]


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of an even number of bytes; zero in its other form, since
    UDP means "none" by a plain zero."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
