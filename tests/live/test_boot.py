"""The start-up rules on real packets: they decide as the driver does in that mode (spec 6)."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from random import Random

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.kernel.boot import Startup, ruleset
from ipsecfd.lab import Lab
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    ROUTING,
    Clock,
    extension,
    fragment_header,
    icmp,
    ipv4,
    ipv6,
    packet,
    tcp,
    udp,
)
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

BLOCK, PERMIT, STATEFUL = Mode.STARTUP_BLOCK, Mode.STARTUP_PERMIT, Mode.STARTUP_STATEFUL

ME = {4: "192.0.2.10", 6: "2001:db8::10"}
PEERS = {
    4: ["192.0.2.1", "198.51.100.7", "203.0.113.66"],
    6: ["2001:db8::1", "2001:db8::77", "2001:db8:66::66"],
}
GROUPS_IN = {4: ["192.0.2.255", "255.255.255.255", "224.0.0.1"], 6: ["ff02::1"]}
GROUPS_OUT = {4: ["192.0.2.255", "255.255.255.255", "224.0.0.251"], 6: ["ff02::fb"]}
PORTS = [0, 22, 53, 67, 68, 546, 547, 3389, 4000]
PROTOCOLS = {
    4: [6, 6, 6, 17, 17, 17, 17, 1, 1, 58, 0, 50, 51, 132, 255],
    6: [6, 6, 6, 17, 17, 17, 17, 1, 58, 58, 58, 50, 51, 59, 132, 255],
}
EXEMPTIONS = [
    "udp:0:68:inbound",
    "tcp:0:22:inbound",
    "tcp:22:0:outbound",
    "tcp:53:3389:inbound",
    "udp:0:0:outbound",
    "icmp:inbound",
    "icmpv6:outbound",
    "50:inbound",
    "0:outbound",
    "raw:inbound",
    "51:outbound",
]


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two hosts on a wire; the rules go on the one called guard, which also routes."""
    with Lab() as lab:
        lab["guard"].set_sysctl("net/ipv4/ip_forward", "1")
        lab["guard"].set_sysctl("net/ipv6/conf/all/forwarding", "1")
        yield lab


def load(lab: Lab, rules: str) -> None:
    """Put rules in force on the guard."""
    lab["guard"].path("/run/boot.nft").write_text(rules)
    lab["guard"].run(["nft", "-f", "/run/boot.nft"], check=True)


def made(mode: Mode, *exemptions: str, profile: str = "linux", forward: bool = True) -> Startup:
    """What the rules of a start are made from."""
    parsed = tuple(map(BootExemption.parse, exemptions))
    return Startup(mode, PROFILES[profile], parsed, forward)


def driver_of(startup: Startup) -> Driver:
    """The driver that should decide as the rules do."""
    return Driver(
        Settings(mode=startup.mode, profile=startup.profile, boot_exemptions=startup.exemptions),
        Clock(),
    )


def random_packet(random: Random, *, whole: bool) -> tuple[bytes, Direction]:
    """A packet of any kind; many are damaged, and unless `whole` many are fragments.

    Two kinds are not among them, which the rules drop and the driver need not: IPv6 extension
    headers with nothing at all behind them, and authentication headers cut short or in fragments.
    """
    family = random.choice([4, 6])
    direction = random.choice([Direction.OUT] * 3 + [Direction.IN] * 3 + [Direction.FORWARD])
    peer, other = random.sample(PEERS[family], 2)
    source, destination = {
        Direction.IN: (peer, random.choice([ME[family]] * 4 + GROUPS_IN[family])),
        Direction.OUT: (ME[family], random.choice([peer] * 4 + GROUPS_OUT[family])),
        Direction.FORWARD: (peer, other),
    }[direction]
    protocol = random.choice(PROTOCOLS[family])
    ports = random.choice(PORTS), random.choice(PORTS)
    if random.random() < 0.15:
        protocol = 17
        ports = random.choice([(67, 68), (68, 67), (546, 547), (547, 546)])
    offset, more = 0, False
    if not whole and protocol != 51 and random.random() < 0.4:
        offset, more = random.choice([(0, True), (1, False), (1, True), (2, False), (9, True)])
    kind = random.choice([8, 0, 3, 4, 11, 1, 127, 128, 129, 130, 132, 133, 135, 136, 137, 138, 143])
    payload = {
        6: tcp(*ports),
        17: udp(*ports),
        51: bytes((6, 4)) + bytes(22) + tcp(*ports),
    }.get(protocol, icmp(kind))
    cut_short = random.random() < 0.2 and protocol != 51
    hop_limit = random.choice([2, 64, 255, 255] if direction is Direction.FORWARD else [1, 64, 255])
    if family == 4:
        options = b"\x01" * (4 * random.choice([0, 0, 1, 10]))
        return ipv4(
            source, destination, protocol, payload[: random.randrange(6) if cut_short else 99],
            offset=offset, more=more, options=options, ttl=hop_limit,
        ), direction  # fmt: skip
    first = protocol
    headers: list[bytes] = []
    if offset or more or random.random() < 0.1:
        hidden = offset and random.random() < 0.2
        following = DESTINATION_OPTIONS if hidden else first
        headers.insert(0, fragment_header(following, offset=offset, more=more))
        first = FRAGMENT_HEADER
    for header in (DESTINATION_OPTIONS, ROUTING, HOP_BY_HOP):
        if random.random() < 0.1:
            headers.insert(0, extension(first, random.choice([8, 16, 240]), 1))
            first = header
    if cut_short:
        payload = payload[: random.randrange(1 if headers else 0, 6)]
    if headers and random.random() < 0.1:
        payload = b""
        headers[-1] = headers[-1][: random.randrange(len(headers[-1]))]
    return ipv6(
        source, destination, first, b"".join(headers) + payload, hop_limit=hop_limit
    ), direction


