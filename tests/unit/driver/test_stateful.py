"""The memory of stateful mode (spec 6.4)."""

from __future__ import annotations

import pytest

from ipsecfd.driver.packet import Packet, parse
from ipsecfd.driver.stateful import CAPACITY, TIMEOUT, Conversations
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    ME,
    ME6,
    Clock,
    extension,
    fragment_header,
    icmp,
    ipv4,
    ipv6,
    packet,
    udp,
)

ASK = "out udp 192.0.2.10:4000 -> 198.51.100.53:53"
ANSWER = "in udp 198.51.100.53:53 -> 192.0.2.10:4000"
PEER, PEER6 = "198.51.100.53", "2001:db8::53"


class Memory:
    """Conversations that read packets as text, with a clock that moves when told."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.clock = Clock()
        self.conversations = Conversations(self.clock, capacity=capacity)

    def sent(self, text: str) -> None:
        self.conversations.sent(_parsed(packet(text)[0]))

    def expected(self, text: str) -> bool:
        return self.conversations.expected(_parsed(packet(text)[0]))


def _parsed(data: bytes) -> Packet:
    parsed = parse(data)
    assert isinstance(parsed, Packet)
    return parsed


@pytest.fixture
def memory() -> Memory:
    return Memory()


def test_choices() -> None:
    """300 seconds and 65,536 entries are the choices of spec 6.4."""
    assert (TIMEOUT, CAPACITY) == (300.0, 65_536)


@pytest.mark.parametrize(
    "stranger",
    [
        "in udp 198.51.100.54:53 -> 192.0.2.10:4000",
        "in udp 198.51.100.53:54 -> 192.0.2.10:4000",
        "in udp 198.51.100.53:53 -> 192.0.2.10:4001",
        "in udp 198.51.100.53:53 -> 192.0.2.11:4000",
        "in udp 198.51.100.53:4000 -> 192.0.2.10:53",
        "in tcp 198.51.100.53:53 -> 192.0.2.10:4000",
    ],
)
def test_key(memory: Memory, stranger: str) -> None:
    """Peer, protocol and both ports must be those of the conversation, the other way round."""
    memory.sent(ASK)
    assert memory.expected(ANSWER)
    assert not memory.expected(stranger)


def test_timeout(memory: Memory) -> None:
    """An entry lives 300 seconds."""
    memory.sent(ASK)
    memory.clock.now += 299.9
    assert memory.expected(ANSWER)
    memory.clock.now += 0.1
    assert not memory.expected(ANSWER)


def test_renewal(memory: Memory) -> None:
    """Each outbound packet renews it, an inbound one does not."""
    memory.sent(ASK)
    memory.clock.now += 200
    memory.sent(ASK)
    memory.clock.now += 200
    assert memory.expected(ANSWER)
    memory.clock.now += 100
    assert not memory.expected(ANSWER)


def test_a_dead_entry_comes_back(memory: Memory) -> None:
    """After its end a conversation begins anew with the next outbound packet."""
    memory.sent(ASK)
    memory.clock.now += 1000
    memory.sent(ASK)
    assert memory.expected(ANSWER)


def test_icmp(memory: Memory) -> None:
    """Outbound ping lets any ICMP of that peer in, of no other protocol or peer."""
    memory.sent("out icmp 192.0.2.10 -> 198.51.100.7")
    assert memory.expected("in icmp 198.51.100.7 -> 192.0.2.10")
    assert memory.expected("in icmp 198.51.100.7 -> 192.0.2.11")
    assert not memory.expected("in icmp 198.51.100.8 -> 192.0.2.10")
    assert not memory.expected("in 50 198.51.100.7 -> 192.0.2.10")
    assert not memory.expected("in udp 198.51.100.7:1 -> 192.0.2.10:1")


@pytest.mark.parametrize("group", ["224.0.0.251", "192.0.2.255", "255.255.255.255"])
def test_groups(memory: Memory, group: str) -> None:
    """Answers to a multicast or broadcast come from somebody else, and are not expected."""
    memory.sent(f"out udp 192.0.2.10:5353 -> {group}:5353")
    assert not memory.expected("in udp 192.0.2.77:5353 -> 192.0.2.10:5353")


def test_families(memory: Memory) -> None:
    """An IPv6 peer is not the IPv4 peer of the same number."""
    memory.sent("out icmp 192.0.2.10 -> 0.0.0.7")
    assert not memory.expected("in icmp ::7 -> ::c000:20a")


def test_later_fragments(memory: Memory) -> None:
    """A later fragment makes no entry and has none: what looks like its ports is data."""
    there = _parsed(ipv4("192.0.2.10", "198.51.100.53", 17, udp(4000, 53), offset=185))
    memory.conversations.sent(there)
    assert not memory.expected(ANSWER)
    memory.sent(ASK)
    back = _parsed(ipv4("198.51.100.53", "192.0.2.10", 17, udp(53, 4000), offset=185))
    assert not memory.conversations.expected(back)


def test_hidden_protocol(memory: Memory) -> None:
    """A fragment whose protocol is hidden makes no entry and has none."""
    for source, destination in (("2001:db8::10", "2001:db8::7"), ("2001:db8::7", "2001:db8::10")):
        body = fragment_header(60, offset=9) + bytes(16)
        fragment = _parsed(ipv6(source, destination, FRAGMENT_HEADER, body))
        assert not memory.conversations.expected(fragment)
        memory.conversations.sent(fragment)


def test_capacity() -> None:
    """When full, new entries are refused and counted; old ones stay and are renewed."""
    memory = Memory(capacity=2)
    for port in (1, 2, 3):
        memory.sent(f"out udp 192.0.2.10:{port} -> 198.51.100.53:53")
    assert memory.conversations.refused == 1
    assert memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:1")
    assert memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:2")
    assert not memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:3")
    memory.clock.now += 200
    memory.sent("out udp 192.0.2.10:1 -> 198.51.100.53:53")
    assert memory.conversations.refused == 1


def test_room_after_the_timeout() -> None:
    """Entries that have ended make room, the ones renewed meanwhile stay."""
    memory = Memory(capacity=2)
    for port in (1, 2):
        memory.sent(f"out udp 192.0.2.10:{port} -> 198.51.100.53:53")
    memory.clock.now += 200
    memory.sent("out udp 192.0.2.10:1 -> 198.51.100.53:53")
    memory.clock.now += 150
    memory.sent("out udp 192.0.2.10:3 -> 198.51.100.53:53")
    assert memory.conversations.refused == 0
    assert memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:1")
    assert not memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:2")
    assert memory.expected("in udp 198.51.100.53:53 -> 192.0.2.10:3")


@pytest.mark.parametrize(
    ("sent", "opens"),
    [
        *((ipv4(ME, PEER, 1, icmp(kind)), kind not in (3, 4, 5, 11, 12)) for kind in range(20)),
        *((ipv6(ME6, PEER6, 58, icmp(kind)), kind >= 128) for kind in (1, 2, 3, 4, 127, 128, 129)),
        (ipv6(ME6, PEER6, DESTINATION_OPTIONS, extension(58) + icmp(4)), False),
        (ipv4(ME, PEER, 1, bytes(8), offset=1), False),
        (ipv6(ME6, PEER6, FRAGMENT_HEADER, fragment_header(58, offset=1) + bytes(8)), False),
        (ipv4(ME, PEER, 47, bytes(8), offset=1), True),
        (ipv4(ME, PEER, 58, icmp(1)), True),
        (ipv6(ME6, PEER6, 1, icmp(3)), True),
    ],
)
def test_errors_open_nothing(memory: Memory, sent: bytes, *, opens: bool) -> None:
    """Strangers can have the host send ICMP errors, so nobody may come in because of one."""
    memory.conversations.sent(parsed := _parsed(sent))
    answer = parsed._replace(source=parsed.destination, destination=parsed.source, icmp_error=False)
    assert memory.conversations.expected(answer) is opens
