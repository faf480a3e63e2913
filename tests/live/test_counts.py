"""Counts of what the kernel decides by itself: exact by filter, and what is missing is said."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import answered, wait_until_judged

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

POLICY = """
name = "Two ports"
[[rule]]
name = "Good"
action = "permit"
filters = ["any <-> me:9 udp", "any <-> me:80 tcp"]
[[rule]]
name = "Bad"
action = "block"
filters = ["any <-> me:10 udp"]
"""
GUARD, PEER = "192.0.2.10", "192.0.2.1"
SIZE = 20 + 8 + 100


@pytest.fixture
def daemon(lab: Lab) -> Daemon:
    """A daemon that also learns what is blocked, since nothing is recorded of it."""
    return lab.start_daemon(POLICY, {"diagnostics": {"level": 0}})


@pytest.fixture
def mouth(lab: Lab) -> Iterator[socket.socket]:
    """A socket whose datagrams to one port are one flow."""
    with lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind((PEER, 5000))
        yield mouth


def send(mouth: socket.socket, port: int, number: int, *, pause: float = 0.0) -> None:
    """Send datagrams of SIZE bytes to a port of the guard."""
    for _ in range(number):
        mouth.sendto(bytes(100), (GUARD, port))
        time.sleep(pause)


def hits(daemon: Daemon) -> dict[str, tuple[int, int]]:
    """Packets and bytes by filter."""
    found = answered(daemon, "stats", "filters")
    return {one["filter"]: (one["packets"], one["octets"]) for one in found["filters"]}


def settled(daemon: Daemon, filter_text: str, packets: int) -> dict[str, tuple[int, int]]:
    """Packets and bytes by filter, once a filter has so many packets; what waits is judged."""
    deadline = time.monotonic() + 10
    while (found := hits(daemon)).get(filter_text, (0, 0))[0] < packets:
        assert time.monotonic() < deadline, found
    return found


def test_each_packet_counts_once(lab: Lab, daemon: Daemon, mouth: socket.socket) -> None:
    """Judged or learnt, permitted or blocked, in a burst of which many are judged before the flow
    is learnt, and over a change that makes the kernel forget."""
    for port in (9, 10):
        send(mouth, port, 1900)
        wait_until_judged(lab["guard"])  # a slow machine may judge all of these
        send(mouth, port, 100)
    both = {"any <-> me:9 udp": (2000, 2000 * SIZE), "any <-> me:10 udp": (2000, 2000 * SIZE)}
    assert settled(daemon, "any <-> me:10 udp", 2000) == both
    found = answered(daemon, "stats")
    assert all(one["learnt"] for one in found["counts"] if one["filter"] in both)
    cache = found["cache"]
    assert cache["packets"] == sum(one["learnt"] for one in found["counts"])
    assert (cache["missing_packets"], cache["refused"], cache["on"]) == (0, 0, True)
    daemon.cli("mode", "secure")
    send(mouth, 9, 500)
    both["any <-> me:9 udp"] = (2500, 2500 * SIZE)
    assert settled(daemon, "any <-> me:9 udp", 2500) == both
    assert answered(daemon, "status")["cache"]["missing_packets"] == 0


def test_what_ended_between_readings_is_said(
    lab: Lab, daemon: Daemon, mouth: socket.socket
) -> None:
    """The packets are in no line, and their number is exact."""
    send(mouth, 9, 30, pause=0.002)
    settled(daemon, "any <-> me:9 udp", 30)
    before = answered(daemon, "stats", "filters")["cache"]["missing_packets"]
    send(mouth, 9, 40)
    time.sleep(0.1)
    flow = f"in4_ports_permit_2 {{ {PEER} . {GUARD} . udp . 5000 . 9 }}"
    lab["guard"].run(["nft", f"delete element inet ipsecfd {flow}"], check=True)
    found = answered(daemon, "stats", "filters")
    [one] = [one for one in found["filters"] if one["filter"] == "any <-> me:9 udp"]
    # unless the daemon read by itself in between, all 40 are missing
    missing = found["cache"]["missing_packets"] - before
    assert one["packets"] + missing == 70
    assert missing == 40 or one["packets"] > 30


def test_what_is_learnt_can_be_listed(daemon: Daemon, mouth: socket.socket) -> None:
    """With the deciding filter; chosen by address, port, rule and direction."""
    send(mouth, 9, 30, pause=0.002)
    send(mouth, 10, 40, pause=0.002)
    found = answered(daemon, "flows", "--direction", "in")
    assert [(one["destination_port"], one["rule"]) for one in found["flows"]] == [
        (10, "Bad"),
        (9, "Good"),
    ]
    assert found["total"] == 2
    [one] = answered(daemon, "flows", "--rule", "good")["flows"]
    assert (one["source"], one["source_port"], one["verdict"]) == (PEER, 5000, "permit")
    assert one["packets"] > 20
    assert answered(daemon, "flows", "--address", "10.0.0.0/8")["total"] == 0
    daemon.cli("mode", "permit")
    assert answered(daemon, "flows")["total"] == 0


def test_without_a_cache_every_packet_is_judged(lab: Lab, mouth: socket.socket) -> None:
    """`status` and `flows` say that nothing is learnt; the counts are the same."""
    daemon = lab.start_daemon(POLICY, {"cache": "off"})
    send(mouth, 9, 500, pause=0.0002)
    settled(daemon, "any <-> me:9 udp", 500)
    cache = answered(daemon, "status")["cache"]
    assert (cache["on"], cache["flows"], cache["packets"], cache["read"]) == (False, 0, 0, None)
    assert answered(daemon, "flows")["total"] == 0


def test_counts_outlast_the_table(lab: Lab, daemon: Daemon, mouth: socket.socket) -> None:
    """Another program removes our table: it is installed again, counting goes on, and since when
    something may be missing is said."""
    send(mouth, 9, 30, pause=0.002)
    before = settled(daemon, "any <-> me:9 udp", 30)
    found = answered(daemon, "status")["cache"]
    kernel = found["packets"]
    assert found["losses"] == 0
    lab["guard"].run(["nft", "delete", "table", "inet", "ipsecfd"], check=True)
    deadline = time.monotonic() + 20
    while "chain input" not in lab["guard"].run(["nft", "list", "ruleset"]).stdout:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    time.sleep(0.5)
    found = answered(daemon, "stats")
    assert found["cache"]["packets"] == kernel
    assert found["cache"]["losses"] == 1
    assert found["since"] <= found["cache"]["lost_since"] <= found["cache"]["lost_until"]
    assert "took our rules or counters away at" in " ".join(daemon.cli("stats").stdout.split())
    send(mouth, 9, 30, pause=0.002)
    packets, _ = before["any <-> me:9 udp"]
    settled(daemon, "any <-> me:9 udp", packets + 30)
    assert answered(daemon, "status")["cache"]["packets"] > kernel
