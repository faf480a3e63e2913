"""Parsers of what the kernel, the resolver's and the DHCP clients' files say of the host."""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.driver.host import Host
from ipsecfd.kernel.network import (
    MAX_SERVERS,
    Lease,
    addresses_of,
    default_next_hops_of,
    leases,
    nameservers,
    read_host,
    wins_servers,
)
from ipsecfd.policy.model import IPAddress, ServerKind

DHCLIENT = """\
default-duid "\\000\\001";
lease {
  interface "eth0";
  fixed-address 192.0.2.10;
  option dhcp-server-identifier 192.0.2.1;
  option domain-name "closing } brace";
}
lease {
  interface "eth0";
  fixed-address 192.0.2.10;
  option routers 192.0.2.254;
  option dhcp-server-identifier 192.0.2.67;
  option netbios-name-servers 192.0.2.5,192.0.2.6;
  expire 4 2031/01/02 03:04:05;
}
lease {
  fixed-address 198.51.100.10;
  option dhcp-server-identifier 198.51.100.1;
}
lease6 {
  interface "eth0";
}
"""
NETWORKD = """\
# This is private data. Do not parse.
ADDRESS=192.0.2.10
NETMASK=255.255.255.0
ROUTER=192.0.2.1
SERVER_ADDRESS=192.0.2.67
DNS=192.0.2.53
"""
DHCPCD = (
    bytes((2, 1, 6, 0)) + bytes(12) + bytes((192, 0, 2, 10)) + bytes(216)
    + b"\x63\x82\x53\x63"
    + bytes((53, 1, 5, 0, 54, 4, 192, 0, 2, 67, 44, 8, 192, 0, 2, 5, 192, 0, 2, 6, 255))
)  # fmt: skip


def ips(*texts: str) -> frozenset[IPAddress]:
    return frozenset(ipaddress.ip_address(text) for text in texts)


def lease(address: str, dhcp: str, *wins: str) -> Lease:
    return Lease(ipaddress.ip_address(address), ips(dhcp), ips(*wins))


# --- files ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 192.0.2.53\n", ["192.0.2.53"]),
        ("search lan\nnameserver\t192.0.2.53 # mine\nnameserver ::53", ["192.0.2.53", "::53"]),
        ("nameserver fe80::1%eth0\r\n", ["fe80::1"]),
        ("#nameserver 192.0.2.53\n; nameserver 192.0.2.54\n", []),
        ("nameserver\nnameserver dns.example.com\nnameserver 192.0.2.300\n", []),
        ("nameservers 192.0.2.53\noptions nameserver 192.0.2.53\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_nameservers(text: str, expected: list[str]) -> None:
    """Only a line that starts with the word nameserver and a numeric address names a server."""
    assert [ipaddress.ip_address(one) for one in expected] == nameservers(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[global]\n   wins server = 192.0.2.5\n", ips("192.0.2.5")),
        ("WINS Server=192.0.2.5, lab:192.0.2.6\n", ips("192.0.2.5", "192.0.2.6")),
        ("; wins server = 192.0.2.5\nwins support = yes\n", ips()),
        ("wins server = nt-server.example.com\n", ips()),
    ],
)
def test_wins_servers(text: str, expected: frozenset[IPAddress]) -> None:
    """The wins server option in any spelling Samba takes; names are not looked up."""
    assert expected == wins_servers(text)


def test_dhclient_leases() -> None:
    """Of several leases for one address the last counts; IPv6 leases name no server address."""
    assert [
        lease("192.0.2.10", "192.0.2.67", "192.0.2.5", "192.0.2.6"),
        lease("198.51.100.10", "198.51.100.1"),
    ] == leases(DHCLIENT.encode())


def test_networkd_lease() -> None:
    """systemd-networkd keeps one lease a file, as KEY=value lines."""
    assert [lease("192.0.2.10", "192.0.2.67")] == leases(NETWORKD.encode())


def test_networkmanager_lease_without_a_server() -> None:
    """NetworkManager's own client keeps only the address: no server is known."""
    assert [Lease(ipaddress.ip_address("192.0.2.10"), ips(), ips())] == leases(
        b"ADDRESS=192.0.2.10\n"
    )


