"""Traffic that flows while things change: reloads, addresses, big packets, floods."""

from __future__ import annotations

import hashlib
import itertools
import os
import socket
import threading
import time

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.lab import Lab, Probe
from tests.bench.mix import policy_text
from tests.builders import ipv4, udp
from tests.live.asking import wait_until_judged
from tests.live.streams import GUARD, PEER, Stream
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ALWAYS, SOMETIMES, NEVER = 7001, 7002, 7003
"""Ports of the guard: permitted by both policies, by one, and by none."""

ONE = f"""
name = "One"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:{SOMETIMES} udp"]
"""
OTHER = ONE.replace(f', "any <-> me:{SOMETIMES} udp"', "").replace("One", "Other")


def test_reload_loses_nothing_and_opens_nothing(lab: Lab) -> None:
    """While policies are swapped, 10,000 filters among them, what both permit arrives whole, and
    what neither permits never does. While the kernel learns a flow, its packets may overtake those
    that still wait in the queue."""
    daemon = lab.start_daemon(ONE)
    many = policy_text(10_000).replace('action = "permit"', 'action = "block"')
    many += f'[[rule]]\nname = "s"\naction = "permit"\nfilters = ["{PEER} <-> me:{ALWAYS} udp"]\n'
    many += f'[[rule]]\nname = "n"\naction = "block"\nfilters = ["{PEER} <-> me:{NEVER} udp"]\n'
    with (
        Stream(lab, ALWAYS) as always,
        Stream(lab, SOMETIMES) as sometimes,
        Stream(lab, NEVER) as never,
    ):
        for text in [ONE, OTHER] * 5 + [many, ONE, many, OTHER]:
            daemon.reload(text)
            time.sleep(0.05)
    assert sorted(always.arrived) == list(range(always.sent))
    assert 0 < len(sometimes.arrived) < sometimes.sent
    assert never.sent > 1000
    assert never.arrived == []


def test_modes_under_traffic(lab: Lab) -> None:
    """Between secure and block nothing passes that neither permits; permit is open at once."""
    daemon = lab.start_daemon(OTHER)
    with Stream(lab, NEVER) as never:
        for mode in ("block", "secure", "stateful", "secure") * 3:
            daemon.cli("mode", mode)
    assert never.arrived == []
    daemon.cli("mode", "permit")
    with Stream(lab, NEVER) as open_now:
        time.sleep(0.2)
    assert len(open_now.arrived) == open_now.sent


def test_new_address_is_never_open(lab: Lab) -> None:
    """An address that comes and goes under load is judged as `me` from its first packet on."""
    lab.start_daemon(OTHER)
    peer, guard = lab["peer"], lab["guard"]
    neighbour = ["ip", "neigh", "replace", "192.0.2.50", "lladdr", guard.mac, "dev", "eth0"]
    peer.run(neighbour, check=True)
    with Stream(lab, NEVER, "192.0.2.50", rate=5000) as never:
        for _ in range(25):
            guard.add_address("192.0.2.50/24")
            time.sleep(0.02)
            guard.remove_address("192.0.2.50/24")
            time.sleep(0.01)
    assert never.sent > 1000
    assert never.arrived == []


def test_new_source_address_is_never_open(lab: Lab) -> None:
    """What the host sends from an address that no table knows yet is judged as from `me`."""
    lab.start_daemon(OTHER)
    guard = lab["guard"]
    ear = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    ear.bind((PEER, NEVER))
    ear.settimeout(0.3)
    with ear:
        for number in range(60, 85):
            guard.add_address(f"192.0.2.{number}/24")
            with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.bind((f"192.0.2.{number}", 0))
                mouth.sendto(b"new", (PEER, NEVER))
        with pytest.raises(TimeoutError):
            ear.recv(100)


def test_big_packets_do_not_wedge_the_queue(lab: Lab) -> None:
    """Thousands of 8,000-byte pings leave no packet without a verdict behind."""
    lab.start_daemon('name = "Open"\n')
    flood = ["ping", "-f", "-c", "3000", "-s", "8000", "-q", GUARD]
    assert " 0% packet loss" in lab["peer"].run(flood, timeout=30).stdout
    waiting = lab["guard"].run(["cat", "/proc/net/netfilter/nfnetlink_queue"]).stdout.split()[2]
    assert int(waiting) < 5


