"""The parser, met with hostile packets that have names."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.packet import COPY_RANGE, Malformed, Packet, parse
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    ME,
    ME6,
    NO_NEXT_HEADER,
    ROUTING,
    extension,
    fragment_header,
    icmp,
    ipv4,
    ipv6,
    tcp,
    udp,
)

A, A6 = "203.0.113.66", "2001:db8::66"


def good(data: bytes, cut: bool = False) -> Packet:
    packet = parse(data, cut)
    assert isinstance(packet, Packet), packet
    return packet


def bad(data: bytes, cut: bool = False) -> str:
    packet = parse(data, cut)
    assert isinstance(packet, Malformed), packet
    return packet.why


def ports(packet: Packet) -> tuple[int, int] | None:
    return (packet.source_port, packet.destination_port) if packet.has_ports else None


class TestIPv4:
    def test_facts(self) -> None:
        """Addresses, protocol and ports are read."""
        packet = good(ipv4(A, ME, 6, tcp(4000, 80), ttl=7))
        assert (packet.family, packet.protocol, packet.hop_limit) == (4, 6, 7)
        assert packet.source_address == ipaddress.ip_address(A)
        assert packet.destination_address == ipaddress.ip_address(ME)
        assert ports(packet) == (4000, 80)
        assert not packet.fragment

    @pytest.mark.parametrize("words", range(1, 11))
    def test_options(self, words: int) -> None:
        """Ports stand behind the options, however long these are."""
        packet = good(ipv4(A, ME, 17, udp(4000, 53), options=b"\x01" * 4 * words))
        assert ports(packet) == (4000, 53)

    @pytest.mark.parametrize("words", range(5))
    def test_header_length_below_20(self, words: int) -> None:
        """A header length below five words would put the ports into the addresses."""
        assert "header length below 20" in bad(ipv4(A, ME, 6, tcp(1, 80), header_words=words))

    def test_header_length_beyond_the_packet(self) -> None:
        """A header longer than the packet is none, also where the copy is cut."""
        data = ipv4(A, ME, 6, tcp(1, 80)[:4], header_words=15)
        assert "options cut short" in bad(data)
        assert "options cut short" in bad(data, cut=True)

    @pytest.mark.parametrize(("total", "why"), [(41, "beyond"), (65535, "beyond"), (19, "below")])
    def test_total_length_lies(self, total: int, why: str) -> None:
        """A total length above the packet or below the header is a lie."""
        assert why in bad(ipv4(A, ME, 6, tcp(1, 80), total_length=total))

    def test_total_length_below_options(self) -> None:
        """The header that the total length must hold includes the options."""
        assert "below" in bad(ipv4(A, ME, 6, tcp(1, 80), options=bytes(8), total_length=27))

    @pytest.mark.parametrize("total", range(20, 24))
    def test_ports_beyond_the_total_length(self, total: int) -> None:
        """Ports outside the packet's own length are padding, not ports."""
        assert "without ports" in bad(ipv4(A, ME, 6, tcp(1, 80), total_length=total))

    def test_total_length_zero(self) -> None:
        """Zero is what the kernel writes for segments above 65,535 bytes (BIG TCP)."""
        assert ports(good(ipv4(A, ME, 6, tcp(4000, 80), total_length=0))) == (4000, 80)

    def test_large_segments(self) -> None:
        """With GSO a packet longer than any MTU is normal: its copy is cut at 256 bytes."""
        data = ipv4(A, ME, 6, tcp(4000, 80) + bytes(COPY_RANGE), total_length=65_000)
        assert ports(good(data[:COPY_RANGE])) == (4000, 80)
        assert "beyond" in bad(data[: COPY_RANGE - 1])
        assert ports(good(data[: COPY_RANGE - 1], cut=True)) == (4000, 80)

    @pytest.mark.parametrize("length", range(24))
    @pytest.mark.parametrize("cut", [False, True])
    def test_truncated(self, length: int, cut: bool) -> None:
        """Cut before the end of its ports it is malformed, whether the copy is cut or not."""
        assert bad(ipv4(A, ME, 6, tcp(4000, 80))[:length], cut)

    @pytest.mark.parametrize("version", [0, 1, 5, 7, 15])
    def test_other_versions(self, version: int) -> None:
        """Neither 4 nor 6 is no IP packet."""
        data = ipv4(A, ME, 6, tcp(1, 80))
        assert "version" in bad(bytes((version << 4 | 5,)) + data[1:])

    @pytest.mark.parametrize("protocol", [0, 43, 44, 50, 51, 58, 59, 60, 135, 139, 140, 255])
    def test_numbers_are_only_numbers(self, protocol: int) -> None:
        """In IPv4 no protocol is an extension header, and 58 is no ICMPv6."""
        packet = good(ipv4(A, ME, protocol, b"\x87" + bytes(11)))
        assert (packet.protocol, packet.has_ports, packet.icmpv6_type) == (protocol, False, None)

    @pytest.mark.parametrize("protocol", [1, 46, 47, 50, 255])
    def test_no_payload(self, protocol: int) -> None:
        """A protocol without ports needs no payload."""
        assert good(ipv4(A, ME, protocol)).protocol == protocol

    @pytest.mark.parametrize("length", range(4))
    @pytest.mark.parametrize("protocol", [6, 17])
    def test_shorter_than_ports(self, protocol: int, length: int) -> None:
        """TCP and UDP without their four bytes of ports are malformed."""
        assert "without ports" in bad(ipv4(A, ME, protocol, bytes(length)))


