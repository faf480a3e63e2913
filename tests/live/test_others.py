"""Other people's rules, marks and routes keep working beside ours, and cannot fool us."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from ipsecfd.lab import Host, HostSpec, Lab, Probe
from tests.live.asking import HTTP, SSH, passing

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PERMIT_WEB = """
name = "Web server"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:80 tcp", "any <-> me:81 tcp", "me <-> any:53 udp"]
"""
ROUTED_MARK = 0x80000000


def nft(host: Host, script: str) -> None:
    """Load a script of rules on a host."""
    host.path("/run/foreign.nft").write_text(script)
    host.run(["nft", "-f", "/run/foreign.nft"], check=True)


def counted(host: Host, chain: str) -> int:
    """Packets that the first counter of a chain of table inet foreign has seen."""
    listed = host.run(["nft", "list", "chain", "inet", "foreign", chain], check=True).stdout
    return int(listed.partition("counter packets ")[2].split()[0])


HTTP_81 = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:81")
DNS_OUT = Probe.parse("udp 192.0.2.10 -> 198.51.100.7:53")
NTP_OUT = Probe.parse("udp 192.0.2.10 -> 198.51.100.7:123")


def test_firewall_rules_before_and_behind_ours(lab: Lab) -> None:
    """What we accept goes on to everybody else's chains, in every table and at every priority."""
    guard = lab["guard"]
    nft(
        guard,
        """
add table inet foreign
add chain inet foreign first { type filter hook input priority -300; }
add chain inet foreign last { type filter hook input priority 300; }
add chain inet foreign out { type filter hook postrouting priority 300; }
add rule inet foreign first tcp dport 80 counter
add rule inet foreign last tcp dport 80 counter
add rule inet foreign out udp dport 53 counter
""",
    )
    guard.run(["iptables", "-A", "INPUT", "-p", "tcp", "--dport", "81", "-j", "DROP"], check=True)
    guard.run(["iptables", "-t", "mangle", "-A", "INPUT", "-j", "ACCEPT"], check=True)
    before = guard.run(["iptables-save"], check=True).stdout.count("-A ")
    daemon = lab.start_daemon(PERMIT_WEB)
    assert passing(lab, HTTP, HTTP_81, SSH, DNS_OUT) == [True, False, False, True]
    for chain in ("first", "last", "out"):
        assert counted(guard, chain) > 0
    daemon.stop()
    assert guard.run(["iptables-save"], check=True).stdout.count("-A ") == before
    assert "foreign" in guard.run(["nft", "list", "tables"], check=True).stdout


def test_marks_of_others_survive(lab: Lab) -> None:
    """A mark set in OUTPUT is still there behind us, every bit of it."""
    guard = lab["guard"]
    guard.run(
        ["iptables", "-t", "mangle", "-A", "OUTPUT", "-j", "MARK", "--set-mark", "0x1234567"],
        check=True,
    )
    nft(
        guard,
        """
add table inet foreign
add chain inet foreign out { type filter hook postrouting priority 300; }
add rule inet foreign out meta mark 0x1234567 udp dport 53 counter
""",
    )
    lab.start_daemon(PERMIT_WEB)
    assert passing(lab, DNS_OUT) == [True]
    assert counted(guard, "out") == 1


def test_policy_routing_by_mark(lab: Lab) -> None:
    """A `not fwmark` rule, as wg-quick makes it, routes our packets as it did without us."""
    guard = lab["guard"]
    for command in (
        "ip route del default",
        "ip route add default via 192.0.2.1 table 1000",
        "ip rule add not fwmark 0xca6c table 1000",
    ):
        guard.run(command.split(), check=True)
    assert passing(lab, DNS_OUT) == [True]
    lab.start_daemon(PERMIT_WEB)
    assert passing(lab, DNS_OUT, NTP_OUT, HTTP) == [True, False, True]


