"""Devices on the way: tunnels that end here, bridges, addresses of other kinds, large packets."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections.abc import Iterator
from typing import Final

import pytest

from ipsecfd.kernel.marks import Marks
from ipsecfd.lab import Host, Lab, LabError
from ipsecfd.lab.hosts import INTERFACE
from ipsecfd.lab.namespaces import Namespace
from tests.live.streams import GUARD, PEER, waiting
from tests.live.test_cache import counter

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

GUARD6, PEER6, GUEST6 = "2001:db8::10", "2001:db8::1", "2001:db8::30"
IN, OUT, CLOSED, OTHER, TUNNEL = 7001, 7002, 7003, 7004, 4789
ONE_QUEUE: Final = {"queue": {"processes": 1}}  # packets are judged in their order
NUMBER: Final = 8
"""Datagrams to each port, which are enough to be learnt."""

_UDP_SEGMENT: Final = (socket.IPPROTO_UDP, 103)
_SECONDS: Final = 10.0


def policy(*permitted: str) -> str:
    """Blocks everything but these filters."""
    filters = ", ".join(f'"{one} udp"' for one in permitted)
    return f"""
name = "Some ports"
[[rule]]
action = "block"
filters = ["any <-> any"]
[[rule]]
action = "permit"
filters = [{filters}]
"""


PORTS: Final = (f"any <-> me:{IN}", f"me <-> any:{OUT}")


def heard(
    sender: Host,
    receiver: Namespace,
    source: str,
    destination: str,
    ports: tuple[int, int],
    *options: tuple[int, int, int],
    data: bytes = b"x",
) -> tuple[int, int]:
    """How many of NUMBER datagrams to each of two ports arrive: those to the first one shall not,
    and are sent before those to the second one, which are waited for."""
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    anywhere = "::" if ":" in destination else "0.0.0.0"
    with contextlib.ExitStack() as stack:
        ears = [stack.enter_context(receiver.socket(family, socket.SOCK_DGRAM)) for _ in ports]
        for ear, port in zip(ears, ports, strict=True):
            ear.bind((anywhere, port))
        mouth = stack.enter_context(sender.socket(family, socket.SOCK_DGRAM))
        for option in options:
            mouth.setsockopt(*option)
        mouth.bind((source, 5000))
        for number in range(NUMBER):
            # As if settings of this number had permitted it.
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, Marks().permit(number))
            for port in ports:
                with contextlib.suppress(PermissionError):
                    mouth.sendto(data, (destination, port))
            time.sleep(0.01)
        return _read(ears[0], 0), _read(ears[1], NUMBER * len(data))


def _read(ear: socket.socket, expected: int) -> int:
    """How many bytes there are to read, once as many as expected are, or some seconds later."""
    found, deadline = 0, time.monotonic() + _SECONDS
    while found < expected and time.monotonic() < deadline:
        if select.select([ear], [], [], 0.1)[0]:
            found += len(ear.recv(65536))
    while select.select([ear], [], [], 0)[0]:
        found += len(ear.recv(65536))
    return found


def tunnel(lab: Lab, name: str) -> None:
    """A tunnel from the guard, 10.9.0.1, to the peer, 10.9.0.2."""
    for host, local, remote, number in (
        (lab["guard"], GUARD, PEER, 1),
        (lab["peer"], PEER, GUARD, 2),
    ):
        for command in (
            f"ip link add {name} type vxlan id 5 local {local} remote {remote} dstport {TUNNEL}",
            f"ip address add 10.9.0.{number}/24 dev {name}",
            f"ip link set {name} up",
        ):
            host.run(command.split(), check=True)


def test_tunnel(lab: Lab) -> None:
    """What comes out of a tunnel, or goes into one, is judged by itself, and so is what carries it;
    our bits of the mark, which the one takes over from the other, are no verdict."""
    guard, peer = lab["guard"], lab["peer"]
    tunnel(lab, "vx0")
    carried = (f"any -> me:{TUNNEL}", f"me -> any:{TUNNEL}")
    daemon = lab.start_daemon(policy(*PORTS, *carried), ONE_QUEUE)
    guard_to_peer = (guard, peer, "10.9.0.1", "10.9.0.2")
    peer_to_guard = (peer, guard, "10.9.0.2", "10.9.0.1")
    for learnt in ("in_permit", "out_permit"):
        deadline = time.monotonic() + _SECONDS
        while counter(guard, learnt) < NUMBER:
            assert time.monotonic() < deadline, "nothing is learnt"
            assert heard(*peer_to_guard, (CLOSED, IN)) == (0, NUMBER)
            assert heard(*guard_to_peer, (CLOSED, OUT)) == (0, NUMBER)
    daemon.reload(policy(*PORTS, f"any <-> me:{OTHER}"))
    with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("10.9.0.1", OTHER))
        with peer.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.sendto(b"permitted, but carried by what is not", ("10.9.0.1", OTHER))
        assert heard(peer, guard, PEER, GUARD, (CLOSED, IN)) == (0, NUMBER)
        assert waiting(ear) == 0


def test_carrier_of_a_dialup_tunnel(lab: Lab) -> None:
    """Rules for dial-up connections are for what goes through a tunnel of that name; what carries
    it leaves by a LAN (spec 1.4), and so the log has it."""
    guard, peer = lab["guard"], lab["peer"]
    tunnel(lab, "tun0")
    block = f"""
