"""The policies that people wrote for Windows, met by the programs that people use.

The peer plays everybody else, each with an address of its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.vm.guests import CHECKOUT, GUARD, PEER, Machines, Service, on_port

OPERATOR, PARTNER, APPLICATION, STRANGER = (
    "10.0.11.9",
    "198.51.100.7",
    "198.51.100.8",
    "203.0.113.66",
)
WEB_SERVER = Path(CHECKOUT, "config/policies/web-server.toml").read_text()
WORKSTATION = Path(CHECKOUT, "config/policies/workstation.toml").read_text()
NAGIOS = """
name = "Monitored"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:5666 tcp"]
"""
FTP = """
listen=YES
anonymous_enable=YES
connect_from_port_20=YES
pasv_min_port=50000
pasv_max_port=50009
seccomp_sandbox=NO
background=NO
"""
SLAMMER = """
ipsecpol -w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" \
-f *=0:1434:UDP -n BLOCK -x
ipsecpol -w REG -p "Block UDP 1434 Filter" -r "Block Outbound UDP 1434 Rule" \
-f 0=*:1434:UDP -n BLOCK
"""
BLOCK_80 = """
pushd ipsec static
set store location=persistent
add policy name=Block80
add filterlist name=Web
add filter filterlist=Web srcaddr=any dstaddr=me protocol=TCP dstport=80
add filteraction name=Block action=block
add rule name=Web policy=Block80 filterlist=Web filteraction=Block
set policy name=Block80 assign=y
popd
"""


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """Services on both machines, and routes to everybody that the peer plays."""
    guard, peer = lab.guard, lab.peer
    others = (OPERATOR, PARTNER, APPLICATION, STRANGER)
    peer.run(" && ".join(f"ip address add {address}/32 dev eth1" for address in others))
    guard.run(" && ".join(f"ip route add {address} dev eth1" for address in others))
    guard.write("/etc/resolv.conf", f"nameserver {PEER}\n")
    guard.write("/etc/vsftpd.conf", FTP)
    guard.write("/srv/ftp/hello", "hello\n")
    peer.write("/run/known/dnsmasq.conf", "address=/www.example/203.0.113.80\nno-resolv\n")
    web = on_port(80, "python3 -m http.server --directory /srv 80")
    dns = on_port(53, "dnsmasq --keep-in-foreground -C /run/known/dnsmasq.conf")
    with (
        guard.services(
            web=web,
            tls=on_port(443),
            desktop=on_port(3389),
            files=on_port(445),
            nagios=on_port(5666),
            other=on_port(8080),
            ftp=on_port(21, "vsftpd /etc/vsftpd.conf"),
        ),
        peer.services(web=web, dns=dns),
    ):
        yield lab


def connects(source: str, port: int, source_port: int = 0) -> str:
    """The command by which `source` opens a connection to a port of the guard's."""
    chosen = f"-p {source_port}" if source_port else ""
    return f"nc -z -w5 -s {source} {chosen} {GUARD} {port}"


def browses(source: str) -> str:
    """The command by which `source` reads the guard's web site."""
    return f"curl --silent --fail --max-time 6 --interface {source} http://{GUARD}/"


def fetches(source: str, how: str) -> str:
    """The command by which `source` fetches a file from the guard's FTP server."""
    return f"curl --silent --fail --max-time 8 --interface {source} {how} ftp://{GUARD}/hello"


def test_web_server(world: Machines) -> None:
    """Everybody may browse, operators may open a desktop, and nothing else goes in or out."""
    world.guard.assign(WEB_SERVER)
    assert world.peer.outcomes(
        stranger_browses=browses(STRANGER),
        stranger_browses_tls=connects(STRANGER, 443),
        operator_opens_desktop=connects(OPERATOR, 3389),
        stranger_opens_desktop=connects(STRANGER, 3389),
        stranger_shares_files=connects(STRANGER, 445),
        stranger_logs_in=connects(STRANGER, 22),
        stranger_pings=f"ping -c1 -W3 -I {STRANGER} {GUARD}",
    ) == {
        "stranger_browses": True,
        "stranger_browses_tls": True,
        "operator_opens_desktop": True,
        "stranger_opens_desktop": False,
        "stranger_shares_files": False,
        "stranger_logs_in": False,
        "stranger_pings": False,
    }
    assert world.guard.outcomes(
        asks_for_a_name=f"dig +time=2 +tries=1 @{PEER} www.example",
        browses=f"curl --silent --max-time 3 http://{PEER}/",
        pings=f"ping -c1 -W2 {PEER}",
    ) == {"asks_for_a_name": False, "browses": False, "pings": False}
    dropped = {
        (drop["source"], drop["destination_port"], drop["rule"]) for drop in world.guard.drops()
    }
    assert (STRANGER, 445, "Block everything") in dropped
    assert (GUARD, 53, "Block everything") in dropped


