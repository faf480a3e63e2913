"""What rtnetlink messages say of addresses and default routes."""

from __future__ import annotations

import ipaddress
import socket
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.kernel.network.messages import addresses_of, default_next_hops_of, interfaces_of
from tests.builders import ips


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


def test_interfaces_of_addresses() -> None:
    """Of both families, loopback too; on a point-to-point link it is the own end that counts."""
    found = interfaces_of(
        [
            address(8, 1, local="127.0.0.1", address="127.0.0.1"),
            address(32, 7, local="10.8.0.2", address="10.8.0.1"),
            address(64, 2, address="2001:db8::10"),
            b"short",
        ]
    )
    assert {str(one): index for one, index in found.items()} == {
        "127.0.0.1": 1,
        "10.8.0.2": 7,
        "2001:db8::10": 2,
    }


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