GRE = 47
PARTS = [
    (17, udp(4000, ALWAYS, bytes(56)), {"first"}),  # where the last one goes nobody can know
    (17, udp(4000, NEVER, bytes(56)), set()),
    (GRE, bytes(64), {"first", "last"}),
    (50, bytes(64), set()),
]
"""Protocol and content of packets in two fragments, and which of those pass by themselves."""


@pytest.mark.parametrize("forward", [False, True])
def test_fragments_that_a_program_makes(lab: Lab, forward: bool) -> None:
    """Those that the host itself makes are judged one by one or, where routed packets are judged,
    too, as the packet that they are of; so is always what comes in (spec 5)."""
    policy = ONE.replace(
        f'"any <-> me:{SOMETIMES} udp"', f'"me <-> any:{ALWAYS} udp", "me <-> any {GRE}"'
    )
    lab.start_daemon(policy, {"forward": forward, "queue": {"processes": 1}})
    numbers, expected = itertools.count(1), set()
    with Witness(lab) as witness:
        for _ in range(3):  # between them a flow of the same ends is learnt
            for parts, direction in itertools.product(PARTS, (Direction.OUT, Direction.IN)):
                protocol, content, passing = parts
                ends = (GUARD, PEER) if direction is Direction.OUT else (PEER, GUARD)
                one_by_one = direction is Direction.OUT and not forward
                for place, data, offset in (("first", content[:32], 0), ("last", content[32:], 4)):
                    if place == "first" or one_by_one:
                        number = next(numbers)
                        if place in passing:
                            expected.add(number)
                    packet = ipv4(*ends, protocol, data, offset=offset, more=place == "first")
                    witness.send(numbered(packet, number), direction)
            expected.add(whole := next(numbers))
            witness.send(numbered(ipv4(GUARD, PEER, 17, udp(4000, ALWAYS)), whole), Direction.OUT)
            witness.settle()
            wait_until_judged(lab["guard"])
        assert witness.seen(4) == set(range(1, whole + 1))
        assert witness.passed(4) == expected


def test_a_long_transfer_arrives_whole(lab: Lab) -> None:
    """Large segments, checksums not yet finished, pass the queue and arrive unharmed."""
    lab.start_daemon(OTHER.replace(f"me:{ALWAYS} udp", f"me:{ALWAYS} tcp"))
    data = os.urandom(1 << 20) * 64
    ear = lab["guard"].socket(socket.AF_INET, socket.SOCK_STREAM)
    with ear:
        ear.bind((GUARD, ALWAYS))
        ear.listen()
        mouth = lab["peer"].socket(socket.AF_INET, socket.SOCK_STREAM)
        mouth.settimeout(20)
        mouth.connect((GUARD, ALWAYS))

        def send() -> None:
            with mouth:
                mouth.sendall(data)

        sending = threading.Thread(target=send)
        sending.start()
        received = hashlib.sha256()
        taken, _ = ear.accept()
        with taken:
            taken.settimeout(20)
            while part := taken.recv(1 << 20):
                received.update(part)
        sending.join()
    assert received.digest() == hashlib.sha256(data).digest()


def test_flood_is_counted_exactly(lab: Lab) -> None:
    """Of a flood of blocked packets the log holds some, and the count of all that were judged."""
    daemon = lab.start_daemon(OTHER, {"queue": {"length": 65_536}})
    mouth = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    with mouth:
        for _ in range(20_000):
            mouth.sendto(b"flood", (GUARD, NEVER))
    lab.probe(Probe.parse(f"udp {PEER} -> {GUARD}:{ALWAYS}"))
    daemon.stop()
    dropped = [one for one in daemon.records() if one.get("destination_port") == NEVER]
    assert sum(one["count"] for one in dropped) == 20_000
    assert len(dropped) < 2_000
