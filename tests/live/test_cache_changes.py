"""Addresses, servers and interfaces change while packets of learnt flows arrive."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Callable

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.lab import Host, Lab
from ipsecfd.lab.craft import with_header_checksum
from tests.builders import ip, udp
from tests.live.asking import wait_until_judged
from tests.live.streams import GUARD, PEER, Stream, waiting
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ALWAYS, NEVER, PORT = 7001, 7003, 7005
SOON = 1.0
"""Seconds until a change of the network holds for learnt flows; loose, since test machines are
busy."""

_IP_TRANSPARENT = 19


def policy(permitted: str, *more: str) -> str:
    """Blocks everything but some filters; `more` are whole rules."""
    return f"""
name = "Changes"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp"{", " if permitted else ""}{permitted}]
{"".join(more)}
"""


def elements(host: Host, name: str) -> list[dict[str, object]]:
    """What the newest of the sets whose names begin so holds."""
    listed = host.run(["nft", "-j", "list", "table", "inet", "ipsecfd"], check=True).stdout
    sets = [one["set"] for one in json.loads(listed)["nftables"] if "set" in one]
    found = max(
        (one for one in sets if one["name"].startswith(name)), key=lambda one: one["handle"]
    )
    return [one["elem"] for one in found.get("elem", ())]


def pause_after(change: Callable[[], object], stream: Stream) -> tuple[int, int]:
    """Make a change; the numbers of the first datagram after it and of one that is surely judged
    by it."""
    first = stream.sent
    change()
    time.sleep(SOON)
    return first, stream.sent


def test_gateway(lab: Lab) -> None:
    """A flow that may pass while its other end is the gateway ends when another one is, and goes
    on when it is that again."""
    guard = lab["guard"]
    lab.start_daemon(policy(f'"gateway <-> me:{PORT} udp"'))

    def route(gateway: str) -> None:
        guard.run(["ip", "route", "replace", "default", "via", gateway], check=True)

    with Stream(lab, PORT) as stream:
        time.sleep(0.4)
        assert elements(guard, "in4_ports_permit")
        first, closed = pause_after(lambda: route("192.0.2.77"), stream)
        time.sleep(0.3)
        last, opened = pause_after(lambda: route(PEER), stream)
        time.sleep(0.3)
    assert {*range(first), *range(opened, stream.sent)} <= set(stream.arrived)
    assert not set(range(closed, last)) & set(stream.arrived)


def test_broadcast_address_becomes_a_host(lab: Lab) -> None:
    """A flow to a broadcast address, which is exempt, ends when the address is the host's own."""
    guard, peer = lab["guard"], lab["peer"]
    guard.add_address("192.0.2.50/26")  # so 192.0.2.63 is a broadcast address
    peer.run(f"ip neigh add 192.0.2.63 lladdr {guard.mac} dev eth0".split(), check=True)
    lab.start_daemon(policy(""), {"exempt": 0})

    def change() -> None:
        guard.remove_address("192.0.2.50/26")
        guard.add_address("192.0.2.63/24")

    with Stream(lab, NEVER, "192.0.2.63") as stream:
        time.sleep(0.4)
        assert elements(guard, "in4_ports_permit")
        first, closed = pause_after(change, stream)
        time.sleep(0.3)
    assert set(range(first)) <= set(stream.arrived)
    assert max(stream.arrived) < closed


def test_address_comes_and_goes(lab: Lab) -> None:
    """Again and again under load: what is blocked never passes to the address nor from it, what is
    permitted to others loses nothing."""
    guard, peer = lab["guard"], lab["peer"]
    peer.run(f"ip neigh add 192.0.2.50 lladdr {guard.mac} dev eth0".split(), check=True)
    lab.start_daemon(policy(f'"me <-> any:{ALWAYS} udp"'))
    ears = [peer.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2)]
    mouth = guard.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mouth.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    mouth.bind(("192.0.2.50", 6000))
    sent = 0
    with (
        ears[0] as open_,
        ears[1] as closed,
        mouth,
        Stream(lab, ALWAYS, rate=500) as always,
        Stream(lab, PORT, "192.0.2.50", rate=500) as stranger,
    ):
        open_.bind((PEER, ALWAYS))
        closed.bind((PEER, NEVER))
        for _ in range(10):
            for change in (guard.add_address, guard.remove_address):
                change("192.0.2.50/24")
                for _ in range(10):
                    mouth.sendto(b"open", (PEER, ALWAYS))
                    sent += 1
                    with contextlib.suppress(PermissionError):
                        mouth.sendto(b"closed", (PEER, NEVER))
                    time.sleep(0.005)
        time.sleep(0.3)
        assert waiting(open_) == sent
        assert waiting(closed) == 0
    assert sorted(always.arrived) == list(range(always.sent))
    assert stranger.arrived == []


