"""What the driver knows of the host."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.host import LIMITED_BROADCAST, Host
from ipsecfd.policy.model import ServerKind
from tests.builders import host


@pytest.mark.parametrize(
    ("interface", "broadcast"),
    [
        ("192.0.2.10/24", "192.0.2.255"),
        ("10.1.2.3/8", "10.255.255.255"),
        ("192.0.2.10/30", "192.0.2.11"),
        ("192.0.2.10/31", None),
        ("192.0.2.10/32", None),
        ("2001:db8::10/64", None),
    ],
)
def test_broadcast(interface: str, broadcast: str | None) -> None:
    """The broadcast address follows from the prefix; a /31, a /32 and IPv6 have none (spec 4.2)."""
    expected = {LIMITED_BROADCAST} | ({ipaddress.ip_address(broadcast)} if broadcast else set())
    assert host(interface).broadcasts == expected


def test_loopback_is_not_me() -> None:
    """Loopback addresses are no part of `me`."""
    assert host("127.0.0.1/8", "::1/128", "192.0.2.10/24").addresses == {
        ipaddress.ip_address("192.0.2.10")
    }


def test_servers() -> None:
    """Servers are kept by kind."""
    one = host("192.0.2.10/24", dns=["192.0.2.53"])
    assert one.servers == {ServerKind.DNS: frozenset({ipaddress.ip_address("192.0.2.53")})}


def test_nothing_known() -> None:
    """A host without addresses still knows the limited broadcast."""
    assert Host().broadcasts == {LIMITED_BROADCAST}
    assert not Host().delivered
    assert not Host.from_interfaces([]).delivered
