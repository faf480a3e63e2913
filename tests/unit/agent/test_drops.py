"""Tests of the collection of dropped packets."""

from __future__ import annotations

import math
import pickle
import tracemalloc
from ipaddress import ip_address

import pytest

from ipsecfd.agent.drops import BURST, GROUPS, HEADER_BYTES, RATE, DropRecord, Drops
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict

IN, OUT, FORWARD = Direction.IN, Direction.OUT, Direction.FORWARD
NOON = 1_800_000_000.0
BLOCKED = Decision(Verdict.BLOCK, Reason.FILTER, rule="Block everything", filter="me <-> any")
OTHER = Decision(Verdict.BLOCK, Reason.FILTER, rule="Another", filter="any -> me:445 tcp")
MALFORMED = Decision(Verdict.BLOCK, Reason.MALFORMED, detail="empty packet")
NEGOTIATE = Decision(Verdict.BLOCK, Reason.NEGOTIATE, rule="IPsec")


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def udp(source: int = 1, port: int = 137, source_port: int = 1024) -> bytes:
    """An IPv4 UDP packet from 203.0.113.0 + source to 192.0.2.10."""
    addresses = (int(ip_address("203.0.113.0")) + source).to_bytes(4, "big") + bytes(
        (192, 0, 2, 10)
    )
    ports = source_port.to_bytes(2, "big") + port.to_bytes(2, "big")
    return bytes((0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0)) + addresses + ports + bytes(4)


def total(records: list[DropRecord]) -> int:
    return sum(one.packets for one in records)


@pytest.mark.parametrize(
    ("level", "logged"),
    [
        (0, []),
        (1, ["in malformed", "out malformed", "in negotiate", "out negotiate"]),
        (2, ["in filter", "forward filter", "in malformed", "in negotiate"]),
        (4, ["out filter", "out malformed", "out negotiate"]),
        (
            5,
            ["out filter", "in malformed", "out malformed", "in negotiate", "out negotiate"],
        ),
        (
            7,
            [
                "in filter",
                "out filter",
                "forward filter",
                "in malformed",
                "out malformed",
                "in negotiate",
                "out negotiate",
            ],
        ),
    ],
)
def test_levels(level: int, logged: list[str], clock: Clock) -> None:
    """The level is a sum of three parts: failures, inbound (with routed) and outbound drops."""
    drops = Drops(level, 0, clock)
    for decision, directions in (
        (BLOCKED, (IN, OUT, FORWARD)),
        (MALFORMED, (IN, OUT)),
        (NEGOTIATE, (IN, OUT)),
    ):
        for direction in directions:
            drops.add(decision, direction, 2, udp())
    assert [f"{one.direction} {one.decision.reason.value}" for one in drops.due()] == logged


def test_each_at_once(clock: Clock) -> None:
    """Without an interval each drop is a record of its own, due at once and only once."""
    drops = Drops(7, 0, clock)
    drops.add(BLOCKED, IN, 2, udp(1))
    clock.now += 0.01
    drops.add(BLOCKED, OUT, 3, udp(2))
    assert drops.due() == [
        DropRecord(NOON, NOON, IN, 2, BLOCKED, udp(1)),
        DropRecord(NOON + 0.01, NOON + 0.01, OUT, 3, BLOCKED, udp(2)),
    ]
    assert drops.due() == []


def test_header_bytes(clock: Clock) -> None:
    """Of a packet no more than its headers are kept."""
    drops = Drops(7, 0, clock)
    drops.add(BLOCKED, IN, 2, udp() + bytes(228))
    assert [one.data for one in drops.due()] == [(udp() + bytes(228))[:HEADER_BYTES]]


def test_flood(clock: Clock) -> None:
    """Beyond the burst, drops are counted by cause, with the first packet as the example."""
    drops = Drops(7, 0, clock)
    for number in range(BURST + 500):
        drops.add(BLOCKED, IN, 2, udp(number))
        clock.now += 0.0001
    drops.add(OTHER, IN, 2, udp(7, 445))
    clock.now += 1
    records = drops.due()
    assert [one.packets for one in records] == [1] * BURST + [500, 1]
    counted, other = records[-2:]
    assert (counted.data, counted.mixed) == (udp(BURST), True)
    assert counted.first == pytest.approx(NOON + BURST * 0.0001)
    assert counted.last == pytest.approx(NOON + (BURST + 499) * 0.0001)
    assert (other.decision, other.data, other.mixed) == (OTHER, udp(7, 445), False)


