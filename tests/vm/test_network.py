"""What the network does to packets on their way: fragments, neighbours, narrow links."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.guests import GUARD, GUARD6, PEER, PEER6, Guest, Machines, on_port

STRANGER = "203.0.113.66"
NEAR, FAR = "192.0.2.1", "192.0.2.9"
NEAR6, FAR6 = "2001:db8::1", "2001:db8::9"

WEB_ONLY = """
name = "Web only"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:80 tcp", "any <-> me:9 udp", "me <-> any:80 tcp"]
"""
WEB_AND_ERRORS = WEB_ONLY.replace(
    '"any <-> me:80 tcp"', '"any <-> me:80 tcp", "me <-> any icmp", "me <-> any icmpv6"'
)
# What comes of datagrams of one sender: in front of everything, behind ipsecfd, and as answers.
WITNESS = f"""
table inet witness {{
    counter arrived {{}}
    counter passed {{}}
    counter answered {{}}
    chain first {{
        type filter hook prerouting priority -500; policy accept;
        ip saddr {STRANGER} ip protocol udp counter name arrived
    }}
    chain last {{
        type filter hook input priority 500; policy accept;
        ip saddr {STRANGER} ip protocol udp counter name passed
    }}
    chain out {{
        type filter hook postrouting priority 500; policy accept;
        ip daddr {STRANGER} counter name answered
    }}
}}
"""
FRAGMENTS = f"""
from scapy.layers.inet import IP, UDP, fragment
from scapy.packet import Raw
from scapy.sendrecv import send
datagram = UDP(sport=4000, dport=9) / Raw(bytes(64))
first, _ = fragment(IP(src="{STRANGER}", dst="{GUARD}", id=1) / datagram, fragsize=40)
_, second = fragment(IP(src="{STRANGER}", dst="{GUARD}", id=2) / datagram, fragsize=40)
both = fragment(IP(src="{STRANGER}", dst="{GUARD}", id=3) / datagram, fragsize=40)
send([first, second, *both], verbose=False)
"""
UDP_ECHO = """
import socket
server = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
server.bind(("::", 9))
while True:
    data, peer = server.recvfrom(65535)
    server.sendto(str(len(data)).encode(), peer)
"""
ASK = """
import socket, sys
host, port, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
client = socket.socket(family, socket.SOCK_DGRAM)
client.settimeout(3)
client.sendto(bytes(size), (host, port))
try:
    print(client.recv(100).decode())
except (TimeoutError, ConnectionRefusedError):
    print("nothing")
"""


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """A web site with a large page, and something that answers datagrams of any size."""
    guard = lab.guard
    guard.write("/root/echo.py", UDP_ECHO)
    guard.run("mkdir -p /srv/large && head -c 400000 /dev/zero >/srv/large/page")
    lab.peer.write("/root/ask.py", ASK)
    with guard.services(
        web=on_port(80, "python3 -m http.server --bind :: --directory /srv 80"),
        echo=on_port(9, "python3 /root/echo.py", "udp"),
    ):
        yield lab


def ask(lab: Machines, host: str, port: int, size: int) -> str:
    """How many bytes arrived of a datagram from the peer; `nothing` without an answer."""
    return lab.peer.run(f"python3 /root/ask.py {host} {port} {size}").strip()


def page(guest: Guest, host: str) -> bool:
    """Whether the guest gets the large page from a host within some seconds."""
    fetch = f"curl --silent --fail --max-time 8 --output /dev/null http://{host}/large/page"
    return guest.succeeds(fetch)


@pytest.mark.parametrize("address", [GUARD, GUARD6])
def test_fragments_are_judged_by_the_ports_of_the_whole_packet(
    world: Machines, address: str
) -> None:
    """A datagram in many fragments passes where its port is permitted, and nowhere else (5)."""
    world.guard.assign(WEB_ONLY)
    assert [ask(world, address, 9, size) for size in (100, 9000)] == ["100", "9000"]
    assert ask(world, address, 10, 9000) == "nothing"


def test_lone_fragments_are_not_answered(world: Machines) -> None:
    """Half a datagram gets no further, whichever half, and though its port is permitted."""
    guard, peer = world.guard, world.peer
    guard.assign(WEB_ONLY)
    guard.run(f"ip route add {STRANGER} dev eth1 && nft -f -", stdin=WITNESS)
    peer.run(f"ip address add {STRANGER}/32 dev eth1 && python3 -", stdin=FRAGMENTS)
    # The whole datagram was sent last.
    guard.wait_until("nft list counter inet witness answered | grep -q 'packets [1-9]'", seconds=60)
    assert guard.witnessed() == {"arrived": 4, "passed": 1, "answered": 1}


def test_neighbours_find_each_other_under_a_policy_that_blocks_all(world: Machines) -> None:
    """IPv6 neighbour discovery is exempt in the profile `linux`; ping is not."""
    world.guard.assign(WEB_ONLY)
    for guest in (world.guard, world.peer):
        guest.run("ip -6 neighbour flush dev eth1")
    assert page(world.peer, f"[{GUARD6}]")
    world.guard.run("ip -6 neighbour flush dev eth1")
    assert not world.peer.succeeds(f"ping -c1 -W2 {GUARD6}")
    assert not world.guard.succeeds(f"ping -c1 -W2 {PEER6}")
    assert page(world.peer, f"[{GUARD6}]")


@pytest.fixture(scope="module")
def far(world: Machines) -> None:
    """A host in another network of the peer's, behind a narrow link that it does not know of.

    So it asks for packets of the usual size.
    """
    world.peer.run(
        "ip netns add far && ip link add near type veth peer name eth0 netns far"
        " && ip link set near mtu 1280 up && ip -n far link set eth0 up"
        f" && ip address add {NEAR}/24 dev near && ip address add {NEAR6}/64 dev near nodad"
        f" && ip -n far address add {FAR}/24 dev eth0"
        f" && ip -n far address add {FAR6}/64 dev eth0 nodad"
        f" && ip -n far route add default via {NEAR} && ip -n far route add default via {NEAR6}"
        " && sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"
    )
    world.guard.run(
        f"ip route add {FAR}/32 via {PEER} && ip route add {FAR6}/128 via {PEER6}"
        " && sysctl -qw net.ipv4.tcp_mtu_probing=0"
    )


@pytest.mark.parametrize(
    ("far_host", "web"), [(FAR, GUARD), (FAR6, f"[{GUARD6}]")], ids=["IPv4", "IPv6"]
)
@pytest.mark.usefixtures("far")
def test_narrow_link_on_the_way(world: Machines, far_host: str, web: str) -> None:
    """Behind a narrow link a host that blocks ICMP cannot send large pages; with ICMP it can."""
    fetch = f"ip netns exec far curl -sf --max-time 8 -o /dev/null http://{web}/large/page"
    world.guard.assign(WEB_ONLY)
    assert not world.peer.succeeds(fetch)
    world.guard.assign(WEB_AND_ERRORS)
    assert world.peer.succeeds(fetch)
    assert "mtu 1280" in world.guard.run(f"ip route get {far_host}")