class TestIPv4Fragments:
    def test_offset_is_in_units_of_eight(self) -> None:
        """Offset 1 is eight bytes: for TCP the attack of RFC 3128, offset 2 is not."""
        assert good(ipv4(A, ME, 6, bytes(8), offset=1)).short_fragment == "TCP fragment at offset 8"
        assert good(ipv4(A, ME, 6, bytes(8), offset=2)).short_fragment is None
        assert good(ipv4(A, ME, 6, bytes(8), offset=8)).short_fragment is None
        assert good(ipv4(A, ME, 17, bytes(8), offset=1)).short_fragment is None

    @pytest.mark.parametrize("offset", [1, 2, 255, 256, 0x1000, 0x1FFF])
    def test_any_offset_is_a_later_fragment(self, offset: int) -> None:
        """All 13 bits count; what follows is data that looks like ports and is none."""
        packet = good(ipv4(A, ME, 17, udp(4000, 80), offset=offset))
        assert packet.fragment
        assert packet.later_fragment
        assert ports(packet) is None

    def test_more_fragments_bit(self) -> None:
        """Only 0x2000 means more fragments: not DF (0x4000), not the evil bit (0x8000)."""
        assert good(ipv4(A, ME, 6, tcp(1, 80), more=True)).fragment
        assert not good(ipv4(A, ME, 6, tcp(1, 80), flags=0xC000)).fragment

    def test_first_fragment(self) -> None:
        """The first fragment has its ports and counts as a fragment, not as a later one."""
        packet = good(ipv4(A, ME, 6, tcp(4000, 80), more=True))
        assert ports(packet) == (4000, 80)
        assert (packet.fragment, packet.later_fragment) == (True, False)

    @pytest.mark.parametrize("length", range(4))
    @pytest.mark.parametrize("protocol", [6, 17])
    def test_first_fragment_without_ports(self, protocol: int, length: int) -> None:
        """A first fragment that hides its ports can only be an attack (spec 5, item 3)."""
        packet = good(ipv4(A, ME, protocol, bytes(length), more=True))
        assert packet.short_fragment == "first fragment without ports"

    def test_first_fragment_with_ports_only(self) -> None:
        """Four bytes are enough for ports."""
        packet = good(ipv4(A, ME, 6, tcp(4000, 80)[:4], more=True))
        assert (packet.short_fragment, ports(packet)) == (None, (4000, 80))

    @pytest.mark.parametrize("protocol", [1, 50, 51])
    def test_short_fragments_of_others(self, protocol: int) -> None:
        """ICMP, ESP and the like have no ports to hide (spec 5, item 4)."""
        assert good(ipv4(A, ME, protocol, b"", more=True)).short_fragment is None
        assert good(ipv4(A, ME, protocol, b"", offset=1)).short_fragment is None


