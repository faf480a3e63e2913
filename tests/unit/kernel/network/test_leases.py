"""What DHCP clients keep of their leases."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.kernel.network.leases import Lease, leases
from tests.builders import ips

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


def lease(address: str, dhcp: str, *wins: str) -> Lease:
    return Lease(ipaddress.ip_address(address), ips(dhcp), ips(*wins))


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