def test_interface_gets_another_name(lab: Lab) -> None:
    """A LAN interface that is a dial-up one from now on: its learnt flows end if filters for
    dial-up say so, and go on when it is a LAN interface again."""
    guard = lab["guard"]
    dialup = f"""
[[rule]]
action = "block"
connection = "dialup"
filters = ["192.0.2.0/24 <-> me:{ALWAYS} udp"]
"""
    lab.start_daemon(policy("", dialup))

    def rename(old: str, new: str) -> None:
        guard.run(["ip", "link", "set", old, "name", new], check=True)

    with Stream(lab, ALWAYS) as stream:
        time.sleep(0.4)
        assert elements(guard, "in4_ports_permit")
        first, closed = pause_after(lambda: rename("eth0", "ppp0"), stream)
        time.sleep(0.3)
        last, opened = pause_after(lambda: rename("ppp0", "eth0"), stream)
        time.sleep(0.3)
    assert {*range(first), *range(opened, stream.sent)} <= set(stream.arrived)
    assert not set(range(closed, last)) & set(stream.arrived)


def test_what_is_learnt_on_one_kind_of_interface(lab: Lab) -> None:
    """Where filters are for LAN or for dial-up, the very same flow may pass here and not there:
    what is learnt on one opens no other, and what is open stays so."""
    guard = lab["guard"]
    for command in (
        "ip link add ppp0 type veth peer name wire",
        "ip link set ppp0 address 02:00:00:00:00:99",
        "ip link set wire up",
        "ip link set ppp0 up",
    ):
        guard.run(command.split(), check=True)
    rules = [
        f'''
[[rule]]
action = "permit"
connection = "{kind}"
filters = ["{PEER} <-> me:{port} udp"]
'''
        for kind, port in (("lan", ALWAYS), ("dialup", PORT))
    ]
    lab.start_daemon(policy("").partition('[[rule]]\naction = "permit"')[0] + "".join(rules))
    frame = bytes.fromhex("020000000099 020000000098 0800")
    dialup = guard.socket(socket.AF_PACKET, socket.SOCK_RAW)
    expected = set()
    with Witness(lab) as witness, dialup:
        dialup.bind(("wire", 0))
        for number in range(1, 201):
            kind, port = number % 2, (ALWAYS, PORT)[number // 2 % 2]
            packet = numbered(ip(PEER, GUARD, 17, udp(5000, port)), number)
            if kind:
                witness.send(packet, Direction.IN)
            else:
                dialup.send(frame + with_header_checksum(packet))
            if (kind == 1) is (port == ALWAYS):
                expected.add(number)
            time.sleep(0.002)
        witness.settle()
        wait_until_judged(guard)
        assert witness.seen(4) == set(range(1, 201))
        assert witness.passed(4) == expected
    assert len(elements(guard, "in4_ports_permit")) == 2


def test_permit_mode_teaches_nothing(lab: Lab) -> None:
    """What passes in permit mode, which is everything, is closed once secure mode is said to be
    entered."""
    daemon = lab.start_daemon(policy(""))
    daemon.cli("mode", "permit")
    with Stream(lab, NEVER) as stream:
        time.sleep(0.4)
        assert elements(lab["guard"], "in4_ports_permit") == []
        daemon.cli("mode", "secure")
        last = stream.sent
        time.sleep(0.3)
    assert stream.arrived
    assert max(stream.arrived) < last