class TestIPv6:
    def test_facts(self) -> None:
        """Addresses, protocol, hop limit and ports are read."""
        packet = good(ipv6(A6, ME6, 17, udp(4000, 53), hop_limit=9, flow_label=0xFFFFF))
        assert (packet.family, packet.protocol, packet.hop_limit) == (6, 17, 9)
        assert packet.source_address == ipaddress.ip_address(A6)
        assert packet.destination_address == ipaddress.ip_address(ME6)
        assert ports(packet) == (4000, 53)

    @pytest.mark.parametrize("length", range(44))
    @pytest.mark.parametrize("cut", [False, True])
    def test_truncated(self, length: int, cut: bool) -> None:
        """Cut before the end of its ports it is malformed."""
        assert bad(ipv6(A6, ME6, 6, tcp(4000, 80))[:length], cut)

    @pytest.mark.parametrize("length", range(45, 60))
    def test_truncated_behind_the_ports(self, length: int) -> None:
        """A packet shorter than it says is malformed, unless the copy is known to be cut."""
        data = ipv6(A6, ME6, 6, tcp(4000, 80))[:length]
        assert "beyond" in bad(data)
        assert ports(good(data, cut=True)) == (4000, 80)

    def test_payload_length_lies(self) -> None:
        """A payload length above the packet is a lie; below, the rest is padding."""
        assert "beyond" in bad(ipv6(A6, ME6, 6, tcp(1, 80), payload_length=21))
        assert "without ports" in bad(ipv6(A6, ME6, 6, tcp(1, 80), payload_length=3))
        assert ports(good(ipv6(A6, ME6, 6, tcp(1, 80) + bytes(9), payload_length=20))) == (1, 80)

    def test_payload_length_zero(self) -> None:
        """Zero is BIG TCP, with the jumbo option of RFC 2675 or without."""
        assert ports(good(ipv6(A6, ME6, 6, tcp(1, 80), payload_length=0))) == (1, 80)
        jumbo = bytes((6, 0, 0xC2, 4)) + (70_000).to_bytes(4, "big")
        data = ipv6(A6, ME6, HOP_BY_HOP, jumbo + tcp(1, 80), payload_length=0)
        assert ports(good(data + bytes(COPY_RANGE))) == (1, 80)

    def test_no_header_at_all(self) -> None:
        """A bare header with payload length zero has no TCP in it."""
        assert "without ports" in bad(ipv6(A6, ME6, 6))

    @pytest.mark.parametrize("number", [NO_NEXT_HEADER, 50, 51, 132, 135, 139, 140, 253, 255])
    def test_plain_numbers(self, number: int) -> None:
        """59, ESP, AH, mobility, HIP and shim6 are protocol numbers, nothing is looked for behind
        them."""
        packet = good(ipv6(A6, ME6, number, bytes((6, 0)) + bytes(6) + tcp(1, 80)))
        assert (packet.protocol, packet.has_ports) == (number, False)

    def test_chain(self) -> None:
        """Ports stand behind every extension header of a chain, whatever the sizes."""
        chain = (
            extension(DESTINATION_OPTIONS, 16)
            + extension(ROUTING, 8)
            + extension(DESTINATION_OPTIONS, 40)
            + extension(17, 24)
        )
        packet = good(ipv6(A6, ME6, HOP_BY_HOP, chain + udp(4000, 53)))
        assert (packet.protocol, ports(packet), packet.fragment) == (17, (4000, 53), False)

    @pytest.mark.parametrize("length", range(40 + 24 + 4))
    def test_chain_cut_anywhere(self, length: int) -> None:
        """A chain cut anywhere, with or without notice, is malformed."""
        chain = extension(DESTINATION_OPTIONS) + extension(17, 16)
        data = ipv6(A6, ME6, HOP_BY_HOP, chain + udp(4000, 53))[:length]
        assert bad(data)
        assert bad(data, cut=True)

    def test_chain_beyond_the_copy(self) -> None:
        """A chain that reaches beyond the 256 bytes hides the ports: malformed."""
        chain = extension(DESTINATION_OPTIONS, 128) + extension(17, 128)
        assert "beyond byte 256" in bad(ipv6(A6, ME6, HOP_BY_HOP, chain + udp(4000, 53)))

    def test_header_longer_than_the_packet(self) -> None:
        """An extension header that claims 2048 bytes is cut short."""
        assert "cut short" in bad(ipv6(A6, ME6, DESTINATION_OPTIONS, b"\x06\xff" + bytes(6)))

    @pytest.mark.parametrize("left", [0, 1, 255])
    def test_routing_header(self, left: int) -> None:
        """One with segments left says that the packet goes on from here."""
        routing = bytes((17, 2, 4, left)) + bytes(20)
        packet = good(ipv6(A6, ME6, ROUTING, routing + udp(4000, 53)))
        assert (ports(packet), packet.goes_on) == ((4000, 53), left > 0)
        packet = good(
            ipv6(
                A6,
                ME6,
                DESTINATION_OPTIONS,
                bytes((43, 0, 0, 9)) + bytes(4) + routing + udp(4000, 53),
            )
        )
        assert packet.goes_on == (left > 0)

    def test_hop_by_hop_not_first(self) -> None:
        """Hop-by-hop options are legal in first place only."""
        chain = extension(HOP_BY_HOP) + extension(6)
        assert "hop-by-hop" in bad(ipv6(A6, ME6, DESTINATION_OPTIONS, chain + tcp(1, 80)))
        assert "hop-by-hop" in bad(ipv6(A6, ME6, HOP_BY_HOP, chain + tcp(1, 80)))

    def test_icmpv6(self) -> None:
        """The type of a whole ICMPv6 message is read; one without a type is malformed."""
        assert good(ipv6(A6, ME6, 58, icmp(135))).icmpv6_type == 135
        assert good(ipv6(A6, ME6, 58, b"\x87")).icmpv6_type == 135
        assert "ICMPv6" in bad(ipv6(A6, ME6, 58))
        assert "ICMPv6" in bad(ipv6(A6, ME6, HOP_BY_HOP, extension(58)))


