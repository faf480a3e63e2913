"""Probes from one line of text, and which log records are about them."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.probes import Kind, Probe, concerns


@pytest.mark.parametrize(
    ("text", "kind", "protocol", "ports"),
    [
        ("tcp 203.0.113.66:1025 -> 192.0.2.10:80", Kind.CONNECTION, 6, (1025, 80)),
        ("tcp [2001:db8::66]:5 -> [2001:db8::10]:80", Kind.CONNECTION, 6, (5, 80)),
        ("udp 203.0.113.66 -> 192.0.2.10:53", Kind.PACKET, 17, (0, 53)),
        ("ping 203.0.113.66 -> 192.0.2.10", Kind.PING, 1, (0, 0)),
        ("ping 2001:db8::66 -> 2001:db8::10", Kind.PING, 58, (0, 0)),
        ("icmp 203.0.113.66->192.0.2.10", Kind.PACKET, 1, (0, 0)),
        ("46 203.0.113.66 -> 192.0.2.10", Kind.PACKET, 46, (0, 0)),
    ],
)
def test_parse(text: str, kind: Kind, protocol: int, ports: tuple[int, int]) -> None:
    """A probe is a protocol and two ends, in brackets where an IPv6 address has a port."""
    probe = Probe.parse(text)
    assert (probe.kind, probe.protocol) == (kind, protocol)
    assert (probe.source_port, probe.destination_port) == ports


def test_prints_as_it_is_read() -> None:
    """A probe's text reads back as the same probe."""
    for text in (
        "tcp 203.0.113.66:1025 -> 192.0.2.10:80",
        "udp [2001:db8::66]:5 -> [ff02::fb]:5353",
        "ping 2001:db8::66 -> 2001:db8::10",
        "46 203.0.113.66 -> 192.0.2.10",
    ):
        assert str(Probe.parse(text)) == text


def test_flags_make_it_one_segment() -> None:
    """With TCP flags a probe is a single segment, not a connection."""
    assert Probe.parse("tcp 192.0.2.1:2 -> 192.0.2.10:80", flags="SA").kind is Kind.PACKET


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("nonsense", {}, "expected PROTOCOL SOURCE"),
        ("sctp 192.0.2.1 -> 192.0.2.10", {}, "protocol 'sctp'"),
        ("255 192.0.2.1 -> 192.0.2.10", {}, "1 to 254"),
        ("udp 192.0.2.1:1 -> 2001:db8::10", {}, "one family"),
        ("udp 192.0.2.1 -> 192.0.2.10", {}, "need a destination port"),
        ("udp 192.0.2.1 -> 192.0.2.10:70000", {}, "expected an address and perhaps a port"),
        ("udp 192.0.2 -> 192.0.2.10:7", {}, "'192.0.2'"),
        ("icmp 192.0.2.1:5 -> 192.0.2.10", {}, "only tcp and udp have ports"),
        ("udp 192.0.2.1 -> 192.0.2.10:7", {"flags": "S"}, "for tcp"),
        ("tcp 192.0.2.1 -> 192.0.2.10:7", {"flags": "X"}, "flags 'X'"),
        ("ping 192.0.2.1 -> 192.0.2.10", {"icmp_type": 5}, "have a type"),
    ],
)
def test_refused(text: str, options: dict[str, str], complaint: str) -> None:
    """What cannot be sent is refused, with the piece that is wrong."""
    with pytest.raises(LabError, match=complaint.replace("'", "'")):
        Probe.parse(text, **options)


def record(
    direction: str, source: str, destination: str, protocol: object = "udp", **ports: int
) -> dict[str, object]:
    ends = {"source": source, "destination": destination}
    return {"direction": direction, **ends, "protocol": protocol, **ports}


STRANGER, ME = "203.0.113.66", "192.0.2.10"


def test_record_of_the_packet_itself() -> None:
    """A record with the same direction, ends and protocol is about the probe."""
    probe = Probe.parse("udp 203.0.113.66:5 -> 192.0.2.10:53")
    ports = {"source_port": 5, "destination_port": 53}
    assert concerns(record("in", STRANGER, ME, **ports), probe, "in")
    assert concerns(record("in", STRANGER, ME, 17, **ports), probe, "in")
    assert not concerns(record("in", STRANGER, ME, "tcp", **ports), probe, "in")
    assert not concerns(record("in", "203.0.113.67", ME, **ports), probe, "in")
    assert not concerns(record("in", STRANGER, ME, source_port=6), probe, "in")


def test_record_of_a_copy_that_came_back() -> None:
    """A host's own broadcast that came back in is another packet than the one that went out."""
    probe = Probe.parse("udp 192.0.2.10:68 -> 255.255.255.255:67")
    assert concerns(record("out", ME, "255.255.255.255"), probe, "out")
    assert not concerns(record("in", ME, "255.255.255.255"), probe, "out")


def test_record_without_ports_or_protocol() -> None:
    """What a log could not read of a fragment or a malformed packet does not tell it apart."""
    probe = Probe.parse("udp 203.0.113.66:5 -> 192.0.2.10:53")
    assert concerns(record("in", STRANGER, ME), probe, "in")
    assert concerns(record("in", STRANGER, ME, None), probe, "in")


def test_record_of_the_answer() -> None:
    """A dropped answer is about a connection or a ping, never about a single packet."""
    answer = record("out", ME, STRANGER, "tcp", source_port=80, destination_port=5)
    text = "tcp 203.0.113.66:5 -> 192.0.2.10:80"
    assert concerns(answer, Probe.parse(text), "in")
    assert not concerns(answer, Probe.parse(text, flags="S"), "in")


def test_other_records() -> None:
    """A record of something that is no packet is about no probe."""
    probe = Probe.parse("ping 203.0.113.66 -> 192.0.2.10")
    assert not concerns({"event": 4292, "message": "entered block mode"}, probe, "in")
    assert not concerns({"source": None, "destination": None}, probe, "in")


def test_addresses_are_addresses() -> None:
    """Ends are address objects, compared by value and not by spelling."""
    assert Probe.parse("ping 2001:DB8:0::66 -> 2001:db8::10").source == ipaddress.ip_address(
        "2001:db8::66"
    )
