"""Filters as ipseccmd writes them: the table of spec 8.4, and what is refused with which hint."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.ipseccmd.filters import (
    FilterError,
    format_filter,
    parse_endpoint,
    parse_spec,
)
from ipsecfd.policy.model import Action, DnsName, IPAddress
from tests.builders import generic

FIRST, SECOND = ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("192.0.2.2")


def resolve(name: str) -> tuple[IPAddress, ...]:
    """Every name but one has two addresses."""
    if name == "nowhere.example":
        raise GrammarError(name, "expected a DNS name that resolves")
    return FIRST, SECOND


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("*=0:1434:UDP", "any -> me:1434 udp"),
        ("0=*:1434:UDP", "me -> any:1434 udp"),
        ("*+0:445:TCP", "any <-> me:445 tcp"),
        ("0+*", "me <-> any"),
        ("0:80+*::TCP", "me:80 <-> any tcp"),
        ("0+*:110:TCP", "me <-> any:110 tcp"),
        ("0+*::ICMP", "me <-> any icmp"),
        ("10.0.11.*=0:3389:TCP", "10.0.11.0/24 -> me:3389 tcp"),
        ("144.92.*.*=0", "144.92.0.0/16 -> me"),
        ("*.*.*.*=0", "any -> me"),
        ("10.0.11.*/24=0", "10.0.11.0/24 -> me"),
        ("0/255.255.255.255=202.108.22.5/255.255.255.255::", "me -> 202.108.22.5"),
        (
            "172.31.0.0/255.255.0.0:80=10.0.0.0/255.0.0.0:80:TCP",
            "172.31.0.0/16:80 -> 10.0.0.0/8:80 tcp",
        ),
        ("192.168.0.1/255.255.255.0=0", "192.168.0.0/24 -> me"),
        ("192.168.0.1/24=0", "192.168.0.0/24 -> me"),
        ("0.0.0.0/0.0.0.0=0.0.0.0", "any -> me"),
        ("*/0.0.0.0=0", "any -> me"),
        ("0=198.51.100.7:*:*", "me -> 198.51.100.7"),
        ("0=*::50", "me -> any 50"),
        ("0=*::raw", "me -> any raw"),
        ("0=*:0:Tcp", "me -> any tcp"),
        ("0=*:", "me -> any"),
    ],
)
def test_a_filter_means(text: str, meant: str) -> None:
    """Missing masks are full, missing ports and protocols any, wildcards are masks."""
    spec = parse_spec(text)
    assert generic(meant) == spec.filter(resolve)
    assert spec.override is None


@pytest.mark.parametrize(
    ("text", "action"),
    [("[0+*]", Action.BLOCK), ("(0+*)", Action.PERMIT), ("0+*", None)],
)
def test_brackets_say_what_becomes_of_the_packets(text: str, action: Action | None) -> None:
    """( ) permits, [ ] blocks; the filter inside is the same."""
    spec = parse_spec(text)
    assert action == spec.override
    assert generic("me <-> any") == spec.filter(resolve)


def test_a_name_has_all_its_addresses_or_the_first() -> None:
    """Static mode takes every address of a name, dynamic mode only the first (spec 2.1)."""
    spec = parse_spec("0=WWW.example.com:80:TCP")
    assert DnsName("www.example.com", (FIRST, SECOND)) == spec.filter(resolve).destination
    first = spec.filter(resolve, first_only=True).destination
    assert DnsName("www.example.com", (FIRST,)) == first


def test_a_name_that_does_not_resolve_is_refused_at_its_column() -> None:
    """The filter is not made, and the error says which name."""
    with pytest.raises(FilterError, match=r'column 3: "nowhere.example": .* resolves'):
        parse_spec("0=nowhere.example").filter(resolve)


@pytest.mark.parametrize(
    ("text", "column", "hint"),
    [
        ("*0=:1434:UDP", 1, "did you mean 0=*:1434:UDP"),
        ("*0+:80:TCP", 1, "did you mean 0+*:80:TCP"),
        ("*=0:80", 5, "a port needs protocol TCP or UDP, as *=0:80:TCP"),
        ("*=0:80:ICMP", 5, "a port needs protocol TCP or UDP, as *=0:80:TCP"),
        ("0:80+*", 3, "as 0:80+*::TCP"),
        ("[*=0:80]", 6, "a port needs protocol"),
        ("*=0:TCP", 5, "two colons: ::TCP"),
        ("*=0:65536:TCP", 5, "a port from 0 to 65535"),
        ("*=0:80:TCPP", 8, "ICMP, UDP, TCP, RAW"),
        ("*=0::256", 6, "ICMP, UDP, TCP, RAW"),
        ("1434:", 6, "no blanks in it"),
        ("*", 2, "expected = or +"),
        ("", 1, "expected = or +"),
        ("*==0", 3, "one = or +"),
        ("*=", 3, "expected an address"),
        ("=0", 1, "expected an address"),
        ("[*=0", 4, 'expected "]" at the end'),
        ("[*=0)", 5, 'expected "]" at the end'),
        ("*=0]", 1, 'expected "["'),
        ("(", 1, 'expected ")"'),
        ("10.0.*=0", 1, "whole last octets"),
        ("10.*.0.1=0", 1, "whole last octets"),
        ("300.0.0.*=0", 1, "whole last octets"),
        ("10.0.11.*/16=0", 11, "wildcard means mask 24"),
        ("10.0.0.0/255.0.255.0=0", 10, "ones and then zeros"),
        ("10.0.0.0/33=0", 10, "a mask as 255.255.255.0"),
        ("0/0.0.0.0=*", 1, "any is *"),
        ("10.0.0.1-10.0.0.9=0", 1, "a range cannot be written"),
        ("198.51.100.7:*:*+*", 15, "one port on the left"),
        ("0=2001:db8::1:80:TCP", 3, "with an IPv4 address"),
        ("{1-2}=0", 1, "no GUID on Linux"),
        ("me=*", 1, "write 0"),
        ("0=any", 3, "write *"),
        ("0=dns", 3, "full name"),
        ("0=www.example.com/24", 18, "no mask behind a name"),
        ("0=10.0.0", 3, "an IPv4 address"),
        ("0=b\N{LATIN SMALL LETTER U WITH DIAERESIS}cher.example", 3, "DNS name"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, column: int, hint: str) -> None:
    """The error names the column, counted from 1, and what was expected there."""
    with pytest.raises(FilterError) as caught:
        parse_spec(text)
    assert hint in str(caught.value)
    assert column == caught.value.column


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("any -> me:1434 udp", "*=0:1434:UDP"),
        ("me:80 <-> any tcp", "0:80+*::TCP"),
        ("me <-> any icmp", "0+*::ICMP"),
        ("10.0.11.0/24 -> me 50", "10.0.11.0/255.255.255.0=0::50"),
        ("198.51.100.7 <-> me", "198.51.100.7+0"),
        ("0.0.0.0/0 -> me", None),
        ("0.0.0.0 -> me", None),
        ("2001:db8::1 -> me", None),
        ("10.0.0.1-10.0.0.9 -> me", None),
        ("me -> dns", None),
    ],
)
def test_a_filter_is_written(line: str, text: str | None) -> None:
    """What the grammar has words for is written in them; what it has not is None."""
    assert text == format_filter(generic(line))


@pytest.mark.parametrize("text", ["198.51.100.7", "gate.example"])
def test_a_tunnel_ends_at_an_address_or_a_name(text: str) -> None:
    """An end point is kept as written."""
    assert text == parse_endpoint(text)


@pytest.mark.parametrize("text", ["", "me", "198.51.100.7:80", "300.1.1.1", "*"])
def test_anything_else_is_no_end_of_a_tunnel(text: str) -> None:
    """An end point that is neither is refused."""
    with pytest.raises(FilterError):
        parse_endpoint(text)
