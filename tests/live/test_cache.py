"""The verdict cache on real packets: what the kernel has learnt never changes a verdict."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.modes import Mode
from ipsecfd.lab import Host, Lab
from ipsecfd.lab.daemon import CONFIG, toml_text
from tests.live.asking import wait_until_judged
from tests.live.random_flows import driver_of, random_packet, random_policy
from tests.live.streams import GUARD, PEER, Stream, waiting
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

OPEN_PORT, CLOSED_PORT = 7001, 7003
POLICY = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{OPEN_PORT} udp", "me <-> any:{OPEN_PORT} udp"]
"""
CLOSED = POLICY.partition('[[rule]]\naction = "permit"')[0]


def counter(host: Host, name: str) -> int:
    """Packets that a counter of our table has seen."""
    listed = host.run(["nft", "-j", "list", "counter", "inet", "ipsecfd", name], check=True)
    (found,) = (one["counter"] for one in json.loads(listed.stdout)["nftables"] if "counter" in one)
    return int(found["packets"])


# --- proof, not hope ---

FLOWS, ROUNDS = 2000, 3
BURST = 200
"""Packets that are sent before those of them that are queued are waited for: none may be dropped
because there is no room."""


@pytest.mark.parametrize(
    "config",
    [
        {"cache": "on"},
        # Nobody wants to know of drops, so the kernel learns blocked flows as well.
        {"cache": "on", "diagnostics": {"level": 0}, "queue": {"processes": 2}},
        {"cache": "off"},
    ],
    ids=["on", "on for blocked flows in two processes", "off"],
)
def test_verdicts_are_the_drivers(lab: Lab, config: dict[str, Any]) -> None:
    """Thousands of random flows in and out and routed, each in several policies and modes one after
    the other: what passes is what the driver says, from the first packet after a change
    returned."""
    random_ = random.Random(20260101)
    packets = [random_packet(random_) for _ in range(FLOWS)]
    policies = [random_policy(random_) for _ in range(6)]
    guard = lab["guard"]
    guard.set_sysctl("net/ipv4/ip_forward", "1")
    guard.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    daemon = lab.start_daemon(policies[0], config | {"forward": True, "exempt": 0})
    processes = config.get("queue", {}).get("processes", 1)
    judged = 0
    with Witness(lab) as witness:
        for turn, policy in enumerate(policies):
            mode = Mode.BLOCK if turn == 3 else Mode.SECURE
            daemon.reload(policy)
            if turn in (3, 4):
                daemon.cli("mode", str(mode))
            driver = driver_of(policy, guard, mode)
            expected: dict[int, dict[int, tuple[bool, bytes]]] = {4: {}, 6: {}}
            for number, (packet, direction) in enumerate(packets * ROUNDS, 1):
                data = numbered(packet, number)
                permits = driver.decide(data, direction, "eth0").permits
                expected[data[0] >> 4][number] = permits, data
                witness.send(data, direction)
                if not number % BURST:
                    wait_until_judged(guard, processes)
            witness.settle()
            wait_until_judged(guard, processes)
            for family, of_family in expected.items():
                seen, passed = witness.seen(family), witness.passed(family)
                wrong = {
                    number: of_family[number]
                    for number in seen
                    if of_family[number][0] is not (number in passed)
                }
                assert not wrong, (turn, policy, wrong)
                assert passed <= seen
                judged += len(seen)
            witness.forget()
    assert judged > 0.9 * FLOWS * ROUNDS * len(policies)
    if config["cache"] == "on":
        assert all(counter(guard, f"{one}_permit") > FLOWS / 2 for one in Direction)
    if "diagnostics" in config:
        assert all(counter(guard, f"{one}_block") > FLOWS / 10 for one in Direction)


# --- traps ---