def test_ftp_to_the_web_server(world: Machines) -> None:
    """The two partners may use FTP in active mode only, as the article says; a stranger neither."""
    active, passive = "--ftp-port -", "--ftp-pasv"
    world.guard.run("ipsecfd policy unassign")
    assert world.peer.succeeds(fetches(PARTNER, passive))
    world.guard.assign(WEB_SERVER)
    assert world.peer.outcomes(
        partner_active=fetches(PARTNER, active),
        application_active=fetches(APPLICATION, active),
        partner_passive=fetches(PARTNER, passive),
        stranger_active=fetches(STRANGER, active),
        stranger_passive=fetches(STRANGER, passive),
    ) == {
        "partner_active": True,
        "application_active": True,
        "partner_passive": False,
        "stranger_active": False,
        "stranger_passive": False,
    }
    dropped = {(drop["source"], drop["destination_port"]) for drop in world.guard.drops()}
    assert any((PARTNER, port) in dropped for port in range(50000, 50010))
    assert (STRANGER, 21) in dropped


def test_workstation(world: Machines) -> None:
    """It asks and browses, its administrators log in, nobody else does; mind its mirrors."""
    world.guard.assign(WORKSTATION)
    assert world.guard.outcomes(
        asks_for_a_name=f"dig +time=5 +tries=1 +short @{PEER} www.example | grep 203.0.113.80",
        asks_over_tcp=f"dig +tcp +time=5 +tries=1 +short @{PEER} www.example | grep 203.0.113.80",
        browses=f"curl --silent --fail --max-time 6 http://{PEER}/",
        pings=f"ping -c1 -W5 {PEER}",
        logs_in_elsewhere=f"nc -z -w3 {PEER} 22",
    ) == {
        "asks_for_a_name": True,
        "asks_over_tcp": True,
        "browses": True,
        "pings": True,
        "logs_in_elsewhere": False,
    }
    assert world.peer.outcomes(
        operator_logs_in=f"ssh -b {OPERATOR} -o BatchMode=yes -o StrictHostKeyChecking=no"
        f" {GUARD} true 2>&1 | grep 'Permission denied'",
        stranger_logs_in=connects(STRANGER, 22),
        stranger_from_port_443_logs_in=connects(STRANGER, 22, 443),
        partner_from_port_443_elsewhere=connects(PARTNER, 8080, 443),
        stranger_elsewhere=connects(STRANGER, 8080),
    ) == {
        "operator_logs_in": True,
        "stranger_logs_in": False,
        "stranger_from_port_443_logs_in": False,
        "partner_from_port_443_elsewhere": True,
        "stranger_elsewhere": False,
    }


def test_nagios_question(world: Machines) -> None:
    """A mirrored filter for a server's port is no door for those who send from that port."""
    world.guard.assign(NAGIOS)
    assert world.peer.outcomes(
        asks_the_agent=connects(STRANGER, 5666),
        from_its_port_elsewhere=connects(STRANGER, 80, 5666),
        from_its_port_to_it=connects(PARTNER, 5666, 5666),
    ) == {"asks_the_agent": True, "from_its_port_elsewhere": False, "from_its_port_to_it": True}


def test_slammer_commands(world: Machines) -> None:
    """Two ipsecpol commands close one UDP port, both ways; everything else goes on."""
    guard = world.guard
    guard.run("ipsecfd policy unassign")
    guard.write("/root/slammer.bat", SLAMMER)
    guard.run("ipsecfd import /root/slammer.bat")
    infect = "echo | nc -u -w1 {} 1434"
    sql = Service("nc -lkun 1434")
    with guard.services(sql=sql), world.peer.services(sql=sql):
        world.peer.run(infect.format(GUARD))
        guard.run(infect.format(PEER))
        assert world.peer.outcomes(browses=browses(STRANGER)) == {"browses": True}
    dropped = [(drop["direction"], drop["destination_port"]) for drop in guard.drops()[-2:]]
    assert dropped == [("in", 1434), ("out", 1434)]


def test_persistent_block_80(world: Machines) -> None:
    """A persistent policy adds to the local one, and is there again after a restart."""
    guard = world.guard
    guard.write("/root/block80.netsh", BLOCK_80)
    guard.run("ipsecfd netsh -f /root/block80.netsh")
    for command in ("true", "systemctl restart ipsecfd"):
        guard.run(command)
        assert world.peer.outcomes(
            browses=browses(STRANGER), shares_files=connects(STRANGER, 445)
        ) == {"browses": False, "shares_files": True}, command