def test_counts_once_a_second(clock: Clock) -> None:
    """In a flood that lasts, counts come once a second and single records at RATE."""
    drops = Drops(7, 0, clock)
    for _ in range(BURST + 1):
        drops.add(BLOCKED, IN, 2, udp())
    clock.now += 1
    drops.due()
    counts, single = [], 0
    for _ in range(50):
        for _ in range(100):
            drops.add(BLOCKED, IN, 2, udp())
        clock.now += 0.1
        due = drops.due()
        counts += [one.packets for one in due if one.packets > 1]
        single += sum(one.packets == 1 for one in due)
    assert sum(counts) + single + total(drops.drain()) == 5000
    assert len(counts) in (4, 5)
    assert 5 * RATE <= single <= 6 * RATE  # six seconds, the last refill unused


@pytest.mark.parametrize("interval", [0, 60])
def test_million(interval: float, clock: Clock) -> None:
    """A million drops from everywhere, by causes without end, take bounded memory and are all
    counted."""
    drops = Drops(7, interval, clock)
    causes = [Decision(Verdict.BLOCK, Reason.FILTER, rule=str(n)) for n in range(3 * GROUPS)]
    packets = [udp(number) for number in range(4096)]
    handed_over = 0
    tracemalloc.start()
    for number in range(500_000):
        drops.add(causes[number % len(causes)], IN, 2, packets[number % 4096])
        if number % 25_000 == 0:
            clock.now += 0.1
            records = drops.due()
            handed_over += total(records)
            assert len(records) <= BURST + 2 * GROUPS + 10
        if number == 50_000:  # every bound is reached, and tracing takes long
            assert tracemalloc.get_traced_memory()[1] < 3_000_000
            tracemalloc.stop()
    held = drops.drain()
    assert len(held) <= BURST + 2 * GROUPS + 10
    assert handed_over + total(held) == 500_000


def test_too_many_causes(clock: Clock) -> None:
    """When there are too many causes, the rest is counted by reason and direction."""
    drops = Drops(7, 0, clock)
    for _ in range(BURST):
        drops.add(BLOCKED, IN, 2, udp())
    drops.due()
    for number in range(GROUPS + 50):
        cause = Decision(Verdict.BLOCK, Reason.FILTER, rule=str(number))
        drops.add(cause, IN, 2, udp())
    clock.now += 1
    last = drops.due()[-1]
    assert (last.packets, last.decision.reason, last.decision.rule) == (50, Reason.FILTER, None)
    assert last.decision.detail == "more causes than can be told apart"


def test_interval(clock: Clock) -> None:
    """With an interval, drops are counted by cause, addresses, protocol and destination port."""
    drops = Drops(7, 60, clock)
    for source_port in range(1024, 1034):
        drops.add(BLOCKED, IN, 2, udp(1, 137, source_port))
        drops.add(BLOCKED, IN, 2, udp(1, 138, source_port))
    drops.add(BLOCKED, IN, 2, udp(2, 137))
    drops.add(BLOCKED, IN, 3, udp(1, 137))
    drops.add(BLOCKED, OUT, 2, udp(1, 137))
    clock.now += 59.9
    assert drops.due() == []
    clock.now += 0.1
    records = drops.due()
    assert [one.packets for one in records] == [10, 10, 1, 1, 1]
    assert not any(one.mixed for one in records)
    assert drops.due() == []


def test_interval_full(clock: Clock) -> None:
    """A thousand groups are given out before the interval, but a flood of them is slowed down."""
    drops = Drops(7, 3600, clock)
    for number in range(GROUPS + 200):
        drops.add(BLOCKED, IN, 2, udp(number))
    clock.now += 0.1
    assert [one.packets for one in drops.due()] == [1] * GROUPS
    for number in range(GROUPS):
        drops.add(BLOCKED, IN, 2, udp(number))
    clock.now += 0.1
    assert drops.due() == []
    clock.now += GROUPS / RATE
    assert len(drops.due()) == GROUPS
    clock.now += 3600
    assert [(one.packets, one.mixed) for one in drops.due()] == [(200, True)]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x45",
        bytes(19),
        bytes(30),
        b"\x4f" + bytes(25),
        b"\x60" + bytes(39),
        b"\x60" + bytes(5) + b"\x2c" + bytes(60),
        b"\x60" + bytes(5) + b"\x06" + bytes(33),
        b"\xff" * 256,
    ],
)
def test_strange_bytes(data: bytes, clock: Clock) -> None:
    """Any bytes whatsoever are counted."""
    drops = Drops(7, 60, clock)
    drops.add(MALFORMED, IN, 2, data)
    drops.add(MALFORMED, IN, 2, data)
    assert [one.packets for one in drops.drain()] == [2]


def test_ipv6_flows(clock: Clock) -> None:
    """IPv6 flows are told apart behind extension headers as well."""
    drops = Drops(7, 60, clock)
    for port in (53, 53, 80):
        header = bytes((0x60, 0, 0, 0, 0, 16, 0, 64)) + bytes(31) + b"\x01"
        options = bytes((17, 0)) + bytes(6)
        drops.add(BLOCKED, IN, 2, header + options + bytes((4, 0, 0, port)) + bytes(4))
    assert [one.packets for one in drops.drain()] == [2, 1]


