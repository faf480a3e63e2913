"""The packets that the lab writes are well-formed, as the driver's parser sees them."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.packet import Packet, parse
from ipsecfd.lab.craft import (
    icmp_message,
    ip_packet,
    tcp_segment,
    udp_datagram,
    with_header_checksum,
)

V4 = (ipaddress.ip_address("203.0.113.66"), ipaddress.ip_address("192.0.2.10"))
V6 = (ipaddress.ip_address("2001:db8:66::66"), ipaddress.ip_address("2001:db8::10"))


def folded_sum(data: bytes) -> int:
    """The ones' complement sum that a right checksum makes 0xffff (RFC 1071)."""
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_packet_parses_back(ends: tuple[ipaddress.IPv4Address, ipaddress.IPv4Address]) -> None:
    """A packet holds the addresses, the protocol and the ports it was made of."""
    packet = parse(ip_packet(*ends, 17, udp_datagram((4000, 53), b"data")))
    assert isinstance(packet, Packet)
    assert (packet.source_address, packet.destination_address) == ends
    assert (packet.protocol, packet.source_port, packet.destination_port) == (17, 4000, 53)


def test_checksums() -> None:
    """The checksums of the IPv4 header, of TCP with its pseudo header, and of ICMP are right."""
    segment = tcp_segment(*V4, (1, 2), "SA", b"odd")
    pseudo = V4[0].packed + V4[1].packed + bytes([0, 6]) + len(segment).to_bytes(2, "big")
    assert folded_sum(pseudo + segment + b"\0") == 0xFFFF
    assert folded_sum(icmp_message(8, 7, b"even")) == 0xFFFF
    assert folded_sum(ip_packet(*V4, 6, segment)[:20]) == 0xFFFF


def test_header_checksum_only_where_it_is_zero() -> None:
    """A header checksum that is there, or a packet that has none, is left as it is."""
    wrong = bytearray(ip_packet(*V4, 17, b""))
    wrong[10:12] = b"\x12\x34"
    for packet in (bytes(wrong), ip_packet(*V6, 17, b""), b"", b"\x45"):
        assert with_header_checksum(packet) == packet
