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


def seconds(make: Callable[[], Callable[[bytes], object]], packets: Iterable[bytes]) -> float:
    """How long it takes to act on these packets twice, in time of this thread alone: the least of
    three times, each with its own memory, for whatever else the machine does only adds to it."""
    packets = [*packets]
    taken = []
    for _ in range(3):
        act = make()
        begin = time.thread_time()
        for data in packets * 2:
            act(data)
        taken.append(time.thread_time() - begin)
    return min(taken)


@pytest.mark.parametrize(
    ("flow", "family", "place"),
    [(flow4, 4, slice(12, 24)), (flow6, 6, slice(8, 44)), (pair6, 6, slice(8, 24))],
)
def test_flows(flow: Callable[[int], bytes], family: int, place: slice) -> None:
    """Flows whose addresses and ports have one hash as an integer take no longer than others."""
    crafted = [flow(number) for number in range(FLOWS)]
    assert len(set(crafted)) == FLOWS
    assert len({hash(int.from_bytes(data[place], "big")) for data in crafted}) == 1

    def judge() -> Callable[[bytes], object]:
        return make_driver("permit any <-> me").judge(Direction.IN)

    assert seconds(judge, crafted) < 5 * seconds(judge, any_flows(family))


def test_conversations() -> None:
    """So it is with those that stateful mode remembers, and with whoever asks for them."""

    def memory() -> Callable[[bytes], object]:
        conversations = Conversations(Clock())

        def note(data: bytes) -> None:
            packet = parse(data)
            assert isinstance(packet, Packet)
            conversations.sent(packet)

        return note

    assert seconds(memory, map(answer6, range(FLOWS))) < 5 * seconds(memory, any_flows(6))