def test_dhcpcd_lease() -> None:
    """The lease of dhcpcd is the server's own packet."""
    assert [lease("192.0.2.10", "192.0.2.67", "192.0.2.5", "192.0.2.6")] == leases(DHCPCD)


@pytest.mark.parametrize(
    "server", ["127.0.0.1", "224.0.0.1", "255.255.255.255", "0.0.0.0", "nonsense"]
)
def test_a_server_is_an_address_that_packets_come_from(server: str) -> None:
    """A lease that names loopback, a group or nobody as its server names none."""
    (found,) = leases(f"ADDRESS=192.0.2.10\nSERVER_ADDRESS={server}\n".encode())
    assert found.dhcp == frozenset()


@given(st.binary(max_size=600), st.integers(0, 600))
def test_any_content_is_understood_or_ignored(junk: bytes, place: int) -> None:
    """No content of a file raises, neither junk nor a good file damaged anywhere."""
    for good in (DHCLIENT.encode(), NETWORKD.encode(), DHCPCD, b""):
        content = good[:place] + junk + good[place + len(junk) :]
        leases(content)
        leases(content[:place])
        nameservers(content.decode("utf-8", "replace"))
        wins_servers(content.decode("utf-8", "replace"))


def test_the_number_of_servers_is_bounded() -> None:
    """However long a list of servers is, a fixed number is kept."""
    many = [f"10.{n >> 8}.{n & 255}.1" for n in range(5000)]
    assert len(nameservers("\n".join(f"nameserver {one}" for one in many))) == MAX_SERVERS
    assert len(wins_servers("wins server = " + " ".join(many))) == MAX_SERVERS


# --- rtnetlink ---


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def address(prefix: int, interface: int = 2, **attributes: str) -> bytes:
    """The body of an RTM_NEWADDR message."""
    kinds = {"address": 1, "local": 2, "broadcast": 4}
    packed = {kinds[name]: ipaddress.ip_address(text).packed for name, text in attributes.items()}
    family = socket.AF_INET if len(next(iter(packed.values()))) == 4 else socket.AF_INET6
    header = struct.pack("=BBBBI", family, prefix, 0, 0, interface)
    return header + b"".join(attribute(kind, value) for kind, value in packed.items())


def route(*attributes: bytes, bits: int = 0, table: int = 254, kind: int = 1) -> bytes:
    """The body of an RTM_NEWROUTE message for IPv4."""
    header = struct.pack("=8BI", socket.AF_INET, bits, 0, 0, table, 3, 0, kind, 0)
    return header + b"".join(attributes)


def gateway(text: str) -> bytes:
    return attribute(5, ipaddress.ip_address(text).packed)


def hop(*attributes: bytes) -> bytes:
    return struct.pack("=HBBi", 8 + sum(map(len, attributes)), 0, 0, 2) + b"".join(attributes)


def test_an_address_and_its_broadcasts() -> None:
    """Both the broadcast address that was set and the last address of the subnet are broadcasts,
    and always 255.255.255.255."""
    found = addresses_of(
        [address(24, local="192.0.2.10", address="192.0.2.10", broadcast="192.0.2.127")]
    )
    assert (ips("192.0.2.10"), ips("192.0.2.127", "192.0.2.255", "255.255.255.255")) == found


@pytest.mark.parametrize("prefix", [31, 32])
def test_no_broadcast_in_the_smallest_subnets(prefix: int) -> None:
    """A /31 or /32 has no broadcast address."""
    found = addresses_of([address(prefix, local="192.0.2.10", address="192.0.2.10")])
    assert (ips("192.0.2.10"), ips("255.255.255.255")) == found


def test_point_to_point() -> None:
    """The host's end of a point-to-point link is local, the peer is not, in both families."""
    found, _ = addresses_of(
        [
            address(32, local="10.0.0.1", address="10.0.0.2"),
            address(128, local="2001:db8::1", address="2001:db8::2"),
            address(64, address="fe80::1"),
        ]
    )
    assert ips("10.0.0.1", "2001:db8::1", "fe80::1") == found


