"""Which decisions may be remembered by the kernel: those that hold for the rest of a flow."""

from __future__ import annotations

import pytest

from ipsecfd.driver import driver as driver_module
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.modes import Mode
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    ME,
    ME6,
    NO_NEXT_HEADER,
    ROUTING,
    ask,
    extension,
    fragment_header,
    host,
    icmp,
    ipv4,
    ipv6,
    make_driver,
    packet,
    rule,
    tcp,
    udp,
)

A, A6 = "203.0.113.66", "2001:db8::66"
NEW, NEW6 = "192.0.2.99", "2001:db8::99"
OPEN = ("permit any <-> any",)
WEB = (rule("block", "me <-> any", name="all"), rule("permit", "any <-> me:80 tcp", name="web"))


def decisions(
    driver: Driver, data: bytes, direction: Direction = Direction.IN, times: int = 3
) -> list[Decision]:
    """What is decided about a packet that comes again and again."""
    return [driver.decide(data, direction, "eth0") for _ in range(times)]


def learnable(driver: Driver, data: bytes, direction: Direction = Direction.IN) -> list[bool]:
    """Which of three packets alike may be learnt from."""
    return [one.learnable for one in decisions(driver, data, direction)]


@pytest.mark.parametrize(
    "text",
    [
        "in tcp 203.0.113.66:4000 -> 192.0.2.10:80",
        "in tcp 203.0.113.66:4000 -> 192.0.2.10:81",
        "in udp 203.0.113.66:500 -> 192.0.2.10:500",
        "in icmp 203.0.113.66 -> 192.0.2.10",
        "in 47 203.0.113.66 -> 192.0.2.10",
        "in udp 192.0.2.77:1 -> 192.0.2.255:137",
        "in udp 192.0.2.77:1 -> 224.0.0.251:5353",
        "in tcp [2001:db8::66]:4000 -> [2001:db8::10]:80",
        "in 47 [2001:db8::66] -> [2001:db8::10]",
        "out tcp 192.0.2.10:80 -> 203.0.113.66:4000",
        "out udp 192.0.2.10:5353 -> 224.0.0.251:5353",
        "out udp [2001:db8::10]:546 -> [ff02::1:2]:547",
        "forward tcp 10.0.0.1:1 -> 10.1.0.1:2",
        "forward icmp 10.0.0.1 -> 10.1.0.1",
    ],
)
def test_second_packet_of_a_flow(text: str) -> None:
    """Whatever filter, exemption or lack of one decides, from the second packet on it may be
    learnt; a flow of one packet, and a scan is made of those, is not worth it. The first packet
    has another decision, which is the same in all other ways."""
    driver = make_driver(*WEB, on=host(f"{ME}/24", f"{ME6}/64", delivered=True))
    data, direction = packet(text)
    first, second, third = decisions(driver, data, direction)
    assert (first.learnable, second.learnable) == (False, True)
    assert third is second
    for field in ("verdict", "reason", "rule", "filter", "mirrored", "exemption", "order"):
        assert getattr(first, field) == getattr(second, field)


@pytest.mark.parametrize(
    "mode",
    [Mode.PERMIT, Mode.BLOCK, Mode.STARTUP_PERMIT, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL],
)
@pytest.mark.parametrize("direction", Direction)
def test_modes_teach_nothing(mode: Mode, direction: Direction) -> None:
    """What a mode decides ends with it, and stateful mode judges by what went before; so do boot
    exemptions and DHCP."""
    driver = make_driver(*OPEN, mode=mode, boot=["tcp:0:80:inbound", "udp:0:68:inbound"])
    for data in (
        ipv4(A, ME, 6, tcp(4000, 80)),
        ipv4(A, "255.255.255.255", 17, udp(67, 68)),
        ipv4(ME, A, 17, udp(4000, 53)),
        ipv4(A, ME, 1, icmp()),
        ipv6(A6, ME6, 6, tcp(4000, 80)),
    ):
        assert learnable(driver, data, direction) == [False] * 3


