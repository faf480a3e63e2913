"""Packets from the ports that Windows trusted, sent by scapy: open and closed as the spec says."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guests import GUARD, Machines, on_port

ATTACK = Path(__file__).with_name("attack.py").read_text()
ECHO = """
import socket
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind(("0.0.0.0", 1434))
while True:
    server.sendto(*server.recvfrom(2048))
"""
SERVER = """
name = "Web server"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:80 tcp"]
"""
CLIENT = """
name = "Browser"
[[rule]]
action = "block"
filters = ["me <-> any", "any -> me:22 tcp"]
[[rule]]
action = "permit"
filters = ["me <-> any:80 tcp"]
"""
KERBEROS = [("tcp", 88, 445), ("udp", 88, 1434)]
KEY_EXCHANGE = [("udp", 500, 1434)]
ELSEWHERE = [("tcp", 4000, 445), ("udp", 4000, 1434)]


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """Services on the guard that nobody is to reach, and the public one."""
    guard = lab.guard
    guard.write("/root/echo.py", ECHO)
    with guard.services(
        web=on_port(80),
        files=on_port(445),
        other=on_port(8080),
        echo=on_port(1434, "python3 /root/echo.py", "udp"),
    ):
        yield lab


def answered(lab: Machines, *flows: tuple[str, int, int]) -> list[bool]:
    """Which of these packets the guard answers."""
    flags = f"'{json.dumps(flows)}' {GUARD}"
    answers: list[bool] = json.loads(lab.peer.run(f"python3 - {flags}", stdin=ATTACK))
    return answers


@pytest.mark.parametrize(
    ("configuration", "kerberos", "key_exchange"),
    [
        ('profile = "win2000"\nexempt = 0', True, True),
        ('profile = "win2003"\nexempt = 1', False, False),
        ('profile = "win2003"\nexempt = 2', True, False),
        ("", False, False),
    ],
)
def test_exempt_source_ports(
    world: Machines, configuration: str, kerberos: bool, key_exchange: bool
) -> None:
    """Port 88 opens every port with exemption values 0 and 2 (spec 4.3), 500 in Windows 2000."""
    guard = world.guard
    guard.configure(configuration)
    guard.run("systemctl restart ipsecfd")
    guard.assign(SERVER)
    answers = answered(world, *KERBEROS, *KEY_EXCHANGE, *ELSEWHERE)
    assert answers == [kerberos, kerberos, key_exchange, False, False]


def test_source_port_80(world: Machines) -> None:
    """A server's mirrored filter lets nothing in from port 80; a client's does, but where a filter
    names the local port (spec 2.3)."""
    flows = [("tcp", 80, 8080), ("tcp", 80, 22), ("tcp", 4001, 80)]
    world.guard.assign(SERVER)
    assert answered(world, *flows) == [False, False, True]
    world.guard.assign(CLIENT)
    assert answered(world, *flows) == [True, False, False]