name = "Carriers"
[[rule]]
action = "block"
connection = "%s"
filters = ["me -> any:{TUNNEL} udp", "me -> any:{CLOSED} udp"]
"""
    daemon = lab.start_daemon(block % "dialup", ONE_QUEUE)
    inner = (guard, peer, "10.9.0.1", "10.9.0.2")
    assert heard(*inner, (CLOSED, OUT)) == (0, NUMBER)
    daemon.reload(block % "lan")
    with peer.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("10.9.0.2", OTHER))
        with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
            mouth.sendto(b"permitted, but carried by what is not", ("10.9.0.2", OTHER))
        assert heard(guard, peer, GUARD, PEER, (CLOSED, OUT)) == (0, NUMBER)
        assert waiting(ear) == 0
    carriers = [one for one in daemon.records() if one.get("destination_port") == TUNNEL]
    assert {one["interface"] for one in carriers} == {INTERFACE}


def test_segments(lab: Lab) -> None:
    """Many datagrams that the kernel handles as one large packet (UDP_SEGMENT) are judged like it:
    all have its ports."""
    guard, peer = lab["guard"], lab["peer"]
    lab.start_daemon(policy(*PORTS), ONE_QUEUE)
    for own, other in ((GUARD, PEER), (GUARD6, PEER6)):
        for way in (
            (peer, guard, other, own, (CLOSED, IN)),
            (guard, peer, own, other, (CLOSED, OUT)),
        ):
            found = heard(*way, (*_UDP_SEGMENT, 100), data=bytes(1000))
            assert found == (0, 1000 * NUMBER)


def test_large_segments(lab: Lab) -> None:
    """TCP over IPv6 in packets above 65,535 bytes (BIG TCP), whose header says nothing of their
    length, passes where it is permitted, either way."""
    guard, peer = lab["guard"], lab["peer"]
    for host in (guard, peer):
        done = host.run(f"ip link set {INTERFACE} gso_max_size 180000".split())
        if done.returncode:
            pytest.skip(f"without BIG TCP: {done.stderr}")
    lab.start_daemon(policy().replace("[]", f'["any <-> me:{IN} tcp"]'))
    guard.path("/run/large.nft").write_text("""