def test_routing_by_mark_while_flows_are_learnt(lab: Lab) -> None:
    """A `not fwmark` rule, as wg-quick makes it, routes every packet of a flow: the first ones,
    those it is learnt from, and those that pass by themselves."""
    guard = lab["guard"]
    for command in (
        "ip route del default",
        "ip route add default via 192.0.2.1 table 1000",
        "ip rule add not fwmark 0xca6c table 1000",
    ):
        guard.run(command.split(), check=True)
    lab.start_daemon(POLICY)
    ear = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    mouth = guard.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with ear, mouth:
        ear.bind(("198.51.100.7", OPEN_PORT))
        for _ in range(100):
            mouth.sendto(b"routed", ("198.51.100.7", OPEN_PORT))
            time.sleep(0.002)
        time.sleep(0.3)
        assert waiting(ear) == 100
    assert counter(guard, "out_permit") > 50


@pytest.mark.parametrize(
    "change",
    [
        lambda daemon: daemon.reload(CLOSED),
        lambda daemon: daemon.cli("mode", "block"),
        lambda daemon: daemon.cli("mode", "stateful"),
    ],
    ids=["policy", "block", "stateful"],
)
def test_change_holds_for_learnt_flows(lab: Lab, change: Callable[[Any], object]) -> None:
    """Nothing learnt before passes once the command has returned."""
    daemon = lab.start_daemon(POLICY)
    with Stream(lab, OPEN_PORT) as stream:
        time.sleep(0.5)
        change(daemon)
        last = stream.sent
        time.sleep(0.5)
    assert counter(lab["guard"], "in_permit") > 0
    assert stream.sent > last + 100
    assert max(stream.arrived) <= last


def test_every_start_begins_with_new_sets(lab: Lab) -> None:
    """What an agent that was killed has learnt passes until the next one judges, and not by any
    number after that."""
    daemon = lab.start_daemon(POLICY)
    with Stream(lab, OPEN_PORT) as stream:
        for policy in (POLICY, POLICY, CLOSED):
            time.sleep(0.3)
            daemon.stop(signal.SIGKILL)
            daemon = lab.start_daemon(policy)
        last = stream.sent
        daemon.cli("mode", "secure")  # which is another number
        time.sleep(0.3)
    assert len(stream.arrived) > last / 2
    assert stream.sent > last + 100
    assert max(stream.arrived) <= last


def test_in_does_not_open_out(lab: Lab) -> None:
    """What is learnt inbound says nothing about the same ends outbound."""
    one_way = CLOSED + f'[[rule]]\naction = "permit"\nfilters = ["any -> me:{OPEN_PORT} udp"]\n'
    lab.start_daemon(one_way)
    here = lab["guard"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    there = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    with here, there:
        here.bind((GUARD, OPEN_PORT))
        there.bind((PEER, OPEN_PORT))
        for _ in range(20):
            there.sendto(b"in", (GUARD, OPEN_PORT))
            time.sleep(0.005)
        for _ in range(20):
            try:
                here.sendto(b"out", (PEER, OPEN_PORT))
            except PermissionError:
                continue
        time.sleep(0.3)
        assert waiting(here) == 20
        assert waiting(there) == 0


def test_blocked_flows_by_level(lab: Lab) -> None:
    """They are learnt, dropped and counted where nobody wants a record of each; when the level is
    raised, the records come back."""
    guard = lab["guard"]
    daemon = lab.start_daemon(POLICY, {"diagnostics": {"level": 0}})
    with Stream(lab, CLOSED_PORT, rate=200) as stream:
        time.sleep(1)
        assert counter(guard, "in_block") > 50
        assert not any(one.get("destination_port") == CLOSED_PORT for one in daemon.records())
        config = daemon.config | {"diagnostics": daemon.config["diagnostics"] | {"level": 7}}
        guard.path(CONFIG).write_text(toml_text(config))
        daemon.cli("reload")
        time.sleep(1)
    assert stream.arrived == []
    assert sum(one.get("destination_port") == CLOSED_PORT for one in daemon.records()) > 50


def test_off_learns_nothing(lab: Lab) -> None:
    """Without a cache there are no sets and every packet is judged."""
    lab.start_daemon(POLICY, {"cache": "off"})
    with Stream(lab, OPEN_PORT) as stream:
        time.sleep(0.3)
    assert len(stream.arrived) == stream.sent
    listed = lab["guard"].run(["nft", "list", "table", "inet", "ipsecfd"], check=True).stdout
    assert "set in" not in listed
