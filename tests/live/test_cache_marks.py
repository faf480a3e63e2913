"""Marks that packets bring along are no verdicts: nothing opens by them, and nothing is learnt."""

from __future__ import annotations

import json
import os
import socket
import struct
import time

import pytest

from ipsecfd.lab import Host, Lab
from ipsecfd.lab.hosts import HostSpec
from tests.live.streams import GUARD, PEER, waiting

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

FORGED = range(64)
"""All values of our bits, each verdict of each generation among them."""
FOREIGN = 0x1234
"""Bits that are somebody else's."""
CLOSED, OPEN = 9000, 9100
"""Of these ports the n-th gets the n-th of the forged marks."""
ROUTER = HostSpec("guard", ("192.0.2.10/24", "10.2.0.1/24"))
WEST = HostSpec("peer", ("192.0.2.1/24",), gateways=("192.0.2.10",))
EAST = HostSpec("east", ("10.2.0.2/24",), gateways=("10.2.0.1",))

_MAP = ", ".join(
    f"{base + number} : {number << 26 | FOREIGN:#x}" for base in (CLOSED, OPEN) for number in FORGED
)
_MARK = {
    "set": f"meta mark set udp dport map {{ {_MAP} }}",
    "restored": f"ct mark set udp dport map {{ {_MAP} }} meta mark set ct mark",
}
"""How marks are forged before our first chain."""


def policy(source: str, destination: str) -> str:
    """Blocks everything but the open ports of a destination."""
    ports = ", ".join(f'"{source} <-> {destination}:{OPEN + one} udp"' for one in FORGED)
    return f"""
name = "Open and closed ports"
[[rule]]
action = "block"
filters = ["any <-> {destination}"]
[[rule]]
action = "permit"
filters = [{ports}]
"""


def load(host: Host, hook: str, how: str) -> None:
    """Forge marks before our chains of a hook, and count behind them."""
    host.path("/run/foreign.nft").write_text(f"""
table inet foreign {{
    counter closed {{ }}
    counter open {{ }}
    counter ours {{ }}
    chain first {{
        type filter hook prerouting priority mangle
        {_MARK[how]}
    }}
    chain last {{
        type filter hook {hook} priority 300
        udp dport {CLOSED}-{CLOSED + FORGED[-1]} counter name closed
        udp dport {OPEN}-{OPEN + FORGED[-1]} meta mark {FOREIGN} counter name open
        meta mark & 0xfc000000 != 0 counter name ours
    }}
}}
""")
    host.run(["nft", "-f", "/run/foreign.nft"], check=True)


def counter(host: Host, table: str, name: str) -> int:
    """Packets that a named counter has seen."""
    listed = host.run(["nft", "-j", "list", "counter", "inet", table, name], check=True)
    (found,) = (one["counter"] for one in json.loads(listed.stdout)["nftables"] if "counter" in one)
    return int(found["packets"])


def send(host: Host, destination: str, rounds: int = 5) -> None:
    """Send a datagram to each port in each round; flows are learnt from one to the next."""
    with host.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind(("0.0.0.0", 5000))
        for _ in range(rounds):
            for number in FORGED:
                mouth.sendto(b"forged", (destination, CLOSED + number))
                mouth.sendto(b"forged", (destination, OPEN + number))
            time.sleep(0.2)


@pytest.mark.parametrize("how", _MARK)
def test_inbound(lab: Lab, how: str) -> None:
    """Whatever of our bits a packet brings along, from anywhere, also restored from its connection,
    it is judged all the same; behind us our bits are gone and all others as they were."""
    guard = lab["guard"]
    guard.set_sysctl("net/ipv4/fwmark_reflect", "1")
    guard.set_sysctl("net/ipv4/tcp_fwmark_accept", "1")
    load(guard, "input", how)
    lab.start_daemon(policy("any", "me"))
    send(lab["peer"], GUARD)
    assert counter(guard, "foreign", "closed") == 0
    assert counter(guard, "foreign", "open") == 5 * len(FORGED)
    assert counter(guard, "foreign", "ours") == 0
    assert counter(guard, "ipsecfd", "in_permit") >= 2 * len(FORGED)


@pytest.mark.parametrize("how", _MARK)
def test_routed(how: str) -> None:
    """So it is with routed packets, the mark by which we know them included."""
    with Lab(ROUTER, WEST, EAST) as lab:
        guard = lab["guard"]
        guard.set_sysctl("net/ipv4/ip_forward", "1")
        for which in ("all", "eth0"):  # both networks are on one wire
            guard.set_sysctl(f"net/ipv4/conf/{which}/send_redirects", "0")
        load(guard, "postrouting", how)
        lab.start_daemon(policy("192.0.2.0/24", "10.2.0.2"), {"forward": True})
        send(lab["peer"], "10.2.0.2")
        assert counter(guard, "foreign", "closed") == 0
        assert counter(guard, "foreign", "open") == 5 * len(FORGED)
        assert counter(guard, "foreign", "ours") == 0
        assert counter(guard, "ipsecfd", "forward_permit") >= 2 * len(FORGED)


