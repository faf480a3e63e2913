"""Packets to try the driver with."""

from __future__ import annotations

import struct

from ipsecfd.policy.model import UDP


def datagram(destination: int, family: int, source: int, from_port: int, to_port: int) -> bytes:
    """An empty UDP datagram; without a checksum, since the driver reads none."""
    udp = struct.pack("!HHHH", from_port, to_port, 8, 0)
    if family == 6:
        return ipv6_packet(source, destination, UDP, udp, 64)
    return struct.pack("!BBHHHBBHII", 0x45, 0, 28, 0, 0, 64, UDP, 0, source, destination) + udp


def ipv6_packet(source: int, destination: int, protocol: int, body: bytes, hop_limit: int) -> bytes:
    """An IPv6 packet without extension headers."""
    header = struct.pack("!IHBB", 6 << 28, len(body), protocol, hop_limit)
    return header + source.to_bytes(16, "big") + destination.to_bytes(16, "big") + body