UDP6 = bytes((0x60, 0, 0, 0, 0, 8, 17, 64)) + bytes(range(32)) + bytes((4, 0, 0, 137)) + bytes(4)


@pytest.mark.parametrize(
    ("data", "told_apart", "alike"),
    [
        (udp(), (9, *range(12, 20), 22, 23), (1, 4, 5, 8, 20, 21, 24, 27)),
        (UDP6, (6, *range(8, 40), 42, 43), (1, 2, 3, 7, 40, 41, 44, 47)),
    ],
    ids=["IPv4", "IPv6"],
)
def test_what_an_interval_tells_apart(
    clock: Clock, data: bytes, told_apart: tuple[int, ...], alike: tuple[int, ...]
) -> None:
    """Any difference in protocol, addresses or destination port is another flow, and none in source
    port, hop limit or whatever else is."""
    for places, groups in ((told_apart, 2), (alike, 1)):
        for place in places:
            for bit in (0, 7):
                other = bytearray(data)
                other[place] ^= 1 << bit
                drops = Drops(7, 60, clock)
                drops.add(BLOCKED, IN, 2, data)
                drops.add(BLOCKED, IN, 2, bytes(other))
                assert len(drops.drain()) == groups, (place, bit)


def test_unsent(clock: Clock) -> None:
    """What could not be handed over comes again as a count, with the first time and example."""
    drops = Drops(7, 0, clock)
    for number in range(3):
        drops.add(BLOCKED, IN, 2, udp(number))
        clock.now += 0.25
    drops.unsent(reversed(drops.due()))
    clock.now += 1
    assert drops.due() == [
        DropRecord(NOON, NOON + 0.5, IN, 2, BLOCKED, udp(0), packets=3, mixed=True)
    ]


@pytest.mark.parametrize("interval", [0, 60])
def test_clock_set_back(interval: float, clock: Clock) -> None:
    """A clock that is set back by an hour holds nothing up."""
    drops = Drops(7, interval, clock)
    for _ in range(BURST + 10):
        drops.add(BLOCKED, IN, 2, udp())
    clock.now -= 3600
    assert total(drops.due()) == BURST + 10
    drops.add(BLOCKED, IN, 2, udp())
    clock.now += interval + 1
    assert total(drops.due()) == 1


@pytest.mark.parametrize("interval", [0, 60, 3600])
def test_quiet(interval: float, clock: Clock) -> None:
    """Whoever waits as long as that hands all over in time, and wakes up for nothing else."""
    drops = Drops(7, interval, clock)
    assert drops.quiet() == math.inf
    for _ in range(BURST + 10):
        drops.add(BLOCKED, IN, 2, udp())
    if not interval:
        assert drops.quiet() == 0
        assert total(drops.due()) == BURST
    clock.now += 0.25
    assert drops.due() == []
    clock.now += drops.quiet() - 0.01
    assert drops.due() == []
    clock.now += 0.01
    assert drops.quiet() == 0
    assert total(drops.due()) == (BURST + 10 if interval else 10)
    assert drops.quiet() == math.inf


@pytest.mark.parametrize("interval", [0, 3600])
def test_quiet_when_clock_is_set_back(interval: float, clock: Clock) -> None:
    """What is due then is not waited for."""
    drops = Drops(7, interval, clock)
    for _ in range(BURST + 1):
        drops.add(BLOCKED, IN, 2, udp())
    drops.due()
    clock.now -= 7200
    assert drops.quiet() == 0


def test_quiet_while_full(clock: Clock) -> None:
    """What is given out before its interval does not wait for the interval either."""
    drops = Drops(7, 3600, clock)
    for number in range(GROUPS):
        drops.add(BLOCKED, IN, 2, udp(number))
    assert drops.quiet() == 0
    assert len(drops.due()) == GROUPS


def test_drain(clock: Clock) -> None:
    """At the end everything that is held comes out, due or not."""
    drops = Drops(7, 3600, clock)
    drops.add(BLOCKED, IN, 2, udp())
    assert [one.packets for one in drops.drain()] == [1]
    assert drops.drain() == []


def test_pickle(clock: Clock) -> None:
    """Records that share a decision share it in a pickle as well, which keeps it small."""
    drops = Drops(7, 0, clock)
    for number in range(100):
        drops.add(BLOCKED, IN, 2, udp(number))
    records = drops.due()
    pickled = pickle.dumps(records)
    assert len(pickled) < 100 * 120
    again = pickle.loads(pickled)
    assert again[0].decision.rule == "Block everything"
    assert [one.data for one in again] == [one.data for one in records]