table ip6 large {
    counter seen { }
    chain seen { type filter hook input priority 0; ip6 length 0 counter name seen; }
}
""")
    guard.run(["nft", "-f", "/run/large.nft"], check=True)
    with guard.socket(socket.AF_INET6, socket.SOCK_STREAM) as ear:
        ear.bind((GUARD6, IN))
        ear.listen()
        ear.settimeout(_SECONDS)
        with peer.socket(socket.AF_INET6, socket.SOCK_STREAM) as mouth:
            mouth.settimeout(_SECONDS)
            mouth.connect((GUARD6, IN))
            accepted, _ = ear.accept()
            accepted.settimeout(_SECONDS)
            with accepted:
                for one, end in ((mouth, accepted), (accepted, mouth)):
                    _stream(one, end, 20 << 20)
    seen = guard.run(["nft", "list", "counter", "ip6", "large", "seen"], check=True).stdout
    assert "packets 0" not in seen


def _stream(mouth: socket.socket, ear: socket.socket, total: int) -> None:
    """Send so many bytes from one end of a connection to the other."""
    sent = received = 0
    mouth.setblocking(False)
    while received < total:
        if sent < total:
            with contextlib.suppress(BlockingIOError):
                sent += mouth.send(bytes(min(1 << 20, total - sent)))
        if select.select([ear], [], [], 0 if sent < total else _SECONDS)[0]:
            received += len(ear.recv(1 << 20))
        elif sent >= total:
            raise TimeoutError(f"{received} of {total} bytes")
    mouth.settimeout(_SECONDS)


def test_addresses_of_other_kinds(lab: Lab) -> None:
    """What the kernel takes for this host is for `me`, whatever the address: a loopback one
    (route_localnet), one of a local route, one of a macvlan device; so it is on the way out."""
    guard, peer = lab["guard"], lab["peer"]
    guard.set_sysctl(f"net/ipv4/conf/{INTERFACE}/route_localnet", "1")
    peer.set_sysctl(f"net/ipv4/conf/{INTERFACE}/route_localnet", "1")
    for host, command in (
        (guard, "ip route add local 10.50.0.0/16 dev lo"),
        (guard, f"ip link add link {INTERFACE} name mv0 type macvlan mode bridge"),
        (guard, "ip address add 192.0.2.11/24 dev mv0"),
        (guard, "ip link set mv0 up"),
        (peer, f"ip route add 10.50.0.0/16 via {GUARD}"),
        (peer, "ip route del table local local 127.0.0.0/8 dev lo"),
        (peer, f"ip route add 127.5.0.0/16 via {GUARD} src {PEER}"),
    ):
        host.run(command.split(), check=True)
    lab.start_daemon(policy(*PORTS).replace("any <-> any", "me <-> any"), ONE_QUEUE)
    for address in ("127.5.0.1", "10.50.1.1", "192.0.2.11"):
        assert heard(peer, guard, PEER, address, (CLOSED, IN)) == (0, NUMBER)
    free = (socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
    for address in ("10.50.1.1", "192.0.2.11", "10.77.0.1"):
        assert heard(guard, peer, address, PEER, (CLOSED, OUT), free) == (0, NUMBER)


@pytest.fixture
def guest(lab: Lab) -> Iterator[Namespace]:
    """A virtual machine of the guard's, on one bridge with the wire and the guard's addresses."""
    guard = lab["guard"]
    with Namespace("guest") as guest:

        def connect() -> None:
            from pyroute2 import IPRoute

            with IPRoute() as ip:
                end = {"ifname": "inside", "net_ns_pid": guest.pid}
                ip.link("add", ifname="outside", kind="veth", peer=end)

        guard.call(connect)
        for host, command in (
            (guest, "ip address add 192.0.2.30/24 dev inside"),
            (guest, f"ip address add {GUEST6}/64 dev inside nodad"),
            (guest, "ip link set inside up"),
            (guard, "ip link add br0 type bridge forward_delay 0 mcast_snooping 0"),
            (guard, f"ip link set br0 address {guard.mac} up"),
            (guard, f"ip address flush dev {INTERFACE}"),
            (guard, f"ip address add {GUARD}/24 dev br0"),
            (guard, f"ip address add {GUARD6}/64 dev br0 nodad"),
            (guard, "ip link set outside master br0 up"),
            (guard, f"ip link set {INTERFACE} master br0"),
        ):
            host.run(command.split(), check=True)
        yield guest


def test_bridge(lab: Lab, guest: Namespace) -> None:
    """Where the kernel shows what it bridges (br_netfilter), that is judged like what is routed, by
    its literal addresses; neighbour discovery passes in every mode (design, profile `linux`)."""
    guard, peer = lab["guard"], lab["peer"]
    for family in ("ip", "ip6"):
        name = f"net/bridge/bridge-nf-call-{family}tables"
        try:
            guard.set_sysctl(name, "1")
        except LabError as error:
            pytest.skip(f"without br_netfilter: {error}")
    ports = (*PORTS, f"any -> 192.0.2.30:{OUT}", f"any -> [{GUEST6}]:{OUT}")
    daemon = lab.start_daemon(policy(*ports), ONE_QUEUE | {"forward": True})
    for source, destination in ((PEER, "192.0.2.30"), (PEER6, GUEST6)):
        assert heard(peer, guest, source, destination, (IN, OUT)) == (0, NUMBER)
    for own, other in ((GUARD, PEER), (GUARD6, PEER6)):
        assert heard(peer, guard, other, own, (CLOSED, IN)) == (0, NUMBER)
        assert heard(guard, peer, own, other, (CLOSED, OUT)) == (0, NUMBER)
    daemon.cli("mode", "block")
    peer.run(f"ip -6 neigh flush dev {INTERFACE}".split(), check=True)
    with peer.socket(socket.AF_INET6, socket.SOCK_DGRAM) as mouth:
        mouth.sendto(b"who has it?", (GUEST6, OUT))
    deadline = time.monotonic() + _SECONDS
    while "lladdr" not in peer.run(f"ip -6 neigh show {GUEST6}".split(), check=True).stdout:
        assert time.monotonic() < deadline, "no answer"
        time.sleep(0.05)
