"""Tricks of somebody on the wire: no packet is delivered as anything but what it was judged as."""

from __future__ import annotations

import contextlib
import itertools
import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.hosts import INTERFACE
from tests.live.streams import waiting
from tests.live.test_cache import counter

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

GUARD, GUARD6 = "192.0.2.10", "2001:db8::10"
STRANGER, STRANGER6 = "203.0.113.66", "2001:db8:66::66"
SPOKEN_TO, SPOKEN_TO6 = "198.51.100.7", "2001:db8::77"
OPEN, CLOSED = 7001, 7003
ONE_QUEUE = {"queue": {"processes": 1}}  # packets arrive in their order
_SIX = socket.AF_INET6


class Attacker:
    """Sends whole packets to the guard, and knows at which of its ports they arrived."""

    def __init__(self, lab: Lab) -> None:
        self._guard = lab["guard"]
        self._wire = lab["peer"].socket(socket.AF_PACKET, socket.SOCK_RAW)
        self._wire.bind(("eth0", 0))
        self._ears = {
            port: self._guard.socket(socket.AF_INET6, socket.SOCK_DGRAM) for port in (OPEN, CLOSED)
        }
        for port, ear in self._ears.items():
            ear.bind(("::", port))  # hears IPv4 as well
            ear.setblocking(False)

    def __enter__(self) -> Attacker:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self._wire, *self._ears.values()):
            one.close()

    def send(self, *packets: Any) -> None:
        """Send packets of scapy's, or bytes."""
        from scapy.layers.l2 import Ether

        for packet in packets:
            data = bytes(packet)
            kind = 0x0800 if data[0] >> 4 == 4 else 0x86DD
            header = Ether(src="02:00:00:00:00:02", dst=self._guard.mac, type=kind)
            self._wire.send(bytes(header) + data)

    def heard(self) -> set[tuple[int, bytes]]:
        """What has arrived until now: port and payload. A last datagram tells that all has."""
        from scapy.layers.inet import IP, UDP

        last = b"last " + os.urandom(8)
        self.send(IP(src="192.0.2.77", dst=GUARD) / UDP(sport=1, dport=OPEN) / last)
        found: set[tuple[int, bytes]] = set()
        deadline = time.monotonic() + 10
        while (OPEN, last) not in found:
            assert time.monotonic() < deadline, "what is permitted does not arrive"
            select.select(list(self._ears.values()), [], [], 0.1)
            found |= set(self._waiting())
        return (found | set(self._waiting())) - {(OPEN, last)}

    def _waiting(self) -> Iterator[tuple[int, bytes]]:
        for port, ear in self._ears.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    yield port, ear.recv(65536)


@pytest.fixture
def attacker(lab: Lab) -> Iterator[Attacker]:
    """Somebody on the guard's link."""
    with Attacker(lab) as attacker:
        yield attacker


OUTWARD = f"""
name = "Only outward, and one port"
[[rule]]
action = "block"
filters = ["any <-> any"]
[[rule]]
action = "permit"
filters = ["me -> any:{CLOSED} udp", "me -> [2001:db8::/64]:{CLOSED} udp", "any -> me:{OPEN} udp"]
"""