def test_loopback() -> None:
    """127.0.0.0/8 and ::1 are nobody's; other addresses on lo are the host's, but have no
    broadcast: every address of their subnet is the host's."""
    found = addresses_of(
        [
            address(8, 1, local="127.0.0.1", address="127.0.0.1"),
            address(128, 1, address="::1"),
            address(24, 1, local="198.51.100.1", address="198.51.100.1"),
        ]
    )
    assert (ips("198.51.100.1"), ips("255.255.255.255")) == found


def test_an_own_address_is_no_broadcast() -> None:
    """An address of the host that is the last one of another of its subnets stays an address, so
    that no exemption of broadcasts opens it."""
    found, broadcasts = addresses_of(
        [
            address(16, local="10.0.0.255", address="10.0.0.255"),
            address(24, local="10.0.0.1", address="10.0.0.1", broadcast="10.0.0.255"),
        ]
    )
    assert found == ips("10.0.0.255", "10.0.0.1")
    assert broadcasts == ips("10.0.255.255", "255.255.255.255")


def test_default_routes() -> None:
    """Next hops of unicast default routes count, in any table but the local one."""
    via = attribute(18, struct.pack("=H", socket.AF_INET6) + ipaddress.ip_address("fe80::9").packed)
    paths = hop(gateway("192.0.2.3")) + hop(via)
    found = default_next_hops_of(
        [
            route(gateway("192.0.2.1")),
            route(gateway("192.0.2.2"), table=100),
            route(attribute(9, paths)),
            route(gateway("192.0.2.90"), bits=8),
            route(gateway("192.0.2.91"), table=255),
            route(gateway("192.0.2.92"), kind=7),
            route(),
        ]
    )
    assert ips("192.0.2.1", "192.0.2.2", "192.0.2.3", "fe80::9") == found


@given(st.binary(max_size=200))
def test_any_message_is_understood_or_ignored(junk: bytes) -> None:
    """No message raises or holds up the parser."""
    for head in (b"", route(), address(24, local="192.0.2.10", address="192.0.2.10")):
        addresses_of([head + junk])
        default_next_hops_of([head + junk, route(attribute(9, junk))])


# --- reading ---


def write(root: Path, path: str, content: str) -> None:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(content)


def servers(host: Host, kind: ServerKind) -> frozenset[IPAddress]:
    return host.servers[kind]


def test_resolvers_behind_the_stub(tmp_path: Path) -> None:
    """Where systemd-resolved answers, its own servers are meant; the stub itself never is."""
    write(tmp_path, "etc/resolv.conf", "nameserver 127.0.0.53\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
    assert ips("192.0.2.53") == servers(read_host(tmp_path), ServerKind.DNS)


def test_an_unused_resolved_is_not_asked(tmp_path: Path) -> None:
    """Servers of systemd-resolved do not count where nothing asks it."""
    write(tmp_path, "etc/resolv.conf", "nameserver 127.0.0.1\nnameserver 192.0.2.1\n")
    write(tmp_path, "run/systemd/resolve/resolv.conf", "nameserver 192.0.2.53\n")
    assert ips("192.0.2.1") == servers(read_host(tmp_path), ServerKind.DNS)


def test_a_lease_counts_while_its_address_is_held(tmp_path: Path) -> None:
    """The server of a lease for an address the host does not have is a stranger."""
    write(tmp_path, "var/lib/dhcp/dhclient.eth0.leases", "lease {\n fixed-address 203.0.113.250;\n"
          " option dhcp-server-identifier 203.0.113.67;\n}\n")  # fmt: skip
    assert servers(read_host(tmp_path), ServerKind.DHCP) == frozenset()


def test_odd_files_are_ignored(tmp_path: Path) -> None:
    """A directory, a pipe or a dangling link in a file's place is no file, and holds nothing up."""
    (tmp_path / "etc/samba").mkdir(parents=True)
    os.mkfifo(tmp_path / "etc/resolv.conf")
    (tmp_path / "etc/samba/smb.conf").symlink_to("nowhere")
    (tmp_path / "var/lib/dhcp/a.leases").mkdir(parents=True)
    host = read_host(tmp_path)
    assert not host.delivered
    for kind in (ServerKind.DNS, ServerKind.DHCP, ServerKind.WINS):
        assert servers(host, kind) == frozenset()