@pytest.mark.parametrize("how", ["SO_MARK", "restored", "late"])
def test_own_sockets(lab: Lab, how: str) -> None:
    """Marks of sockets, or restored for them on the way out, or set once it is settled (all but the
    mark of routed packets): closed stays closed, and open stays open, learnt or not."""
    guard = lab["guard"]
    forged = FORGED[:32] if how == "late" else FORGED
    marks = ", ".join(f"{20000 + number} : {number << 26 | 1:#x}" for number in forged)
    if how == "late":
        guard.path("/run/foreign.nft").write_text(f"""
table inet foreign {{
    chain late {{
        type filter hook postrouting priority {-(2**31)}
        meta mark set udp sport map {{ {marks} }}
    }}
}}
""")
        guard.run(["nft", "-f", "/run/foreign.nft"], check=True)
    if how == "restored":
        guard.path("/run/foreign.nft").write_text(f"""
table inet foreign {{
    chain restore {{
        type route hook output priority mangle
        ct mark set udp sport map {{ {marks} }} meta mark set ct mark
    }}
}}
""")
        guard.run(["nft", "-f", "/run/foreign.nft"], check=True)
    lab.start_daemon(policy("any", PEER))
    open_, closed = (lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    with open_, closed:
        open_.bind((PEER, OPEN))
        closed.bind((PEER, CLOSED))
        for number in forged:
            with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.bind((GUARD, 20000 + number))
                if how == "SO_MARK":
                    mark = struct.pack("I", number << 26 | 1)
                    mouth.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
                for _ in range(4):
                    for port in (CLOSED, OPEN):
                        try:
                            mouth.sendto(b"forged", (PEER, port))
                        except PermissionError:
                            assert port == CLOSED
        time.sleep(0.3)
        assert waiting(open_) == 4 * len(forged)
        assert waiting(closed) == 0


def test_configured_bits(lab: Lab) -> None:
    """Flows are learnt by the bits that the configuration names; of a packet with all bits set,
    in or out, these are taken off and no others."""
    guard, ours = lab["guard"], 0x00001F00
    guard.path("/run/foreign.nft").write_text(f"""
table inet foreign {{
    counter in {{ }}
    counter out {{ }}
    chain first {{
        type filter hook prerouting priority mangle
        meta mark set 0xffffffff
    }}
    chain last {{
        type filter hook input priority 300
        udp dport {OPEN} meta mark {0xFFFFFFFF & ~ours:#x} counter name in
    }}
    chain way_out {{
        type filter hook postrouting priority 300
        udp sport {OPEN} meta mark {0xFFFFFFFF & ~ours:#x} counter name out
    }}
}}
""")
    guard.run(["nft", "-f", "/run/foreign.nft"], check=True)
    lab.start_daemon(policy("any", "me"), {"queue": {"mark": ours}})
    mouth = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    own = guard.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with mouth, own:
        own.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("I", 0xFFFFFFFF))
        own.bind((GUARD, OPEN))
        mouth.bind((PEER, 5000))
        for _ in range(10):
            mouth.sendto(b"all bits", (GUARD, OPEN))
            own.sendto(b"all bits", (PEER, 5000))
            time.sleep(0.1)
    for direction in ("in", "out"):
        assert counter(guard, "foreign", direction) == 10
        assert counter(guard, "ipsecfd", f"{direction}_permit") >= 2


def test_loopback(lab: Lab) -> None:
    """What the host sends to itself passes with any mark and teaches nothing: no packet from
    outside that looks like it, or like its way back, passes by it."""
    guard = lab["guard"]
    load(guard, "input", "set")
    lab.start_daemon(policy("any", "any").replace("permit", "block"))
    with guard.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        for number in FORGED:
            mark = struct.pack("I", number << 26 | FOREIGN)
            mouth.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            for address in ("127.0.0.1", GUARD):
                for port in (CLOSED, OPEN):
                    mouth.sendto(b"forged", (address, port + number))
    time.sleep(0.2)
    assert counter(guard, "foreign", "closed") == 2 * len(FORGED)
    assert counter(guard, "foreign", "open") == 2 * len(FORGED)
    table = guard.run(["nft", "list", "table", "inet", "ipsecfd"], check=True).stdout
    assert "set in4_ports_permit_" in table
    assert "elements" not in table
