"""A shadow policy on live traffic: it decides nothing, sees every packet, and goes when told."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import HTTP, SSH, answered, passing

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

POLICY = """
name = "Now"
[[rule]]
name = "Block"
action = "block"
filters = ["me <-> any"]
[[rule]]
name = "Permit"
action = "permit"
filters = ["any <-> me:80 tcp", "any <-> me:9 udp"]
"""
CANDIDATE = POLICY.replace("me:80 tcp", "me:22 tcp").replace('"Now"', '"Then"')
FILE = "/run/lab/then.toml"
GUARD, PEER = "192.0.2.10", "192.0.2.1"


@pytest.fixture
def daemon(lab: Lab) -> Daemon:
    """A daemon, and a candidate's file on its host."""
    lab["guard"].path(FILE).write_text(CANDIDATE)
    return lab.start_daemon(POLICY)


@pytest.fixture
def mouth(lab: Lab) -> Iterator[socket.socket]:
    """A socket whose datagrams to one port are one flow."""
    with lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind((PEER, 5000))
        yield mouth


def changes(daemon: Daemon) -> dict[tuple[str, str, int], dict[str, Any]]:
    """What would change, by both verdicts and the first flow's destination port."""
    found = answered(daemon, "shadow", "show")
    return {
        (one["now"]["verdict"], one["then"]["verdict"], one["flows"][0]["destination_port"]): one
        for one in found["changes"]
        if one["direction"] == "in"
    }


def test_verdicts_stay_and_changes_are_told(lab: Lab, daemon: Daemon) -> None:
    """What passes now goes on to pass, what is blocked stays blocked; both are listed."""
    daemon.cli("shadow", FILE)
    assert passing(lab, HTTP, SSH) == [True, False]
    found = changes(daemon)
    web, ssh = found["permit", "block", 80], found["block", "permit", 22]
    assert (web["now"]["filter"], web["then"]["rule"]) == ("any <-> me:80 tcp", "Block")
    assert (ssh["now"]["rule"], ssh["then"]["filter"]) == ("Block", "any <-> me:22 tcp")
    assert web["flows"][0]["source"] == "203.0.113.66"


def test_every_packet_is_seen(daemon: Daemon, mouth: socket.socket) -> None:
    """Also of flows that the kernel had learnt; counts are exact, and anew after a reload."""
    for _ in range(20):
        mouth.sendto(b"x", (GUARD, 9))
        time.sleep(0.002)
    assert answered(daemon, "flows")["total"] > 0
    daemon.policy_path.with_name("none.toml").write_text(POLICY.replace(', "any <-> me:9 udp"', ""))
    daemon.cli("shadow", "/run/lab/none.toml")
    assert answered(daemon, "flows")["total"] == 0
    for _ in range(500):
        mouth.sendto(b"x", (GUARD, 9))
        time.sleep(0.0002)
    deadline = time.monotonic() + 10
    while not (found := changes(daemon)) or found["permit", "block", 9]["packets"] < 500:
        assert time.monotonic() < deadline, found
    assert found["permit", "block", 9]["packets"] == 500
    assert found["permit", "block", 9]["flows"][0]["packets"] == 500
    daemon.cli("reload")
    assert changes(daemon) == {}
    mouth.sendto(b"x", (GUARD, 9))
    while not (found := changes(daemon)):
        assert time.monotonic() < deadline
    assert found["permit", "block", 9]["packets"] == 1


def test_off_lets_the_kernel_learn_again(daemon: Daemon, mouth: socket.socket) -> None:
    """And there is nothing to show any more."""
    daemon.cli("shadow", FILE)
    daemon.cli("shadow", "off")
    assert daemon.cli("shadow", "show", check=False).returncode == 1
    for _ in range(20):
        mouth.sendto(b"x", (GUARD, 9))
        time.sleep(0.002)
    assert answered(daemon, "flows")["total"] > 0


def test_none_outlasts_the_service(lab: Lab, daemon: Daemon) -> None:
    """The next run judges by what is in force alone."""
    daemon.cli("shadow", FILE)
    daemon.stop()
    again = lab.start_daemon(POLICY)
    refused = again.cli("shadow", check=False)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "none outlasts the service" in refused.stderr
