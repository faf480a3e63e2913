"""Capture formats and link layers."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from ipsecfd.cli.captures import CaptureError, Record, records
from tests.builders import icmp, ipv4, ipv6, tcp, udp
from tests.unit.cli.capture_files import (
    ETHERNET,
    RAW,
    block,
    enhanced,
    ethernet,
    ethertype,
    interface,
    pcap,
    pcapng,
    section,
    simple,
)

V4 = ipv4("203.0.113.66", "192.0.2.10", 6, tcp(4000, 80))
V6 = ipv6("2001:db8::1", "2001:db8::10", 17, udp(4000, 53))
ARP = bytes(12) + b"\x08\x06" + bytes(46)


def read(tmp_path: Path, content: bytes) -> list[Record]:
    path = tmp_path / "capture"
    path.write_bytes(content)
    return list(records(path))


def packets(tmp_path: Path, content: bytes) -> list[bytes | None]:
    return [record.data for record in read(tmp_path, content)]


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("nano", [False, True])
def test_formats(tmp_path: Path, make: type, order: str, nano: bool) -> None:
    """Both formats, byte orders and resolutions give packets, times and what was cut."""
    content = make([(V4, 1500, 1000.25), (V6, len(V6), 1001.5)], order=order, nano=nano)
    assert read(tmp_path, content) == [
        Record(V4, 1000.25, True),
        Record(V6, 1001.5, False),
    ]


def test_gzipped(tmp_path: Path) -> None:
    """A gzipped capture is read as what is in it."""
    assert packets(tmp_path, gzip.compress(pcap([V4]))) == [V4]


def cooked(packet: bytes) -> bytes:
    return bytes(14) + struct.pack("!H", ethertype(packet)) + packet


def cooked2(packet: bytes) -> bytes:
    return struct.pack("!H", ethertype(packet)) + bytes(18) + packet


def ppp(packet: bytes) -> bytes:
    return struct.pack("!H", 0x57 if packet[0] >> 4 == 6 else 0x21) + packet


def null(packet: bytes, order: str = "<") -> bytes:
    return struct.pack(order + "I", 30 if packet[0] >> 4 == 6 else 2) + packet


@pytest.mark.parametrize("packet", [V4, V6], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize(
    ("link", "wrap"),
    [
        (ETHERNET, ethernet),
        (ETHERNET, lambda packet: ethernet(packet, tags=[(0x8100, 5)])),
        (ETHERNET, lambda packet: ethernet(packet, tags=[(0x88A8, 7), (0x8100, 5)])),
        (ETHERNET, lambda packet: ethernet(bytes(6) + ppp(packet), 0x8864)),
        (RAW, bytes),
        (12, bytes),
        (14, bytes),
        (113, cooked),
        (276, cooked2),
        (9, ppp),
        (9, lambda packet: b"\xff\x03" + ppp(packet)),
        (9, lambda packet: ppp(packet)[1:]),
        (50, lambda packet: b"\xff\x03" + ppp(packet)),
        (0, null),
        (0, lambda packet: null(packet, ">")),
        (108, lambda packet: null(packet, ">")),
        (RAW | 0x14000000, bytes),
    ],
)
def test_link_layers_are_taken_off(tmp_path: Path, packet: bytes, link: int, wrap: type) -> None:
    """Each known link layer is taken off; padding behind the packet may stay."""
    (got,) = packets(tmp_path, pcap([wrap(packet)], link))
    assert got is not None
    assert got[: len(packet)] == packet
    assert not got[len(packet) :].strip(b"\0")


@pytest.mark.parametrize(("link", "packet"), [(228, V4), (229, V6)])
def test_raw_of_one_family(tmp_path: Path, link: int, packet: bytes) -> None:
    """Raw IPv4 and raw IPv6 have link types of their own."""
    assert packets(tmp_path, pcapng([packet], link)) == [packet]


@pytest.mark.parametrize(
    ("link", "frame"),
    [
        (ETHERNET, ARP),
        (ETHERNET, b""),
        (ETHERNET, ARP[:13]),
        (ETHERNET, bytes(12) + b"\x81\x00\x00\x05" * 100),
        (113, bytes(14) + b"\x08\x06" + bytes(28)),
        (276, b"\x08\x06" + bytes(18)),
        (9, b"\xc0\x21" + bytes(8)),
        (9, b""),
        (0, b"\x07\x00\x00\x00" + bytes(20)),
        (0, b""),
    ],
)
def test_frames_without_ip(tmp_path: Path, link: int, frame: bytes) -> None:
    """A frame that carries no IP packet is a record without one."""
    assert packets(tmp_path, pcap([frame], link)) == [None]


def test_times_never_go_back(tmp_path: Path) -> None:
    """A record that claims to be older than the one before gets that one's time."""
    content = pcap([(V4, 40, 9.0), (V4, 40, 5.0), (V4, 40, 11.0)])
    assert [record.time for record in read(tmp_path, content)] == [9.0, 9.0, 11.0]