def routed(data: bytes) -> bytes:
    """A packet as it is when the kernel has decided to route it, its IPv4 checksum aside."""
    limit = 8 if data[0] >> 4 == 4 else 7
    return data[:limit] + bytes([data[limit] - 1]) + data[limit + 1 :]


CASES = [
    made(STATEFUL, *EXEMPTIONS),
    made(BLOCK, *EXEMPTIONS),
    made(STATEFUL, profile="vista"),
    made(BLOCK, profile="vista", forward=False),
    made(STATEFUL, *EXEMPTIONS, profile="win2003"),
    made(BLOCK, *EXEMPTIONS, profile="winxp", forward=False),
    made(PERMIT, *EXEMPTIONS),
]


@pytest.mark.parametrize("whole", [True, False], ids=["reassembled", "fragments"])
@pytest.mark.parametrize("startup", CASES, ids=lambda one: f"{one.mode}-{one.profile.name}")
def test_rules_decide_as_the_driver_does(lab: Lab, startup: Startup, whole: bool) -> None:
    """Thousands of random packets, in, out and routed: each verdict is the driver's."""
    random = Random(f"{startup.mode} {startup.profile.name} {whole}")
    driver = driver_of(startup)
    load(lab, ruleset(startup, defragment=whole))
    sent: dict[tuple[int, int], tuple[bytes, Direction, bool]] = {}
    with Witness(lab) as witness:
        for batch in range(20):
            for number in range(batch * 300 + 1, batch * 300 + 301):
                data, direction = random_packet(random, whole=whole)
                data = numbered(data, number)
                judged = direction is not Direction.FORWARD or startup.forward
                met = routed(data) if direction is Direction.FORWARD else data
                permits = not judged or driver.decide(met, direction, "eth0").permits
                sent[data[0] >> 4, number] = (data, direction, permits)
                witness.send(data, direction)
            witness.settle()
        seen = {(family, one) for family in (4, 6) for one in witness.seen(family)}
        passed = {(family, one) for family in (4, 6) for one in witness.passed(family)}
    wrong = [
        f"{'passed' if one in passed else 'dropped'}: {sent[one][1]} {sent[one][0].hex()}"
        for one in seen
        if (one in passed) != sent[one][2]
    ]
    assert wrong == []
    judged_each_way = Counter((sent[one][1], one in passed) for one in seen)
    for direction in (Direction.IN, Direction.OUT):
        assert judged_each_way[direction, True] > 10
        assert judged_each_way[direction, False] > 10 or startup.mode is PERMIT


def test_fragments_are_judged_as_the_packet_they_make(lab: Lab) -> None:
    """Of a packet in fragments all pass or none: the kernel puts them together first (spec 5)."""
    load(lab, ruleset(made(BLOCK, "udp:0:4000:inbound"), defragment=True))
    with Witness(lab) as witness:
        for number, port in ((1, 4000), (2, 4001)):
            whole = udp(9, port, bytes(56))
            for offset, part in ((0, whole[:32]), (4, whole[32:])):
                first = numbered(
                    ipv4(PEERS[4][0], ME[4], 17, part, offset=offset, more=not offset), number
                )
                header = fragment_header(17, offset=offset, more=not offset)
                other = numbered(ipv6(PEERS[6][0], ME[6], FRAGMENT_HEADER, header + part), number)
                for data in (first, other):
                    witness.send(data, Direction.IN)
        witness.settle()
        assert {1, 2} == witness.seen(4) == witness.seen(6)
        assert {1} == witness.passed(4) == witness.passed(6)


