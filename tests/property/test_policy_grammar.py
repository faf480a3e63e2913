"""Filters as text: what is written reads back equal, and any text is a filter or one error."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError, check_filter, parse_filter
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

KEYWORDS = {"any", "me", *(kind.value for kind in ServerKind)}


def resolve(name: str) -> tuple[IPAddress, ...]:
    """Every name has an address of both families, except one."""
    if name == "nowhere.example":
        raise GrammarError(name, "expected a DNS name that resolves")
    return (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1"))


def plain(family: int) -> st.SearchStrategy[Address]:
    """Addresses that have a place in one family."""
    one = st.ip_addresses(v=4 if family == 4 else 6)
    limit = 32 if family == 4 else 128
    labels = st.from_regex(r"[a-z]([a-z0-9_-]{0,20}[a-z0-9_])?", fullmatch=True)
    return st.one_of(
        st.just(AnyAddress()),
        st.just(Me()),
        st.builds(
            lambda address, bits: Prefix.of(ipaddress.ip_network((address, bits), strict=False)),
            one,
            st.integers(0, limit),
        ),
        st.tuples(one, one).map(lambda pair: AddressRange(*sorted(pair))),
        st.lists(labels, min_size=1, max_size=4)
        .map(".".join)
        .filter(lambda name: name not in KEYWORDS and name != "nowhere.example")
        .map(lambda name: DnsName(name, resolve(name))),
    )


servers = st.sampled_from(ServerKind).map(Server)
sides = st.one_of(
    st.tuples(plain(4), plain(4)),
    st.tuples(plain(6), plain(6)),
    st.tuples(servers, st.just(Me())),
    st.tuples(st.just(Me()), servers),
)
ports = st.integers(0, 65535)
protocols_and_ports = st.one_of(
    st.tuples(st.integers(0, 255), st.just(0), st.just(0)),
    st.tuples(st.sampled_from([TCP, UDP]), ports, ports),
)
filters = st.builds(
    lambda pair, rest, mirrored: Filter(pair[0], pair[1], rest[1], rest[2], rest[0], mirrored),
    sides,
    protocols_and_ports,
    st.booleans(),
)


@given(filters)
def test_a_filter_reads_back_equal(one: Filter) -> None:
    """`str(Filter)` is the one-line form."""
    check_filter(one)
    assert one == parse_filter(str(one), resolve)
    assert str(one) == parse_filter(str(one), resolve).text


@given(filters)
def test_case_and_spaces_mean_nothing(one: Filter) -> None:
    """Keywords, names and hexadecimal digits may be written in any case."""
    assert one == parse_filter(f"  {str(one).upper()}\t".replace(" ", "  "), resolve)


pieces = st.sampled_from(
    [
        *KEYWORDS,
        *("tcp", "udp", "icmp", "255", "->", "<->", "<-", "-", ":", "/", "[", "]", ".", " ", "%"),
        *("192.0.2.1", "10.0.0.0/8", "2001:db8::1", "::/0", "80", "99999", "nowhere.example"),
    ]
)


@given(
    st.one_of(
        st.text(),
        st.lists(pieces).map("".join),
        st.lists(pieces).map(" ".join),
        st.tuples(filters.map(str), st.integers(0, 80), st.text(max_size=3)).map(
            lambda damaged: damaged[0][: damaged[1]] + damaged[2] + damaged[0][damaged[1] + 1 :]
        ),
    )
)
def test_any_text_is_a_filter_or_a_grammar_error(text: str) -> None:
    """Nothing else comes out, the error says what was expected, and a filter writes itself."""
    try:
        one = parse_filter(text, resolve)
    except GrammarError as error:
        refused = error
    else:
        assert text == one.text
        assert one == parse_filter(str(one), resolve)
        return
    assert refused.expected
    assert refused.text in text or refused.text in text.lower()


def test_a_line_may_be_long() -> None:
    """No piece of the grammar is quadratic in the length of a line, or this takes minutes."""
    length = 300_000
    for text in ("a" * length, " " * length, "a-" * length, "<" * length, "[" * length + "->" * 9):
        with pytest.raises(GrammarError):
            parse_filter(text, resolve)