def test_forged_own_source(lab: Lab, attacker: Attacker) -> None:
    """What the host may send is not what may come in with the host's own address as its source,
    which the kernel delivers: in IPv6, and in IPv4 where it is told to (accept_local)."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6

    for interface in ("all", INTERFACE):
        lab["guard"].set_sysctl(f"net/ipv4/conf/{interface}/accept_local", "1")
        lab["guard"].set_sysctl(f"net/ipv4/conf/{interface}/rp_filter", "0")
    lab.start_daemon(OUTWARD, ONE_QUEUE)
    forged = (
        IPv6(src=GUARD6, dst=GUARD6),
        IPv6(src=GUARD6, dst="ff02::1"),
        IP(src=GUARD, dst=GUARD),
    )
    for number, packet in enumerate(forged):
        for port in (CLOSED, OPEN):
            attacker.send(packet / UDP(sport=4000, dport=port) / f"forged {number}".encode())
    assert attacker.heard() == {(OPEN, f"forged {number}".encode()) for number in range(3)}


def test_provoked_errors_open_nothing(lab: Lab, attacker: Attacker) -> None:
    """In stateful mode an ICMP error that a stranger had the host send lets nothing of his in: one
    about a broken packet, which no judge sees, or about what DHCP lets in (spec 6.4)."""
    from scapy.layers.inet import ICMP, IP, UDP
    from scapy.layers.inet6 import (
        HBHOptUnknown,
        ICMPv6EchoRequest,
        IPv6,
        IPv6ExtHdrHopByHop,
    )

    lab.start_daemon(OUTWARD, ONE_QUEUE).cli("mode", "stateful")
    kinds = ((socket.AF_INET, socket.IPPROTO_ICMP), (socket.AF_INET6, socket.IPPROTO_ICMPV6))
    ears = [lab["guard"].socket(family, socket.SOCK_RAW, protocol) for family, protocol in kinds]
    victims = [lab["peer"].socket(family, socket.SOCK_RAW, protocol) for family, protocol in kinds]
    with contextlib.ExitStack() as stack:
        for one in (*ears, *victims):
            stack.enter_context(one).settimeout(10)
        ears[0].sendto(bytes(ICMP()), (SPOKEN_TO, 0))
        ears[1].sendto(bytes(ICMPv6EchoRequest()), (SPOKEN_TO6, 0))
        bad = IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0xBF, optdata=bytes(4))])
        provoking = (
            IP(src=STRANGER, dst=GUARD) / UDP(sport=67, dport=68),
            IP(src=STRANGER, dst=GUARD, options=b"\x44\x03\x05\x00") / UDP(),
            IPv6(src=STRANGER6, dst=GUARD6) / bad / UDP(),
        )
        for packet, type_, victim in zip(provoking, (3, 12, 4), (0, 0, 1), strict=True):
            attacker.send(packet)
            while victims[victim].recv(2000)[0 if victim else 20] != type_:
                pass
        for source, source6 in ((STRANGER, STRANGER6), (SPOKEN_TO, SPOKEN_TO6)):
            attacker.send(
                IP(src=source, dst=GUARD) / ICMP(id=7) / source.encode(),
                IPv6(src=source6, dst=GUARD6) / ICMPv6EchoRequest(id=7, data=source6.encode()),
            )
        for ear, spoken_to, stranger in zip(
            ears, (SPOKEN_TO, SPOKEN_TO6), (STRANGER, STRANGER6), strict=True
        ):
            heard = b""
            while spoken_to.encode() not in heard:
                heard += ear.recv(2000)
            assert stranger.encode() not in heard


def test_source_routes(lab: Lab, attacker: Attacker) -> None:
    """Where the kernel takes source routes, a packet to a permitted address does not go on from
    there to one that is blocked, here or elsewhere."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6, IPv6ExtHdrSegmentRouting

    guard, other = lab["guard"], "2001:db8::11"
    guard.add_address(f"{other}/64")
    guard.set_sysctl("net/ipv4/ip_forward", "1")
    for name in ("all", "eth0"):
        guard.set_sysctl(f"net/ipv6/conf/{name}/seg6_enabled", "1")
        guard.set_sysctl(f"net/ipv4/conf/{name}/accept_source_route", "1")
    destinations = ", ".join(f'"any -> {one} udp"' for one in (GUARD, GUARD6, SPOKEN_TO))
    policy = OUTWARD.partition('action = "permit"')[0]
    lab.start_daemon(
        f'{policy}action = "permit"\nfilters = [{destinations}]', ONE_QUEUE | {"forward": True}
    )
    udp = UDP(sport=4000, dport=CLOSED)
    segments = IPv6ExtHdrSegmentRouting(addresses=[other, GUARD6], segleft=1, lastentry=1)
    attacker.send(
        IPv6(src=SPOKEN_TO6, dst=other) / udp / b"plain",
        IPv6(src=SPOKEN_TO6, dst=GUARD6) / segments / udp / b"segments",
        IPv6(src=SPOKEN_TO6, dst=GUARD6) / udp / b"permitted",
    )
    assert attacker.heard() == {(CLOSED, b"permitted")}
    route = b"\x83\x07\x04" + socket.inet_aton(STRANGER) + b"\x00"
    with lab["peer"].socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(3)) as wire:
        attacker.send(
            IP(src="192.0.2.99", dst=STRANGER) / udp / b"routed plain",
            IP(src="192.0.2.99", dst=GUARD, options=route) / udp / b"routed by option",
            IP(src="192.0.2.99", dst=SPOKEN_TO) / udp / b"routed last",
        )
        seen = b""
        wire.settimeout(10)
        while b"routed last" not in seen:
            data, (_, _, kind, *_) = wire.recvfrom(2000)
            seen += data if kind != socket.PACKET_OUTGOING else b""
    assert b"routed plain" not in seen
    assert b"routed by option" not in seen


