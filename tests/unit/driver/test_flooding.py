"""Packets crafted so that a memory keyed by integers would be slow: hash(int) is public."""

from __future__ import annotations

import ipaddress
import random
import sys
import time
from collections.abc import Callable, Iterable

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import Packet, parse
from ipsecfd.driver.stateful import Conversations
from tests.builders import ME, ME6, Clock, ip, ipv4, ipv6, make_driver, udp

FLOWS = 15_000
"""Fewer than any memory holds, so that none is emptied meanwhile."""
MODULUS = sys.hash_info.modulus
NEIGHBOUR, NETWORK = (int(ipaddress.ip_address(one)) for one in ("198.51.100.1", "2001:db8:77::1"))


def flow4(number: int) -> bytes:
    """Of forged sources and ports: 2^64 times the one and 2^16 times the other cancel out."""
    source = str(ipaddress.IPv4Address(NEIGHBOUR - 8192 * number))
    return ipv4(source, ME, 17, udp(4000 + number, 7))


def flow6(number: int) -> bytes:
    """Of one's own /64: bit 160 + 39 counts as much as bit 16 does."""
    source = str(ipaddress.IPv6Address(NETWORK | number << 39))
    return ipv6(source, ME6, 17, udp(40_000 - number, 7))


def pair6(number: int) -> bytes:
    """Of one's own /48: addresses that have one remainder."""
    return ipv6(str(ipaddress.IPv6Address(NETWORK + MODULUS * number)), ME6, 17, udp(4000, 7))


def answer6(number: int) -> bytes:
    """What the host answers to those."""
    return ipv6(ME6, str(ipaddress.IPv6Address(NETWORK + MODULUS * number)), 17, udp(7, 4000))


def any_flows(family: int) -> Iterable[bytes]:
    """As many flows of nobody's choice."""
    chance = random.Random(family)
    me, bits = (ME, 32) if family == 4 else (ME6, 128)
    make = ipaddress.IPv4Address if family == 4 else ipaddress.IPv6Address
    for _ in range(FLOWS):
        source = str(make(chance.getrandbits(bits)))
        yield ip(source, me, 17, udp(chance.randrange(1, 65536), 7))


def seconds(act: Callable[[bytes], object], packets: Iterable[bytes]) -> float:
    """How long it takes to judge these packets twice, in time of this thread alone."""
    packets = [*packets]
    begin = time.thread_time()
    for _ in range(2):
        for data in packets:
            act(data)
    return time.thread_time() - begin


@pytest.mark.parametrize(
    ("flow", "family", "place"),
    [(flow4, 4, slice(12, 24)), (flow6, 6, slice(8, 44)), (pair6, 6, slice(8, 24))],
)
def test_flows(flow: Callable[[int], bytes], family: int, place: slice) -> None:
    """Flows whose addresses and ports have one hash as an integer take no longer than others."""
    crafted = [flow(number) for number in range(FLOWS)]
    assert len(set(crafted)) == FLOWS
    assert len({hash(int.from_bytes(data[place], "big")) for data in crafted}) == 1
    judges = [make_driver("permit any <-> me").judge(Direction.IN) for _ in range(2)]
    others = seconds(judges[0], any_flows(family))
    assert seconds(judges[1], crafted) < 5 * others


def test_conversations() -> None:
    """So it is with those that stateful mode remembers, and with whoever asks for them."""
    taken: list[float] = []
    for sent in (any_flows(6), map(answer6, range(FLOWS))):
        conversations = Conversations(Clock())

        def note(data: bytes, memory: Conversations = conversations) -> None:
            packet = parse(data)
            assert isinstance(packet, Packet)
            memory.sent(packet)

        taken.append(seconds(note, sent))
    assert taken[1] < 5 * taken[0]
