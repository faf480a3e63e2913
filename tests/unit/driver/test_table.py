"""The lookup table: shape and cost, where the decision alone would not show them."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.packet import Packet
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import specific_filters
from ipsecfd.driver.table import (
    ANYTHING,
    BOTH,
    FROM,
    PROTOCOL,
    TO,
    Lookup,
    Table,
    address_rank,
    filter_key,
    pair_key,
)
from ipsecfd.policy.model import Store
from tests.builders import THIS_HOST, policy, rule


def lookup(*filters: str) -> Lookup:
    listed = specific_filters([(Store.LOCAL, policy(rule("block", *filters)))], ipv6=True)
    return Lookup(compile_table(listed), Roles(THIS_HOST, PROFILES["linux"]), Direction.IN)


def tcp_packet(source: str, port: int) -> Packet:
    here = int(ipaddress.ip_address("192.0.2.10"))
    return Packet(4, int(ipaddress.ip_address(source)), here, 6, 4000, port, has_ports=True)


def test_empty() -> None:
    """A table without filters finds nothing, for whole packets and fragments."""
    empty = Lookup(Table({}), Roles(THIS_HOST, PROFILES["linux"]), Direction.IN)
    assert empty.find(tcp_packet("203.0.113.66", 80)) is None
    assert empty.find_for_fragment(tcp_packet("203.0.113.66", 80)) == (None, False)


def test_version() -> None:
    """The version is the table's and each of its decisions'."""
    listed = specific_filters([(Store.LOCAL, policy("block any -> me"))], ipv6=True)
    table = compile_table(listed, 42)
    found = Lookup(table, Roles(THIS_HOST, PROFILES["linux"]), Direction.IN)
    decision = found.find(tcp_packet("203.0.113.66", 80))
    assert decision is not None
    assert (table.version, decision.version) == (42, 42)


def test_order_is_the_place_in_the_total_order() -> None:
    """A decision's place is that of its filter in the sorted list."""
    found = lookup("any -> any", "any -> me", "any -> me:80 tcp", "203.0.113.66 -> me")
    places = [
        decision.order
        for packet in (
            tcp_packet("203.0.113.66", 80),
            tcp_packet("203.0.113.67", 80),
            tcp_packet("203.0.113.67", 81),
        )
        if (decision := found.find(packet)) is not None
    ]
    assert places == sorted(places)
    assert len(set(places)) == 3


def test_cost_does_not_grow() -> None:
    """Ten thousand filters of one shape are found with as many probes as ten."""
    few, many = (
        lookup(
            "any -> me",
            *(f"10.{n >> 8}.{n & 255}.0/24 -> me:{1 + n % 97} tcp" for n in range(count)),
        )
        for count in (10, 10_000)
    )
    packet = tcp_packet("10.0.5.1", 6)
    assert few.find(packet) is not None
    assert len(few.between(packet.ends).probes) == len(many.between(packet.ends).probes) == 2


@pytest.mark.parametrize(
    ("rank", "expected"),
    [
        (BOTH, {(6, 1, 2)}),
        (TO, {(6, 1, 2), (6, 9, 2)}),
        (FROM, {(6, 1, 2), (6, 1, 9)}),
        (PROTOCOL, {(6, 1, 2), (6, 9, 2), (6, 1, 9), (6, 2, 1), (6, 0, 0)}),
    ],
)
def test_filter_key(rank: int, expected: set[tuple[int, int, int]]) -> None:
    """At each rank exactly the fields of that rank tell filters apart."""
    key = filter_key(rank, 6, 1, 2, 0)
    tuples = {(6, 1, 2), (17, 1, 2), (6, 9, 2), (6, 1, 9), (6, 2, 1), (6, 0, 0)}
    assert {one for one in tuples if filter_key(rank, *one, 0) == key} == expected


def test_keys_never_collide() -> None:
    """Extreme ranks, protocols, ports and pairs do not run into each other."""
    pairs = [pair_key(*one) for one in ((0, 0), (0, 1), (1, 0), (0, 2**32 - 1), (2**32 - 1, 0))]
    extremes = [
        (protocol, source, destination)
        for protocol in (6, 17, 255)
        for source in (1, 255, 256, 65535)
        for destination in (1, 255, 256, 65535)
    ]
    keys = [filter_key(BOTH, *one, pair) for one in extremes for pair in pairs]
    keys += [filter_key(TO, 6, 0, port, pair) for port in (1, 65535) for pair in pairs]
    keys += [filter_key(FROM, 6, port, 0, pair) for port in (1, 65535) for pair in pairs]
    keys += [filter_key(PROTOCOL, protocol, 0, 0, pair) for protocol in (1, 255) for pair in pairs]
    keys += [filter_key(ANYTHING, 0, 0, 0, pair) for pair in pairs]
    assert len(set(keys)) == len(keys)


def test_a_filter_decides_by_one_object() -> None:
    """Counting decisions counts filters, so all packets of one meet the very same decision."""
    found = lookup("any -> me:80 tcp")
    packets = [tcp_packet(f"203.0.113.{number}", 80) for number in (1, 2)]
    first, second = map(found.find, packets)
    assert first is not None
    assert first is second


@pytest.mark.parametrize(("family", "full"), [(4, 32), (6, 128)])
def test_address_rank(family: int, full: int) -> None:
    """1 bit is a subnet, all bits are a host, none is any (spec 3.1)."""
    assert address_rank(family, full, full) == (8, full, full)
    assert address_rank(family, full - 1, full) == (7, full, full - 1)
    assert address_rank(family, full, 1) == (6, 1, full)
    assert address_rank(family, 1, full - 1) == (5, full - 1, 1)
    assert address_rank(family, 0, full) == (4, full, 0)
    assert address_rank(family, full, 0) == (3, 0, full)
    assert address_rank(family, 0, 1) == (2, 1, 0)
    assert address_rank(family, 1, 0) == (1, 0, 1)
    assert address_rank(family, 0, 0) == (0, 0, 0)
