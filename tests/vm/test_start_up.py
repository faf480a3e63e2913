"""The start-up modes, as the kernel holds them before the service runs, with real programs.

ipsecfd-boot.service is started and ipsecfd.service is not: so it is between power-on and policies.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.vm.guests import GUARD, PEER, Machines, on_port

POLICY = """
name = "Ping"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["me <-> any icmp"]
"""
DNSMASQ = """
interface=eth1
bind-interfaces
dhcp-range=10.77.0.100,10.77.0.109,12h
dhcp-authoritative
log-dhcp
leasefile-ro
no-resolv
address=/www.example/203.0.113.80
"""
LEASE_SECONDS_LEFT = (
    "ip -4 address show dev eth1 dynamic | sed -nE 's/.*valid_lft ([0-9]+)sec.*/\\1/p'"
)
ALSO_BY_DHCP = "[Network]\nDHCP=ipv4\n[DHCPv4]\nUseDNS=no\nUseRoutes=no\nUseGateway=no\n"


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """A name server, a DHCP server and a web site on the peer; the guard has a lease of it."""
    guard, peer = lab.guard, lab.peer
    peer.write("/run/lab/dnsmasq.conf", DNSMASQ)
    servers = on_port(53, "dnsmasq --keep-in-foreground -C /run/lab/dnsmasq.conf")
    web = on_port(80, "python3 -m http.server --directory /srv 80")
    with peer.services(servers=servers, web=web), guard.services(web=web):
        guard.write("/etc/systemd/network/20-lab.network.d/dhcp.conf", ALSO_BY_DHCP)
        guard.run("networkctl reload && networkctl reconfigure eth1")
        guard.wait_until("ip -4 address show dev eth1 dynamic | grep -q 10.77.0.10")
        guard.assign(POLICY)
        yield lab


def start_up(lab: Machines, mode: str) -> None:
    """Hold the guard where it is at a boot before ipsecfd runs."""
    guard = lab.guard
    guard.configure(f'[startup]\nmode = "{mode}"\n')
    guard.run(
        # The service writes down how the next boot begins; then there is only that.
        "systemctl restart ipsecfd"
        " && systemctl stop ipsecfd ipsecfd-boot && systemctl start ipsecfd-boot"
        " && ! systemctl is-active ipsecfd"
    )


def test_block_mode_lets_a_lease_be_renewed(world: Machines) -> None:
    """Nothing passes but DHCP and the boot exemptions, ssh: the address stays (spec 6.2)."""
    guard, peer = world.guard, world.peer
    start_up(world, "block")
    asked_anew = peer.said("servers").count("DHCPDISCOVER(eth1)")
    left = guard.run(LEASE_SECONDS_LEFT).strip()
    # By a UDP socket each way. Who has lost a lease asks for another by a packet socket, which no
    # rule sees; with half a day left nobody has.
    guard.run("networkctl renew eth1")
    guard.wait_until(f"[ $({LEASE_SECONDS_LEFT}) -gt {left} ]", seconds=60)
    assert peer.said("servers").count("DHCPDISCOVER(eth1)") == asked_anew > 0
    assert guard.outcomes(
        asks_for_a_name=f"dig +time=2 +tries=1 @{PEER} www.example",
        browses=f"curl -sf --max-time 3 http://{PEER}/",
        pings=f"ping -c1 -W2 {PEER}",
    ) == {"asks_for_a_name": False, "browses": False, "pings": False}
    assert peer.outcomes(
        browses=f"curl -sf --max-time 4 http://{GUARD}/",
        pings=f"ping -c1 -W3 {GUARD}",
        logs_in=f"nc -z -w5 {GUARD} 22",
    ) == {"browses": False, "pings": False, "logs_in": True}


@pytest.fixture(scope="module")
def stateful(world: Machines) -> Machines:
    """The guard in stateful mode, until a test starts the service."""
    start_up(world, "stateful")
    return world


def test_stateful_mode_lets_this_host_speak_first(stateful: Machines) -> None:
    """Names and pages are asked for and come; nobody else's packets do (M7 to M10)."""
    guard, peer = stateful.guard, stateful.peer
    assert guard.outcomes(
        asks_for_a_name=f"dig +time=5 +tries=1 +short @{PEER} www.example | grep 203.0.113.80",
        browses=f"curl -sf --max-time 8 http://{PEER}/",
        asks_over_tcp=f"dig +tcp +time=5 +tries=1 +short @{PEER} www.example | grep 203.0.113.80",
    ) == {"asks_for_a_name": True, "browses": True, "asks_over_tcp": True}
    assert peer.outcomes(
        browses=f"curl -sf --max-time 4 http://{GUARD}/",
        browses_from_port_53=f"nc -z -w4 -p 53 {GUARD} 80",
        logs_in=f"nc -z -w5 {GUARD} 22",
    ) == {"browses": False, "browses_from_port_53": False, "logs_in": True}


def test_secure_mode_forgets_who_was_asked(stateful: Machines) -> None:
    """When the service has started, only the policy counts, for old acquaintances as well (M14)."""
    guard = stateful.guard
    ask = f"dig +time=3 +tries=1 -b 0.0.0.0#4053 @{PEER} www.example"
    assert guard.succeeds(ask)
    guard.run("systemctl start ipsecfd")
    assert guard.status()["mode"] == "secure"
    assert not guard.succeeds(ask)
    assert guard.succeeds(f"ping -c1 -W5 {PEER}")