@pytest.mark.parametrize("mark", [ROUTED_MARK, 0xFFFFFFFF, ROUTED_MARK | 0x1234])
def test_forged_marks_open_nothing(lab: Lab, mark: int) -> None:
    """A packet of the host's own that carries the mark of routed ones is judged all the same, and
    so is an inbound one when sysctls hand marks on."""
    guard = lab["guard"]
    guard.set_sysctl("net/ipv4/fwmark_reflect", "1")
    guard.set_sysctl("net/ipv4/tcp_fwmark_accept", "1")
    guard.run(
        ["iptables", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-mark", hex(mark)],
        check=True,
    )
    lab.start_daemon(PERMIT_WEB)
    assert not _arrives(lab, mark, 123)
    assert _arrives(lab, mark, 53)
    assert passing(lab, SSH, HTTP) == [False, True]


def _arrives(lab: Lab, mark: int, port: int) -> bool:
    """Whether a datagram that the guard sends with this mark reaches the peer."""
    listener = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    sender = lab["guard"].socket(socket.AF_INET, socket.SOCK_DGRAM)
    with listener, sender:
        listener.bind(("198.51.100.7", port))
        listener.settimeout(0.5)
        sender.setsockopt(
            socket.SOL_SOCKET, socket.SO_MARK, struct.unpack("i", struct.pack("I", mark))[0]
        )
        try:
            sender.sendto(b"marked", ("198.51.100.7", port))
            return listener.recv(100) == b"marked"
        except TimeoutError:
            return False


ROUTER = HostSpec("guard", ("10.1.0.1/24", "10.2.0.1/24"))
WEST = HostSpec("west", ("10.1.0.2/24",), gateways=("10.1.0.1",))
EAST = HostSpec("east", ("10.2.0.2/24",), gateways=("10.2.0.1",))

ROUTED = """
name = "Between the networks"
[[rule]]
action = "block"
filters = ["me <-> any", "10.1.0.0/24 <-> 10.2.0.0/24:22 tcp"]
"""


@pytest.mark.parametrize("forward", [False, True])
def test_routed_packets(forward: bool) -> None:
    """Routed packets are judged by their literal addresses with `forward`, else not at all; a
    filter with `me` never means them. What the router itself sends is always judged."""
    with Lab(ROUTER, WEST, EAST) as lab:
        lab["guard"].set_sysctl("net/ipv4/ip_forward", "1")
        daemon = lab.start_daemon(ROUTED, {"forward": forward})
        assert passing(
            lab,
            Probe.parse("tcp 10.1.0.2 -> 10.2.0.2:80"),
            Probe.parse("tcp 10.1.0.2 -> 10.2.0.2:22"),
            Probe.parse("udp 10.1.0.1 -> 10.1.0.2:9"),
        ) == [True, not forward, False]
        told = " ".join(daemon.cli("status").stdout.split())
        assert ("routed packets are not judged" in told) is not forward


def test_marks_of_routed_packets_survive() -> None:
    """The bit that tells routed packets apart is gone behind us, and the other bits are not."""
    with Lab(ROUTER, WEST, EAST) as lab:
        guard = lab["guard"]
        guard.set_sysctl("net/ipv4/ip_forward", "1")
        guard.run(
            ["iptables", "-t", "mangle", "-A", "PREROUTING", "-j", "MARK", "--set-mark", "0x77"],
            check=True,
        )
        nft(
            guard,
            """
add table inet foreign
add chain inet foreign out { type filter hook postrouting priority -300; }
add rule inet foreign out meta mark 0x77 udp dport 9 counter
""",
        )
        lab.start_daemon(ROUTED)
        assert passing(lab, Probe.parse("udp 10.1.0.2 -> 10.2.0.2:9")) == [True]
        assert counted(guard, "out") == 1


def test_a_negotiation_lets_pass_what_ipsec_protects(lab: Lab) -> None:
    """ESP itself passes, since the kernel takes none in without an association; clear text stays
    out, ESP of peers that no filter negotiates with meets its filter (spec 1.2, 4.2)."""
    lab.start_daemon(
        'name = "IPsec only"\n'
        '[[rule]]\naction = "negotiate"\nfilters = ["me <-> 203.0.113.0/24"]\n'
        '[[rule]]\naction = "block"\nfilters = ["me <-> 198.51.100.0/24"]\n'
    )
    esp = Probe.parse("50 203.0.113.66 -> 192.0.2.10")
    other_esp = Probe.parse("50 198.51.100.7 -> 192.0.2.10")
    clear = Probe.parse("udp 203.0.113.66 -> 192.0.2.10:53")
    assert passing(lab, esp, other_esp, clear) == [True, False, False]


def test_routed_esp_is_nobody_s_protection() -> None:
    """What is only routed needs no association here: to a filter that negotiates it is a protocol
    like any other (spec 1.2, 4.2)."""
    negotiated = 'filters = ["10.1.0.0/24 <-> any"]'
    with Lab(ROUTER, WEST, EAST) as lab:
        lab["guard"].set_sysctl("net/ipv4/ip_forward", "1")
        lab.start_daemon(
            f'name = "Gateway"\n[[rule]]\naction = "negotiate"\n{negotiated}\n', {"forward": True}
        )
        esp, ah = (Probe.parse(f"{one} 10.1.0.2 -> 10.2.0.2") for one in (50, 51))
        own = Probe.parse("50 10.1.0.2 -> 10.1.0.1")
        assert passing(lab, esp, ah, own) == [False, False, True]
