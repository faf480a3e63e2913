"""The bytes of the packets that the lab writes itself."""

from __future__ import annotations

import struct
from typing import Final

from ipsecfd.policy.model import TCP, IPAddress

TCP_FLAGS: Final = {"F": 0x01, "S": 0x02, "R": 0x04, "P": 0x08, "A": 0x10, "U": 0x20}

ECHO_REQUEST: Final = {4: 8, 6: 128}
ECHO_REPLY: Final = {4: 0, 6: 129}


def icmp_message(message_type: int, identifier: int, payload: bytes) -> bytes:
    """An ICMP message in the form of an echo: type, code 0, identifier, sequence 1, payload.

    ICMPv6 has the same form; there the kernel writes the checksum over this one.
    """
    header = struct.pack("!BBHHH", message_type, 0, 0, identifier, 1)
    checksum = _checksum(header + payload)
    return header[:2] + checksum + header[4:] + payload


def tcp_segment(
    source: IPAddress,
    destination: IPAddress,
    ports: tuple[int, int],
    flags: str,
    payload: bytes,
) -> bytes:
    """A TCP segment with sequence number 1, acknowledging 1 if the flags hold A."""
    bits = sum(TCP_FLAGS[flag] for flag in set(flags))
    acknowledged = 1 if "A" in flags else 0
    header = struct.pack("!HHIIBBHHH", *ports, 1, acknowledged, 5 << 4, bits, 65535, 0, 0)
    length = len(header) + len(payload)
    pseudo = source.packed + destination.packed + struct.pack("!II", length, TCP)
    checksum = _checksum(pseudo + header + payload)
    return header[:16] + checksum + header[18:] + payload


def udp_datagram(ports: tuple[int, int], payload: bytes) -> bytes:
    """A UDP datagram without a checksum."""
    return struct.pack("!HHHH", *ports, 8 + len(payload), 0) + payload


def ip_packet(
    source: IPAddress, destination: IPAddress, protocol: int, payload: bytes, hop_limit: int = 64
) -> bytes:
    """A whole packet of the addresses' family."""
    if source.version == 6:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, hop_limit)
        return header + source.packed + destination.packed + payload
    header = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 0, 0, hop_limit, protocol, 0)
    return with_header_checksum(header + source.packed + destination.packed + payload)


def with_header_checksum(packet: bytes) -> bytes:
    """A packet with its IPv4 header checksum filled in, where there is a header and it is zero."""
    length = (packet[0] & 15) * 4 if packet else 0
    if not packet or packet[0] >> 4 != 4 or not 20 <= length <= len(packet) or any(packet[10:12]):
        return packet
    return packet[:10] + _checksum(packet[:length]) + packet[12:]


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071)."""
    data += bytes(len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF)