class TestIPv6Fragments:
    @pytest.mark.parametrize("offset", [1, 2, 185, 0x1000, 0x1FFF])
    def test_later_fragment(self, offset: int) -> None:
        """The offset's low three bits are flags; a later fragment has no ports."""
        packet = good(
            ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(17, offset=offset) + udp(1, 80))
        )
        assert (packet.protocol, packet.later_fragment) == (17, True)
        assert ports(packet) is None

    def test_tcp_at_offset_8(self) -> None:
        """The TCP flags cannot be rewritten by a fragment at offset 8."""
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6, offset=1) + bytes(8)))
        assert packet.short_fragment == "TCP fragment at offset 8"

    def test_first_fragment(self) -> None:
        """The first fragment has its ports."""
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6, more=True) + tcp(4000, 80)))
        assert ports(packet) == (4000, 80)
        assert (packet.fragment, packet.later_fragment) == (True, False)

    def test_atomic_fragment(self) -> None:
        """A fragment header without offset and more bit is no fragment (RFC 6946)."""
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6) + tcp(4000, 80)))
        assert (packet.fragment, ports(packet)) == (False, (4000, 80))

    @pytest.mark.parametrize("more", [False, True])
    def test_reserved_bits(self, more: bool) -> None:
        """The two reserved bits beside the more bit mean nothing."""
        header = bytearray(fragment_header(6, more=more))
        header[3] |= 0b110
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, bytes(header) + tcp(4000, 80)))
        assert (packet.fragment, packet.later_fragment) == (more, False)

    def test_nested(self) -> None:
        """A fragment header inside a fragment is refused; behind an atomic one it counts."""
        inner = fragment_header(6, more=True) + tcp(4000, 80)
        outer = fragment_header(FRAGMENT_HEADER, more=True)
        assert "two IPv6 fragment headers" in bad(ipv6(A6, ME6, FRAGMENT_HEADER, outer + inner))
        atomic = fragment_header(FRAGMENT_HEADER) + fragment_header(6, offset=9) + bytes(8)
        assert good(ipv6(A6, ME6, FRAGMENT_HEADER, atomic)).later_fragment

    def test_nested_in_a_later_fragment(self) -> None:
        """What a later fragment says about further headers hides its protocol."""
        data = fragment_header(FRAGMENT_HEADER, offset=9) + fragment_header(6) + tcp(4000, 80)
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, data))
        assert (packet.protocol, packet.later_fragment, packet.has_ports) == (None, True, False)

    @pytest.mark.parametrize("header", [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS])
    def test_hidden_protocol(self, header: int) -> None:
        """Behind extension headers in the fragmentable part the protocol is unknown."""
        data = fragment_header(header, offset=9) + extension(6) + tcp(4000, 80)
        assert good(ipv6(A6, ME6, FRAGMENT_HEADER, data)).protocol is None

    @pytest.mark.parametrize(
        "rest",
        [
            b"",
            extension(DESTINATION_OPTIONS),
            extension(17, 64)[:40],
            b"\x11\xff" + bytes(30),
        ],
        ids=["nothing", "another to come", "cut", "longer than the packet"],
    )
    def test_rfc_7112(self, rest: bytes) -> None:
        """A first fragment must hold the whole header chain."""
        data = ipv6(
            A6, ME6, FRAGMENT_HEADER, fragment_header(DESTINATION_OPTIONS, more=True) + rest
        )
        assert good(data).short_fragment == "first fragment without its transport header"

    @pytest.mark.parametrize("length", range(4))
    def test_first_fragment_without_ports(self, length: int) -> None:
        """Nor may it hide the ports."""
        data = fragment_header(6, more=True) + bytes(length)
        packet = good(ipv6(A6, ME6, FRAGMENT_HEADER, data))
        assert packet.short_fragment == "first fragment without ports"

    @pytest.mark.parametrize("length", range(8))
    def test_fragment_header_cut(self, length: int) -> None:
        """A fragment header cut short is malformed."""
        assert "cut short" in bad(ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6)[:length]))

    def test_fragmented_icmpv6_has_no_type(self) -> None:
        """Neighbour discovery in a fragment is none (RFC 6980)."""
        data = fragment_header(58, more=True) + icmp(135)
        assert good(ipv6(A6, ME6, FRAGMENT_HEADER, data)).icmpv6_type is None
        data = fragment_header(58, offset=4) + icmp(135)
        assert good(ipv6(A6, ME6, FRAGMENT_HEADER, data)).icmpv6_type is None


def test_empty() -> None:
    """No bytes are no packet."""
    assert "empty" in bad(b"")


def test_only_the_copy_is_read() -> None:
    """Bytes beyond the copied ones change nothing."""
    data = ipv6(A6, ME6, HOP_BY_HOP, extension(17, 200) + udp(4000, 53) + bytes(400))
    assert parse(data) == parse(data[:COPY_RANGE])
