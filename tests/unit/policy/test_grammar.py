"""One filter as one line of text."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import (
    GrammarError,
    has_host_bits,
    parse_address,
    parse_filter,
    parse_port,
    parse_protocol,
    parse_side,
)
from ipsecfd.policy.model import (
    TCP,
    UDP,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    Server,
    ServerKind,
)

ZONE: dict[str, tuple[IPAddress, ...]] = {
    "www.example.com": (ipaddress.ip_address("192.0.2.80"), ipaddress.ip_address("2001:db8::80")),
    "only4.example.com": (ipaddress.ip_address("192.0.2.4"),),
    "192.0.2.1-lb.example.com": (ipaddress.ip_address("192.0.2.1"),),
}


def resolve(name: str) -> tuple[IPAddress, ...]:
    try:
        return ZONE[name]
    except KeyError:
        raise GrammarError(name, "expected a DNS name that resolves") from None


def prefix(text: str) -> Prefix:
    return Prefix.of(ipaddress.ip_network(text))


def addresses(first: str, last: str) -> AddressRange:
    return AddressRange(ipaddress.ip_address(first), ipaddress.ip_address(last))


ANY, ME = AnyAddress(), Me()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("any", ANY),
        ("ME", ME),
        ("192.0.2.7", prefix("192.0.2.7/32")),
        ("10.0.11.0/24", prefix("10.0.11.0/24")),
        ("10.0.11.0/255.255.255.0", prefix("10.0.11.0/24")),
        ("10.0.11.7/255.255.255.255", prefix("10.0.11.7/32")),
        ("192.168.0.1/24", prefix("192.168.0.0/24")),
        ("0.0.0.0/0", prefix("0.0.0.0/0")),
        ("10.0.0.5-10.0.0.9", addresses("10.0.0.5", "10.0.0.9")),
        ("2001:db8::1", prefix("2001:db8::1/128")),
        ("[2001:db8::1]", prefix("2001:db8::1/128")),
        ("2001:DB8:0::/32", prefix("2001:db8::/32")),
        ("::/0", prefix("::/0")),
        ("::ffff:192.0.2.1", prefix("::ffff:192.0.2.1/128")),
        ("2001:db8::1-2001:db8::f", addresses("2001:db8::1", "2001:db8::f")),
        ("WWW.Example.com", DnsName("www.example.com", ZONE["www.example.com"])),
        (
            "192.0.2.1-lb.example.com",
            DnsName("192.0.2.1-lb.example.com", ZONE["192.0.2.1-lb.example.com"]),
        ),
        ("WINS", Server(ServerKind.WINS)),
        ("dns", Server(ServerKind.DNS)),
        ("Dhcp", Server(ServerKind.DHCP)),
        ("gateway", Server(ServerKind.GATEWAY)),
    ],
)
def test_every_kind_of_address_is_understood(text: str, expected: Address) -> None:
    """Spec 2.1: all address kinds, keywords in any case, host bits cleared."""
    assert expected == parse_address(text, resolve)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("me:80", (ME, 80)),
        ("any:0", (ANY, 0)),
        ("10.0.0.0/8:80", (prefix("10.0.0.0/8"), 80)),
        ("10.0.0.5-10.0.0.9:80", (addresses("10.0.0.5", "10.0.0.9"), 80)),
        ("[10.0.0.0/8]:80", (prefix("10.0.0.0/8"), 80)),
        ("[2001:db8::1]:80", (prefix("2001:db8::1/128"), 80)),
        ("[2001:db8::/32]:65535", (prefix("2001:db8::/32"), 65535)),
        ("[2001:db8::1-2001:db8::f]:80", (addresses("2001:db8::1", "2001:db8::f"), 80)),
        ("2001:db8::1:80", (prefix("2001:db8::1:80/128"), 0)),
    ],
)
def test_a_side_may_carry_a_port(text: str, expected: tuple[Address, int]) -> None:
    """Brackets enclose the whole address, and only IPv6 needs them."""
    assert expected == parse_side(text, resolve)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("any <-> me", Filter(ANY, ME)),
        ("any -> me", Filter(ANY, ME, mirrored=False)),
        ("any <-> me:80 tcp", Filter(ANY, ME, 0, 80, TCP)),
        ("  ANY:20\t<->  Me:80   TCP ", Filter(ANY, ME, 20, 80, TCP)),
        ("any<->me:53 udp", Filter(ANY, ME, 0, 53, UDP)),
        ("me:53->any 17", Filter(ME, ANY, 53, 0, UDP, mirrored=False)),
        ("any <-> me any", Filter(ANY, ME)),
        ("any <-> me 0", Filter(ANY, ME)),
        ("any <-> me raw", Filter(ANY, ME, protocol=255)),
        ("2001:db8::/32 <-> me icmpv6", Filter(prefix("2001:db8::/32"), ME, protocol=58)),
        ("2001:db8::/32 <-> me icmp", Filter(prefix("2001:db8::/32"), ME, protocol=1)),
        ("dns:53 <-> me udp", Filter(Server(ServerKind.DNS), ME, 53, 0, UDP)),
        ("me <-> gateway", Filter(ME, Server(ServerKind.GATEWAY))),
    ],
)
def test_a_line_is_a_filter(text: str, expected: Filter) -> None:
    """SIDE ARROW SIDE [PROTOCOL], with any spacing."""
    assert expected == parse_filter(text, resolve)


def test_the_author_s_line_is_kept() -> None:
    """A log quotes a filter as its author wrote it."""
    assert parse_filter("ANY <-> ME:80  TCP", resolve).written == "ANY <-> ME:80  TCP"


@pytest.mark.parametrize(
    ("text", "piece", "expected"),
    [
        ("any <-> me:80", "any <-> me:80", "a port needs protocol tcp or udp"),  # T7
        ("any:1 <-> me icmp", "any:1 <-> me icmp", "a port needs protocol tcp or udp"),
        ("dns -> 198.51.100.7", None, "the other side of dns must be me"),  # T9
        ("any <-> wins", None, "the other side of wins must be me"),
        ("dns <-> gateway", None, "the other side of dns must be me"),
        ("::1 -> 192.0.2.1", None, "::1 is IPv6, 192.0.2.1 is IPv4"),
        ("only4.example.com <-> 2001:db8::1", None, "only4.example.com is IPv4"),
        ("any <-> me:65536 tcp", "65536", "a port from 0 to 65535"),
        ("any <-> me:http tcp", "http", "a port from 0 to 65535"),
        ("any <-> me:\u0662 tcp", "\u0662", "a port from 0 to 65535"),
        ("any <-> me: tcp", "me:", "behind the colon"),
        ("any <-> :80 tcp", ":80", "an address before the port"),
        ("any <-> me tpc", "tpc", "a protocol"),
        ("any <-> me 256", "256", "a number from 0 to 255"),
        ("any <-> me -1", "-1", "a number from 0 to 255"),
        ("any <-> me:80 tcp udp", "udp", "nothing after the protocol"),
        ("any <-> me:80 tcp  a  b ", "a  b", "nothing after the protocol"),
        ("-> any me tcp", "-> any me tcp", "SIDE -> SIDE"),
        ("any -> me\n", "any -> me\n", "SIDE -> SIDE"),
        ("any me", "any me", "one arrow between two sides"),
        ("a -> b -> c", "a -> b -> c", "one arrow between two sides"),
        ("me <- any", "me <- any", "the sender on the left"),
        ("me => any", "me => any", "the sender on the left"),
        ("-> me", "-> me", "SIDE -> SIDE"),
        ("any ->", "any ->", "SIDE -> SIDE"),
        ("", "", "one arrow between two sides"),
        ("10.0.0.0/33 -> me", "10.0.0.0/33", "from 0 to 32"),
        ("2001:db8::/129 -> me", "2001:db8::/129", "from 0 to 128"),
        ("10.0.0.0/ -> me", "10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/255.0.255.0 -> me", "10.0.0.0/255.0.255.0", "ones and then zeros"),
        ("10.0.0.0/0.0.0.255 -> me", "10.0.0.0/0.0.0.255", "ones and then zeros"),
        ("me/24 -> any", "me/24", "an address"),
        ("10.0.0.9-10.0.0.5 -> me", "10.0.0.9-10.0.0.5", "begin with its lower address"),
        ("10.0.0.9-2001:db8::1 -> me", None, "of one family"),
        ("10.0.0.1-5 -> me", "10.0.0.1-5", "a range FIRST-LAST"),
        ("10.0.0.0-10.0.0.255/24 -> me", None, "an address"),  # T8
        ("10.0.11.* -> me", "10.0.11.*", "a prefix, as 10.0.11.0/24"),
        ("* -> me", "*", "expected any"),
        ("10.0.0 -> me", "10.0.0", "an address"),
        ("010.0.0.1 -> me", "010.0.0.1", "an address"),
        ("0x7f000001 -> me", "0x7f000001", "an address"),
        ("2001:db8::1::2 -> me", "2001:db8::1::2", "an IPv6 address"),
        ("2001:db8::/32:80 -> me tcp", "2001:db8::/32:80", "brackets around the whole address"),
        ("[2001:db8::]/32 -> me", "[2001:db8::]/32", "brackets around the whole address"),
        ("[2001:db8::1 -> me", "[2001:db8::1", "brackets around the whole address"),
        ("[2001:db8::1]: -> me", "[2001:db8::1]:", "brackets around the whole address"),
        ("fe80::1%eth0 -> me", "fe80::1%eth0", "an address without a zone"),
        ("b\u00fccher.example -> me", "b\u00fccher.example", "xn--"),
        ("-bad.example -> me", "-bad.example", "an address"),
        (f"{'a' * 64}.example -> me", None, "an address"),
        ("nowhere.example -> me", "nowhere.example", "a DNS name that resolves"),
        ("gatway -> me", "gatway", 'did you mean "gateway"?'),
    ],
)
def test_what_is_wrong_is_named(text: str, piece: str | None, expected: str) -> None:
    """A refused filter names the offending piece and says what was expected."""
    with pytest.raises(GrammarError) as caught:
        parse_filter(text, resolve)
    assert expected in caught.value.expected
    if piece is not None:
        assert piece == caught.value.text


def test_a_grammar_error_is_a_value_error_of_our_family() -> None:
    """Callers may catch it as either, and its text is one clear line."""
    with pytest.raises(ValueError, match='"x": expected a port') as caught:
        parse_port("x")
    assert isinstance(caught.value, IpsecfdError)


def test_an_address_alone_has_no_port() -> None:
    """In a table the port has a key of its own."""
    with pytest.raises(GrammarError, match="without a port"):
        parse_address("me:80", resolve)


@pytest.mark.parametrize(("text", "number"), [("tcp", 6), ("ICMPv6", 58), ("any", 0), ("50", 50)])
def test_a_protocol_is_a_name_or_a_number(text: str, number: int) -> None:
    """Spec 2.2: names in any case, or 0 to 255."""
    assert number == parse_protocol(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.0/8", False),
        ("10.0.0.1/8", True),
        ("[10.0.0.1/8]:80", True),
        ("2001:0DB8::/32", False),
        ("[2001:db8::1/32]:80", True),
        ("10.0.0.1", False),
        ("10.0.0.1/32", False),
        ("10.0.0.1-10.0.0.2", False),
        ("any", False),
    ],
)
def test_host_bits_are_noticed(text: str, expected: bool) -> None:
    """A prefix written with an address inside it can be warned of."""
    assert expected == has_host_bits(text, parse_side(text, resolve)[0])


def test_a_long_piece_does_not_hide_what_was_expected() -> None:
    """Its beginning is quoted."""
    with pytest.raises(GrammarError) as caught:
        parse_filter(f"{'a' * 100_000} -> me", resolve)
    assert len(str(caught.value)) < 300