def test_own_source_routes(lab: Lab) -> None:
    """A program that sends to an address of its own host, with a route that goes on from there,
    reaches what the host may send to and nothing else."""
    guard, peer = lab["guard"], lab["peer"]
    for host in (guard, peer):
        for name in ("all", "lo", "eth0"):
            host.set_sysctl(f"net/ipv4/conf/{name}/accept_source_route", "1")
            host.set_sysctl(f"net/ipv4/conf/{name}/accept_local", "1")
            host.set_sysctl(f"net/ipv6/conf/{name}/seg6_enabled", "1")
    guard.set_sysctl("net/ipv4/ip_forward", "1")
    guard.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    policy = OUTWARD.replace("any <-> any", "me <-> any").replace("any -> me", "me -> any")
    lab.start_daemon(policy.replace(str(CLOSED), "9"), ONE_QUEUE)
    route = b"\x83\x07\x04" + socket.inet_aton(GUARD) + b"\x00"
    segments = bytes((0, 4, 4, 1, 1, 0, 0, 0)) + bytes(16) + socket.inet_pton(_SIX, GUARD6)
    for family, own, other, option in (
        (socket.AF_INET, GUARD, "192.0.2.1", (socket.IPPROTO_IP, socket.IP_OPTIONS, route)),
        (_SIX, GUARD6, "2001:db8::1", (socket.IPPROTO_IPV6, socket.IPV6_RTHDR, segments)),
    ):
        with contextlib.ExitStack() as stack:
            mouth, closed, open_ = (
                stack.enter_context(host.socket(family, socket.SOCK_DGRAM))
                for host in (guard, peer, peer)
            )
            closed.bind((other, CLOSED))
            open_.bind((other, OPEN))
            open_.settimeout(20)
            mouth.bind((own, 0))
            mouth.setsockopt(*option)
            for number in range(5):
                for port in (CLOSED, OPEN):
                    mouth.sendto(bytes([number]), (other, port))
            assert [open_.recv(1)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
            assert waiting(closed) == 0


def lies(sport: int) -> Iterator[Any]:
    """Packets to the closed port that look, to a careless reader, like those of a flow from `sport`
    to the open one; their payload says what they are."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import (
        HBHOptUnknown,
        IPv6,
        IPv6ExtHdrDestOpt,
        IPv6ExtHdrFragment,
        IPv6ExtHdrHopByHop,
        IPv6ExtHdrRouting,
    )

    four, six = IP(src=SPOKEN_TO, dst=GUARD), IPv6(src=SPOKEN_TO6, dst=GUARD6)
    udp = UDP(sport=sport, dport=CLOSED)
    fake = struct.pack("!HH", sport, OPEN)
    for name, options in {
        "ports in options": b"\x9e\x06" + fake + bytes(2),
        "record route": b"\x07\x07\x04" + bytes(5),
        "source route": b"\x83\x07\x04" + fake + bytes(1),
        "source route at its end": b"\x89\x07\x08" + fake + bytes(1),
        "timestamp": b"\x44\x08\x05" + bytes(5),
        "all options": b"\x01" * 34 + b"\x9e\x06" + fake,
    }.items():
        yield IP(src=SPOKEN_TO, dst=GUARD, options=options) / udp / name
    yield four / UDP(sport=sport, dport=CLOSED, len=0) / "UDP length 0"
    yield four / UDP(sport=sport, dport=CLOSED, len=9) / "UDP length 9"
    yield bytes(four / udp / "bytes behind the end") + fake * 4
    yield IP(src=SPOKEN_TO, dst=GUARD, flags=4) / udp / "evil bit"
    for source, destination in (
        ("0.0.0.0", "0.0.0.0"),
        ("127.0.0.1", GUARD),
        (SPOKEN_TO, "127.0.0.1"),
        (SPOKEN_TO, "224.0.0.1"),
        (SPOKEN_TO, "192.0.2.255"),
        ("255.255.255.255", GUARD),
    ):
        yield IP(src=source, dst=destination) / udp / f"{source} to {destination}"
    for source, destination in (
        ("::1", GUARD6),
        ("::", GUARD6),
        (f"::ffff:{SPOKEN_TO}", f"::ffff:{GUARD}"),
        (SPOKEN_TO6, "ff02::1"),
        (SPOKEN_TO6, "::1"),
    ):
        yield IPv6(src=source, dst=destination) / udp / f"{source} to {destination}"
    inside = HBHOptUnknown(otype=0x1E, optdata=fake * 2)
    for header in (
        IPv6ExtHdrDestOpt(options=[inside]),
        IPv6ExtHdrHopByHop(options=[inside]),
        IPv6ExtHdrRouting(type=253, segleft=0, addresses=["::"]),
        IPv6ExtHdrFragment(),
        IPv6ExtHdrFragment() / IPv6ExtHdrDestOpt(options=[inside]) / IPv6ExtHdrFragment(id=1),
    ):
        yield six / header / udp / f"behind {header.summary()}"
    for protocol, packet in ((4, four), (41, six)):
        inner = bytes(packet / udp / f"protocol {protocol}")
        yield IP(src=SPOKEN_TO, dst=GUARD, proto=protocol) / inner
    yield from _fragments(bytes(four / udp / ("fragments" * 9)), fake)


def _fragments(packet: bytes, fake: bytes) -> Iterator[Any]:
    """An IPv4 packet in fragments, in both orders, of eight bytes and more, with fragments before,
    between and behind them that rewrite its ports."""
    from scapy.layers.inet import IP

    data = packet[20:]
    for number, (size, order) in enumerate(itertools.product((8, 24), ("first", "last", "twice"))):
        head = IP(src=SPOKEN_TO, dst=GUARD, proto=17, id=number + 1)
        parts = [head.copy() / data[at : at + size] for at in range(0, len(data), size)]
        for place, part in enumerate(parts):
            part.frag, part.flags = place * size // 8, "MF" if part is not parts[-1] else 0
        rewritten = parts[0].copy()
        rewritten.remove_payload()
        other = rewritten / (fake + data[4:size])
        parts.reverse() if order == "last" else None
        yield from [other, *parts] if order == "first" else [*parts[:-1], other, parts[-1]]
        if order == "twice":
            yield other


DELIVERED = {
    b"ports in options",
    b"all options",
    b"bytes behind the end",
    b"evil bit",
    b"0.0.0.0 to 0.0.0.0",
    b"behind IPv6ExtHdrDestOpt",
    b"behind IPv6ExtHdrHopByHop",
    b"behind IPv6ExtHdrRouting",
    b"behind IPv6ExtHdrFragment",
    b"fragments" * 9,
}
"""Some that every kernel takes, where nothing is filtered."""


def test_lies(lab: Lab, attacker: Attacker) -> None:
    """What is delivered to a port was judged as going there, however it is packed, and whatever the
    kernel has learnt of a flow that it resembles."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.inet6 import IPv6

    policy = OUTWARD.replace("any <-> any", "me <-> any")
    daemon = lab.start_daemon(policy, ONE_QUEUE)
    udp = UDP(sport=4000, dport=OPEN)
    for _ in range(5):
        attacker.send(IP(src=SPOKEN_TO, dst=GUARD) / udp, IPv6(src=SPOKEN_TO6, dst=GUARD6) / udp)
        attacker.heard()
    assert counter(lab["guard"], "in_permit") > 4
    told = list(lies(4000))
    attacker.send(*told)
    assert {port for port, _ in attacker.heard()} <= {OPEN}
    daemon.cli("mode", "permit")
    attacker.send(*told)
    assert {data for port, data in attacker.heard() if port == CLOSED} >= DELIVERED