def test_pcapng_sections_number_their_own_interfaces(tmp_path: Path) -> None:
    """After a new section, interface 0 is the first of that section, in its byte order."""
    content = pcapng([ethernet(V4)], ETHERNET) + pcapng([V6], RAW, order=">")
    first, second = packets(tmp_path, content)
    assert first is not None
    assert first.startswith(V4)
    assert second == V6


def test_pcapng_with_several_interfaces_and_other_blocks(tmp_path: Path) -> None:
    """Each packet has the link type of its interface; other blocks are passed over."""
    content = b"".join(
        [
            section(),
            interface(ETHERNET),
            interface(RAW),
            block(4, bytes(4)),
            enhanced(V6, 1),
            block(0x0BAD, b"custom"),
            enhanced(ethernet(V4), 0),
            block(5, bytes(12)),
        ]
    )
    first, second = packets(tmp_path, content)
    assert first == V6
    assert second is not None
    assert second.startswith(V4)


def test_pcapng_simple_packets(tmp_path: Path) -> None:
    """Simple packets belong to the first interface, whose length limit 0 is none."""
    assert packets(tmp_path, section() + interface(RAW) + simple(V4)) == [V4]


@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("lost", [1, 8, len(V4), len(V4) + 10])
def test_capture_cut_short(tmp_path: Path, make: type, lost: int) -> None:
    """A capture that ends inside a record gives what is whole, then the error."""
    path = tmp_path / "cut.pcap"
    path.write_bytes(make([V4, V6, V4])[:-lost])
    got: list[bytes | None] = []
    with pytest.raises(CaptureError, match=r"cut\.pcap: damaged or cut short at byte \d+"):
        got.extend(record.data for record in records(path))
    assert got == [V4, V6]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xd4",
        b"not a capture at all, but long enough to be one",
        pcap([])[:20],
        section()[:20],
        b"\x1f\x8b garbage",
        gzip.compress(b"text", mtime=0),
        gzip.compress(pcap([V4] * 50), mtime=0)[:60],
        section() + interface(RAW) + enhanced(V4, 7),
        section() + enhanced(V4),
        section() + block(1, b"abc"),
        section() + struct.pack("<II", 6, 0xFFFFFFF0),
        section() + struct.pack("<II", 6, 8),
        pcap([]) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0xFFFFFFFF),
        pcap([V4], 147),
        pcapng([V4], 147),
    ],
)
def test_what_is_no_capture_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """Garbage, damage and unknown link types are one error that names the file."""
    with pytest.raises(CaptureError) as refused:
        read(tmp_path, content)
    assert str(refused.value).startswith(f"{tmp_path / 'capture'}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [2, 6])
@pytest.mark.parametrize("beyond", [1, 4, 1_000_000])
def test_a_block_too_short_for_its_packet(
    tmp_path: Path, order: str, kind: int, beyond: int
) -> None:
    """The packet is not all there: no record, whatever its length on the wire is."""
    about = struct.pack(order + "5I", 0, 0, 0, 24 + beyond, 24 + beyond)
    lying = block(kind, about + V4[:24], order)
    whole = section(order) + interface(RAW, order) + enhanced(V4, 0, order)
    got: list[bytes | None] = []
    path = tmp_path / "capture"
    path.write_bytes(whole + lying + enhanced(V6, 0, order))
    with pytest.raises(CaptureError, match=f"cut short at byte {len(whole)}; what comes before"):
        got.extend(record.data for record in records(path))
    assert got == [V4]


def test_unknown_link_type_is_named(tmp_path: Path) -> None:
    """An unknown link type is told by its number, with what is known."""
    wrong = "packet at byte 24: link type 147 is not known here; expected Ethernet"
    with pytest.raises(CaptureError, match=wrong):
        read(tmp_path, pcap([V4], 147))


@pytest.mark.parametrize("name", ["missing", "."])
def test_unreadable_file(tmp_path: Path, name: str) -> None:
    """A file that cannot be opened is the same error."""
    with pytest.raises(CaptureError, match=str(tmp_path)):
        list(records(tmp_path / name))


def test_empty_packet_is_a_record(tmp_path: Path) -> None:
    """A raw record without a byte is still a record: the driver calls it malformed."""
    assert packets(tmp_path, pcap([b"", ipv4("10.0.0.1", "10.0.0.2", 1, icmp())]))[0] == b""
