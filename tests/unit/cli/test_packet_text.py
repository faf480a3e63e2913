"""Packet texts to packets, and what is said about texts that are none."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from ipsecfd.cli.packet_text import PacketTextError, packet_text, parse_packet_text
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import Packet, parse


def read(text: str) -> tuple[Direction, Packet]:
    direction, data = parse_packet_text(text)
    packet = parse(data)
    assert isinstance(packet, Packet), packet
    return direction, packet


@pytest.mark.parametrize(
    ("text", "direction", "protocol", "source", "destination"),
    [
        ("in tcp 203.0.113.66:88 -> 192.0.2.10:445", "in", 6, "203.0.113.66", "192.0.2.10"),
        ("out udp 192.0.2.10:5000 -> 10.0.0.7:53", "out", 17, "192.0.2.10", "10.0.0.7"),
        ("forward 50 10.0.0.1 -> 10.0.0.2", "forward", 50, "10.0.0.1", "10.0.0.2"),
        ("in icmp 10.0.0.1 -> 10.0.0.2", "in", 1, "10.0.0.1", "10.0.0.2"),
        ("in raw 10.0.0.1 -> 10.0.0.2", "in", 255, "10.0.0.1", "10.0.0.2"),
        ("in 46 10.0.0.1:0 -> 10.0.0.2", "in", 46, "10.0.0.1", "10.0.0.2"),
        ("in tcp [2001:db8::1]:80 -> [2001:db8::2]", "in", 6, "2001:db8::1", "2001:db8::2"),
        ("in tcp 2001:db8::1 -> 2001:db8::2", "in", 6, "2001:db8::1", "2001:db8::2"),
        ("in 58 fe80::1%eth0 -> ff02::1", "in", 58, "fe80::1", "ff02::1"),
        (" IN  TCP 10.0.0.1:1->10.0.0.2:2 ", "in", 6, "10.0.0.1", "10.0.0.2"),
    ],
)
def test_text_becomes_the_packet_it_describes(
    text: str, direction: str, protocol: int, source: str, destination: str
) -> None:
    """Direction, protocol and addresses arrive in the driver's parser."""
    got, packet = read(text)
    assert str(got) == direction
    assert packet.protocol == protocol
    assert str(packet.source_address) == source
    assert str(packet.destination_address) == destination


@pytest.mark.parametrize(
    ("ends", "ports"),
    [
        ("10.0.0.1:1 -> 10.0.0.2:65535", (1, 65535)),
        ("10.0.0.1 -> 10.0.0.2:80", (0, 80)),
        ("[::5]:80 -> [::6]:81", (80, 81)),
        ("::5 -> [::6]", (0, 0)),
    ],
)
@pytest.mark.parametrize("protocol", ["tcp", "UDP"])
def test_ports(protocol: str, ends: str, ports: tuple[int, int]) -> None:
    """A port left out is port 0."""
    packet = read(f"in {protocol} {ends}")[1]
    assert packet.has_ports
    assert (packet.source_port, packet.destination_port) == ports


def test_icmpv6_is_an_echo_request() -> None:
    """An ICMPv6 packet is no neighbour discovery, which would be exempt."""
    assert read("out icmpv6 2001:db8::1 -> 2001:db8::2")[1].icmpv6_type == 128


def test_protocol_names_of_the_system_are_known() -> None:
    """A protocol that policies have no name for goes by the name in /etc/protocols."""
    try:
        assert read("in esp 10.0.0.1 -> 10.0.0.2")[1].protocol == 50
    except PacketTextError:
        pytest.skip("no /etc/protocols here")


def sum_of(data: bytes) -> int:
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


@pytest.mark.parametrize("protocol", ["tcp", "udp", "icmpv6"])
@pytest.mark.parametrize("addresses", [("10.0.0.1", "10.9.8.7"), ("2001:db8::1", "2001:db8::ffff")])
def test_checksums_and_lengths_are_right(protocol: str, addresses: tuple[str, str]) -> None:
    """The packet would pass any receiver: lengths fit and checksums add up to all ones."""
    _, data = parse_packet_text(f"in {protocol} {addresses[0]} -> {addresses[1]}")
    ends = b"".join(ipaddress.ip_address(one).packed for one in addresses)
    if data[0] == 0x45:
        assert int.from_bytes(data[2:4], "big") == len(data)
        assert sum_of(data[:20]) == 0xFFFF
        number, payload = data[9], data[20:]
    else:
        assert int.from_bytes(data[4:6], "big") == len(data) - 40
        number, payload = data[6], data[40:]
    assert sum_of(ends + bytes((0, number)) + struct.pack("!H", len(payload)) + payload) == 0xFFFF


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "DIRECTION PROTOCOL"),
        ("in tcp 10.0.0.1", "DIRECTION PROTOCOL"),
        ("in tcp 10.0.0.1 -> 10.0.0.2 udp", "DIRECTION PROTOCOL"),
        ("tcp 10.0.0.1 -> 10.0.0.2", "DIRECTION PROTOCOL"),
        ("sideways tcp 10.0.0.1 -> 10.0.0.2", "'sideways'"),
        ("in any 10.0.0.1 -> 10.0.0.2", "'any'"),
        ("in 256 10.0.0.1 -> 10.0.0.2", "0 to 255"),
        ("in tcp 10.0.0.256 -> 10.0.0.2", "'10.0.0.256'"),
        ("in tcp any:80 -> 10.0.0.2", "'any'"),
        ("in tcp 10.0.0.1:65536 -> 10.0.0.2", "'65536'"),
        ("in tcp 10.0.0.1:-1 -> 10.0.0.2", "'-1'"),
        ("in tcp 10.0.0.1:" + "9" * 5000 + " -> 10.0.0.2", "0 to 65535"),
        ("in tcp 10.0.0.1: -> 10.0.0.2", "0 to 65535"),
        ("in tcp [10.0.0.1 -> 10.0.0.2", "[ADDRESS]:PORT"),
        ("in tcp [::1]80 -> ::2", "[ADDRESS]:PORT"),
        ("in icmp 10.0.0.1:80 -> 10.0.0.2", "only tcp and udp"),
        ("in tcp 10.0.0.1 -> ::1", "one family"),
        ("in 44 ::1 -> ::2", "extension header"),
    ],
)
def test_wrong_text_is_refused_with_the_piece(text: str, said: str) -> None:
    """A wrong text names the piece that is wrong, or what was expected."""
    with pytest.raises(PacketTextError) as refused:
        parse_packet_text(text)
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "text",
    [
        "in tcp 203.0.113.66:40000 -> 192.0.2.10:80",
        "out udp [2001:db8::10]:53 -> [2001:db8::1]:9999",
        "forward icmp 10.0.0.1 -> 10.0.0.2",
        "in icmpv6 2001:db8::1 -> 2001:db8::10",
        "in 253 203.0.113.66 -> 192.0.2.10",
        "in 0 203.0.113.66 -> 192.0.2.10",
    ],
)
def test_written_as_it_is_read(text: str) -> None:
    """A packet's text reads back as the same packet."""
    direction, data = parse_packet_text(text)
    packet = parse(data)
    assert isinstance(packet, Packet)
    assert packet.protocol is not None
    ends = (
        packet.source_address,
        packet.source_port,
        packet.destination_address,
        packet.destination_port,
    )
    assert packet_text(direction, packet.protocol, *ends) == text
