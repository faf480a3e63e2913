"""Addresses, masks, ports and protocols in `add filter` (spec 2.1, 2.2)."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.policy.model import (
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    Me,
    Prefix,
    Server,
    ServerKind,
)

from . import content, refused, session


def prefix(text: str) -> Prefix:
    return Prefix.of(ipaddress.ip_network(text))


def added(tags: str, profile: str = "linux") -> Filter:
    """The filter that `add filter` makes of these tags."""
    one = session(f"add filter filterlist=L {tags}", profile=profile)
    (made,) = content(one).filter_lists["l"].filters
    return made


@pytest.mark.parametrize(
    ("tags", "source"),
    [
        ("srcaddr=any", AnyAddress()),
        ("srcaddr=ANY srcmask=255.255.255.0", AnyAddress()),
        ("srcaddr=Me srcmask=24", Me()),
        ("srcaddr=192.0.2.7", prefix("192.0.2.7/32")),
        ("srcaddr=192.0.2.7 srcmask=255.255.255.255", prefix("192.0.2.7/32")),
        ("srcaddr=192.0.2.7 srcmask=32", prefix("192.0.2.7/32")),
        ("srcaddr=10.0.11.0 srcmask=255.255.255.0", prefix("10.0.11.0/24")),
        ("srcaddr=192.168.0.1 srcmask=255.255.255.0", prefix("192.168.0.0/24")),
        ("srcaddr=10.0.11.0 srcmask=24", prefix("10.0.11.0/24")),
        ("srcaddr=198.51.100.0/24", prefix("198.51.100.0/24")),
        ("srcaddr=198.51.100.0/24 srcmask=255.255.255.0", prefix("198.51.100.0/24")),
        ("srcaddr=0.0.0.0 srcmask=0.0.0.0", AnyAddress()),
        ("srcaddr=0.0.0.0/0", AnyAddress()),
        ("srcaddr=0.0.0.0 srcmask=32", Me()),
        ("srcaddr=0.0.0.0", Me()),
        ("srcaddr=0.0.0.0 srcmask=255.0.0.0", prefix("0.0.0.0/8")),
        ("srcaddr=2001:db8::1", prefix("2001:db8::1/128")),
        ("srcaddr=2001:db8::1 srcmask=32", prefix("2001:db8::/32")),
        (
            "srcaddr=10.0.0.5-10.0.0.9",
            AddressRange(ipaddress.ip_address("10.0.0.5"), ipaddress.ip_address("10.0.0.9")),
        ),
        (
            "srcaddr=WWW.example.com srcmask=255.255.255.255",
            DnsName("www.example.com", (ipaddress.ip_address("192.0.2.80"),)),
        ),
        ("srcaddr=WINS srcmask=32", Server(ServerKind.WINS)),
        ("srcaddr=gateway", Server(ServerKind.GATEWAY)),
    ],
)
def test_address_kinds(tags: str, source: Address) -> None:
    """An address word and its mask mean what spec 2.1 says."""
    assert source == added(f"{tags} dstaddr=me").source


@pytest.mark.parametrize(
    ("protocol", "number"),
    [("TCP", 6), ("udp", 17), ("Any", 0), ("ICMP", 1), ("raw", 255), ("50", 50), ("0", 0)],
)
def test_protocols(protocol: str, number: int) -> None:
    """A protocol is a name in any case or a number (spec 2.2)."""
    assert number == added(f"srcaddr=me dstaddr=any protocol={protocol}").protocol


def test_defaults_of_a_filter() -> None:
    """Protocol any, mirrored, ports any (spec 8.2)."""
    assert Filter(Me(), AnyAddress(), 0, 0, 0, True, "") == added("srcaddr=me dstaddr=any")


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ("srcaddr=me dstaddr=any dstport=80", "needs protocol tcp or udp"),  # T7
        ("srcaddr=me dstaddr=any protocol=ICMP srcport=1", "needs protocol tcp or udp"),
        ("srcaddr=10.0.0.0-10.0.0.255 srcmask=24 dstaddr=me", "a range takes no mask"),  # T8
        ("srcaddr=DNS dstaddr=198.51.100.7", "must be me"),  # T9
        ("srcaddr=any dstaddr=DHCP", "must be me"),
        ("srcaddr=10.0.0.0 srcmask=255.0.255.0 dstaddr=me", "ones and then zeros"),
        ("srcaddr=10.0.0.0 srcmask=33 dstaddr=me", "at most 32"),
        ("srcaddr=10.0.0.0 srcmask=0 dstaddr=me", "at least 1 bit"),
        ("srcaddr=10.0.0.0 srcmask=0.0.0.0 dstaddr=me", "at least 1 bit"),
        ("srcaddr=10.0.0.0/8 srcmask=24 dstaddr=me", "differ"),
        ("srcaddr=10.0.0.9-10.0.0.5 dstaddr=me", "lower address"),
        ("srcaddr=10.0.0.5-2001:db8::1 dstaddr=me", "one family"),
        ("srcaddr=10.0.0.1 dstaddr=2001:db8::1", "one family"),
        ("srcaddr=nowhere.example dstaddr=me", "resolves"),
        ("srcaddr=www.example.com srcmask=24 dstaddr=me", "no mask"),
        ("srcaddr=10.0.11.* dstaddr=me", "wildcard"),
        ("srcaddr=10.0.0.1:80 dstaddr=me", "without a port"),
        ("srcaddr=me dstaddr=any protocol=256", "protocol"),
        ("srcaddr=me dstaddr=any protocol=tcp dstport=65536", "port"),
        ("srcaddr=me dstaddr=any protocol=tcp dstport=80-90", "port"),
        ("srcaddr=me dstaddr=any mirrored=maybe", "yes or no"),
        ("srcaddr=me", "dstaddr"),
        ("srcaddr= dstaddr=me", "expected"),
    ],
)
def test_refused_filters(tags: str, why: str) -> None:
    """What no filter may be is refused with the reason; not even its list is made."""
    text = refused(session(), f"add filter filterlist=L {tags}")
    assert text.startswith("ERR IPsec [0")
    assert why in text


def test_ipv6_needs_a_profile_that_has_it() -> None:
    """Policies of 2000, XP and 2003 are IPv4 only (spec 2.1)."""
    line = "add filter filterlist=L srcaddr=2001:db8::1 dstaddr=me"
    assert "win2003" in refused(session(profile="win2003"), line)
    assert prefix("2001:db8::1/128") == added("srcaddr=2001:db8::1 dstaddr=me", "vista").source