@pytest.mark.parametrize(
    "data",
    [
        ipv4(A, ME, 6, tcp(4000, 80), more=True),
        ipv4(A, ME, 6, bytes(64), offset=185),
        ipv4(A, ME, 6, bytes(64), offset=1),
        ipv4(A, ME, 1, icmp(), more=True),
        ipv4(A, ME, 47, bytes(64), offset=185),
        ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6, more=True) + tcp(4000, 80)),
        ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6, offset=185) + bytes(64)),
        ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(6) + tcp(4000, 80)),
    ],
)
def test_fragments_teach_nothing(data: bytes) -> None:
    """A part of a packet, even the first one with its ports, is not the flow; nor are atomic
    fragments, which look like parts to the kernel's rules."""
    assert learnable(make_driver(*OPEN), data) == [False] * 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        ipv4(A, ME, 6, tcp(4000, 80), header_words=4),
        ipv4(A, ME, 6, tcp(4000, 80), total_length=22),
        ipv4(A, ME, 6, tcp(4000, 80), total_length=99),
        ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=2),
        ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=99),
        ipv6(A6, ME6, DESTINATION_OPTIONS, b"\x06"),
    ],
)
def test_malformed_packets_teach_nothing(data: bytes) -> None:
    """What is wrong with a packet is wrong with this one only."""
    for one in decisions(make_driver(*OPEN), data):
        assert (one.reason.value, one.learnable) == ("malformed", False)


@pytest.mark.parametrize("behind", [6, 17, 58, NO_NEXT_HEADER, 47])
@pytest.mark.parametrize("header", [HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS])
def test_extension_headers_teach_nothing(header: int, behind: int) -> None:
    """Behind them the kernel's rules would look for ports in the wrong place, or for none."""
    payload = {6: tcp(4000, 80), 17: udp(4000, 80), 58: icmp(128)}.get(behind, b"")
    data = ipv6(A6, ME6, header, extension(behind) + payload)
    assert learnable(make_driver(*OPEN), data) == [False] * 3


@pytest.mark.parametrize("kind", [1, 128, 129, 133, 135, 136, 143])
def test_icmpv6_teaches_nothing(kind: int) -> None:
    """It is judged by its type, which no set of the kernel's knows."""
    for limit in (1, 64, 255):
        data = ipv6(A6, ME6, 58, icmp(kind), hop_limit=limit)
        assert learnable(make_driver(*OPEN), data) == [False] * 3


@pytest.mark.parametrize("action", ["negotiate", "inpass", "soft"])
def test_negotiation_teaches_nothing(action: str) -> None:
    """IPsec may be agreed on before the next packet."""
    data = ipv4(A, ME, 6, tcp(4000, 80))
    for direction in Direction:
        driver = make_driver(f"{action} any <-> any")
        for one in decisions(driver, data, direction):
            assert not (one.learnable and one.reason.value == "negotiate")


@pytest.mark.parametrize(
    ("data", "direction"),
    [
        (ipv4(A, NEW, 6, tcp(4000, 80)), Direction.IN),
        (ipv4(NEW, A, 6, tcp(4000, 80)), Direction.OUT),
        (ipv4(A, NEW, 1, icmp()), Direction.IN),
        (ipv4("0.0.0.0", A, 17, udp(68, 67)), Direction.OUT),
        (ipv6(A6, NEW6, 6, tcp(4000, 80)), Direction.IN),
        (ipv6(NEW6, A6, 6, tcp(4000, 80)), Direction.OUT),
    ],
)
def test_new_addresses_teach_nothing(data: bytes, direction: Direction) -> None:
    """What is decided about an address that no table knows yet holds until it does."""
    driver = make_driver(*OPEN, on=host(f"{ME}/24", f"{ME6}/64", delivered=True))
    assert learnable(driver, data, direction) == [False] * 3


def test_options_teach_nothing() -> None:
    """Packets with IPv4 options are judged as the rest of their flow, which they do not begin."""
    driver = make_driver(*WEB)
    with_options = ipv4(A, ME, 6, tcp(4000, 80), options=bytes(8))
    assert learnable(driver, with_options) == [False] * 3
    assert learnable(driver, ipv4(A, ME, 6, tcp(4000, 80))) == [False, True, True]
    assert learnable(driver, with_options) == [False] * 3


def test_scan_teaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million flows of one packet each are never learnt, though memory forgets and is reused."""
    monkeypatch.setattr(driver_module, "FLOW_MEMORY", 100)
    driver = make_driver(*OPEN)
    for port in range(1000):
        assert not ask(driver, f"in udp {A}:{port} -> {ME}:7").learnable
    for number in range(1000):
        address = f"203.{number >> 8}.{number & 255}.1"
        assert not ask(driver, f"in icmp {address} -> {ME}").learnable


def test_directions_learn_by_themselves() -> None:
    """What was met inbound is new outbound."""
    driver = make_driver(*OPEN)
    data = ipv4(A, ME, 47, bytes(8))
    assert learnable(driver, data, Direction.IN) == [False, True, True]
    assert learnable(driver, data, Direction.FORWARD) == [False, True, True]