A, D, E, P, S = "203.0.113.66", "198.51.100.53", "198.51.100.54", "198.51.100.7", "192.0.2.1"
DHCP_OUT = "out udp 192.0.2.10:68 -> 255.255.255.255:67"
RDP_OUT = f"out tcp 192.0.2.10:3389 -> {A}:5000"
RDP_IN, RDP_ANSWER = "tcp:0:3389:inbound", "tcp:3389:0:outbound"
MODE_CASES = {
    "M1-M3": (made(BLOCK), [
        (f"in tcp {A}:4000 -> 192.0.2.10:80", False),
        (DHCP_OUT, True),
        (f"in udp {S}:67 -> 255.255.255.255:68", True),
    ]),
    "M4-M5": (made(BLOCK, RDP_IN), [
        (f"in tcp {A}:5000 -> 192.0.2.10:3389", True),
        (RDP_OUT, False),
    ]),
    "M6": (made(BLOCK, RDP_IN, RDP_ANSWER), [(RDP_OUT, True)]),
    "M7-M10": (made(STATEFUL), [
        (f"in udp {D}:53 -> 192.0.2.10:4000", False),
        (f"out udp 192.0.2.10:4000 -> {D}:53", True),
        (f"in udp {D}:53 -> 192.0.2.10:4000", True),
        (f"in udp {D}:53 -> 192.0.2.10:4001", False),
        (f"in udp {E}:53 -> 192.0.2.10:4000", False),
        (f"in tcp {D}:53 -> 192.0.2.10:4000", False),
    ]),
    "M11-M12": (made(STATEFUL), [
        (f"in tcp {A}:88 -> 192.0.2.10:445", False),
        ("in udp 192.0.2.77:4000 -> 192.0.2.255:137", False),
    ]),
    "M13": (made(STATEFUL), [
        (f"in icmp {P} -> 192.0.2.10", False),
        (f"out icmp 192.0.2.10 -> {P}", True),
        (f"in icmp {P} -> 192.0.2.10", True),
        (f"in icmp {A} -> 192.0.2.10", False),
    ]),
    "asked everybody, answered by one": (made(STATEFUL), [
        ("out udp 192.0.2.10:4000 -> 192.0.2.255:137", True),
        (f"in udp {S}:137 -> 192.0.2.10:4000", False),
        (DHCP_OUT, True),
        (f"in udp {S}:67 -> 192.0.2.10:68", True),
    ]),
    "M18": (made(PERMIT), [(f"in tcp {A}:4000 -> 192.0.2.10:445", True)]),
}  # fmt: skip


@pytest.mark.parametrize("case", MODE_CASES)
def test_mode_cases(lab: Lab, case: str) -> None:
    """Each packet of spec 6.6 that a start-up mode meets has the verdict it has there."""
    startup, steps = MODE_CASES[case]
    load(lab, ruleset(startup, defragment=True))
    assert [passes for _, passes in steps] == tried(lab, [text for text, _ in steps])


def tried(lab: Lab, texts: list[str]) -> list[bool]:
    """Which of these packets pass, sent one after the other."""
    with Witness(lab) as witness:
        for number, text in enumerate(texts, 1):
            data, direction = packet(text)
            witness.send(numbered(data, number), direction)
            witness.settle()
        passed = witness.passed(4)
        assert witness.seen(4) == set(range(1, len(texts) + 1))
    lab["guard"].run(["nft", "delete", "table", "inet", "witness"], check=True)
    return [number in passed for number in range(1, len(texts) + 1)]


ASK, ANSWER = f"out udp 192.0.2.10:4000 -> {D}:53", f"in udp {D}:53 -> 192.0.2.10:4000"


def test_memory_is_renewed_by_what_is_sent_and_by_nothing_else(lab: Lab) -> None:
    """An entry lives as long as the host goes on speaking (spec 6.4)."""
    rules = ruleset(made(STATEFUL), defragment=True)
    load(lab, rules.replace("timeout 300s", "timeout 3s"))
    assert tried(lab, [ASK, ANSWER]) == [True, True]
    time.sleep(2)
    assert tried(lab, [ASK]) == [True]
    time.sleep(2)
    assert tried(lab, [ANSWER]) == [True]
    time.sleep(2)
    assert tried(lab, [ANSWER]) == [False]


def test_full_memory_refuses_and_counts(lab: Lab) -> None:
    """What cannot be remembered passes all the same, without an answer (spec 6.4)."""
    rules = ruleset(made(STATEFUL), defragment=True)
    load(lab, rules.replace("size 65536", "size 2"))
    asked = [ASK.replace(":4000", f":400{number}") for number in range(4)]
    answered = [ANSWER.replace(":4000", f":400{number}") for number in range(4)]
    assert tried(lab, [*asked, asked[0]]) == [True] * 5
    assert tried(lab, answered) == [True, True, False, False]
    listed = lab["guard"].run(["nft", "list", "chain", "inet", "ipsecfd", "stateful_out"]).stdout
    (refused,) = (line for line in listed.splitlines() if "no room" in line)
    assert "counter packets 2 " in refused
