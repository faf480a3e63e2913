"""Expansion into specific filters, and the total order of spec section 3."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from itertools import pairwise, permutations

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.specific import SpecificFilter, specific_filters
from ipsecfd.policy.model import DnsName, Filter, FilterList, Me, Policy, Rule, Store
from tests.builders import ask, generic, host, make_driver, policy, rule, verdict, why

_ADDRESS_CLASSES = [
    ("198.51.100.7", "198.51.100.8"),
    ("198.51.100.0/24", "198.51.100.8"),
    ("198.51.100.7", "198.51.100.0/24"),
    ("198.51.100.0/24", "198.51.100.0/24"),
    ("any", "198.51.100.8"),
    ("198.51.100.7", "any"),
    ("any", "198.51.100.0/24"),
    ("198.51.100.0/24", "any"),
    ("any", "any"),
]
_PROTOCOLS = [
    (":20", ":80", "tcp"),
    ("", ":80", "tcp"),
    (":20", "", "tcp"),
    ("", "", "tcp"),
    ("", "", "any"),
]
ORDER_TABLE = [
    f"{source}{source_port} -> {destination}{destination_port} {protocol}"
    for source, destination in _ADDRESS_CLASSES
    for source_port, destination_port, protocol in _PROTOCOLS
]
"""The 45 rows of the order table, most specific first (spec 3.1, item 4)."""


def expand(
    *rules: Rule | str, ipv6: bool = False, store: Store = Store.LOCAL
) -> list[SpecificFilter]:
    return specific_filters([(store, policy(*rules))], ipv6=ipv6)


def texts(filters: list[SpecificFilter]) -> list[str]:
    return [f"{one}'" if one.mirrored else str(one) for one in filters]


class TestOrderTable:
    def test_45_rows(self) -> None:
        """The rows of the table sort into the table's order, however they were written."""
        assert len(set(ORDER_TABLE)) == 45
        for rows in (ORDER_TABLE[::-1], sorted(ORDER_TABLE)):
            assert [one.generic.text for one in expand(rule("permit", *rows))] == ORDER_TABLE

    @pytest.mark.parametrize(("higher", "lower"), list(pairwise(ORDER_TABLE)))
    def test_each_row_beats_the_next(self, higher: str, lower: str) -> None:
        """Where two neighbouring rows both match, the upper one decides, block or permit."""
        one, other = generic(higher), generic(lower)
        (first,) = expand(rule("permit", higher))
        (second,) = expand(rule("block", lower))
        assert first.order_key(Direction.IN) < second.order_key(Direction.IN)
        assert first.weight(Direction.IN) > second.weight(Direction.IN)
        if {one.source_port, other.source_port} <= {0, 20}:
            packet = "in tcp 198.51.100.7:20 -> 198.51.100.8:80"
            for actions in permutations(["permit", "block"]):
                driver = make_driver(
                    f"{actions[0]} {higher}", f"{actions[1]} {lower}", profile="win2003"
                )
                assert actions[0] == verdict(driver, packet)

    @pytest.mark.parametrize(
        ("filter_", "rank"),
        [
            ("198.51.100.7:20 -> 198.51.100.8:80 tcp", (0, 8, 32, 32, 4)),
            ("10.0.0.0/8 -> me:80 tcp", (0, 7, 32, 8, 3)),
            ("me -> 10.0.0.0/8 icmp", (0, 6, 8, 32, 1)),
            ("10.0.0.0/8 -> 128.0.0.0/1", (0, 5, 1, 8, 0)),
            ("any:20 -> me tcp", (0, 4, 32, 0, 2)),
            ("me -> any 255", (0, 3, 0, 32, 1)),
            ("any -> 10.0.0.0/31", (0, 2, 31, 0, 0)),
            ("10.0.0.0/8 -> 0.0.0.0/0", (0, 1, 0, 8, 0)),
            ("any -> any", (0, 0, 0, 0, 0)),
        ],
    )
    def test_rank(self, filter_: str, rank: tuple[int, ...]) -> None:
        """Tunnel, class rank, bits of both sides and protocol rank are those of spec 3.2."""
        assert [rank] == [one.rank for one in expand(f"permit {filter_}")]

    def test_more_bits_come_first(self) -> None:
        """Inside a class the longer destination comes first, then the longer source."""
        order = [
            "10.0.0.0/8 -> 10.0.0.0/24",
            "10.0.0.0/24 -> 10.0.0.0/16",
            "10.0.0.0/16 -> 10.0.0.0/16",
            "10.0.0.0/24 -> 10.0.0.0/8",
        ]
        assert [one.generic.text for one in expand(rule("permit", *sorted(order)))] == order

    @pytest.mark.parametrize("actions", list(permutations(["permit", "block"])))
    def test_tunnel_rules_come_first(self, actions: tuple[str, str]) -> None:
        """The least specific filter of a tunnel rule comes before the most specific other one."""
        others = rule(actions[1], ORDER_TABLE[0], "any -> any 50")
        driver = make_driver(rule(actions[0], "any -> any tcp", tunnel=True), others)
        packet = "in tcp 198.51.100.7:20 -> 198.51.100.8:80"
        assert actions[0] == verdict(driver, packet)
        assert actions[1] == verdict(driver, "in 50 198.51.100.7 -> 198.51.100.8")
        assert why(ask(driver, packet.replace("tcp", "udp"))) == "no filter"

    def test_a_mirror_does_not_count_in_a_tunnel_rule(self) -> None:
        """A tunnel takes two rules of one way each (spec 2.3)."""
        driver = make_driver(rule("block", "me <-> 198.51.100.7:80 tcp", tunnel=True))
        assert verdict(driver, "out tcp 192.0.2.10:4000 -> 198.51.100.7:80") == "block"
        assert why(ask(driver, "in tcp 198.51.100.7:80 -> 192.0.2.10:4000")) == "no filter"

    def test_ipv6_rank(self) -> None:
        """In IPv6 a host has 128 bits and a subnet 1 to 127."""
        found = expand("permit 2001:db8::/127 -> 2001:db8::1", ipv6=True)
        assert [one.rank for one in found] == [(0, 7, 128, 127, 0)]

    def test_weight(self) -> None:
        """The weight is the formula of spec 3.5."""
        (one,) = expand("block 10.0.0.0/8 -> me:80 tcp")
        weight = (7 << 20) + (32 << 14) + (8 << 8) + (3 << 4) + 5
        assert one.weight(Direction.IN) == weight
        in_tunnel = one._replace(rule=replace(one.rule, tunnel=True))
        assert in_tunnel.weight(Direction.IN) == (1 << 28) + weight


class TestTies:
    def test_restrictiveness(self) -> None:
        """Of equal filters block comes before negotiate, inpass, soft and permit (spec 1.2)."""
        order = ["block", "negotiate", "inpass", "soft", "permit"]
        for actions in permutations(order):
            rules = [rule(action, "any -> me", name=action) for action in actions]
            assert order == [one.rule.name for one in expand(*rules)]
        for upper, lower in pairwise(order):
            driver = make_driver(
                rule(lower, "any -> me", name=lower), rule(upper, "any -> me", name=upper)
            )
            assert upper == why(ask(driver, "in icmp 203.0.113.66 -> 192.0.2.10"))

    def test_names_and_places(self) -> None:
        """Store, rule name, filter list name, index and mirror order what is otherwise equal."""
        mirrored = "10.0.0.0/8 <-> 10.0.0.0/8"
        found = specific_filters(
            [
                (Store.DYNAMIC, policy(rule("permit", "any -> any", name="a"))),
                (Store.LOCAL, policy(rule("permit", "any -> any", "any -> any", name="b"))),
                (Store.LOCAL, policy(rule("permit", "any -> any", name="B"))),
                (Store.PERSISTENT, policy(rule("permit", "any -> any", name="z"))),
                (Store.DOMAIN, policy(rule("permit", "any -> any", name="y"))),
            ],
            ipv6=False,
        )
        assert [(one.rule.name, one.place) for one in found] == [
            ("z", 0),
            ("y", 0),
            ("B", 0),
            ("b", 0),
            ("b", 1),
            ("a", 0),
        ]
        assert texts(expand(f"permit {mirrored}")) == ["10.0.0.0/8 -> 10.0.0.0/8"]

    def test_mirror_equal_to_another_filter(self) -> None:
        """A filter and the mirror of another that coincide are duplicates: the stricter decides,
        and of equal actions the name decides (spec 3.4)."""
        there, back = "any -> me:80 tcp", "me:80 <-> any tcp"
        driver = make_driver(rule("permit", there, name="p"), rule("block", back, name="q"))
        assert why(ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80")) == "q'"
        driver = make_driver(rule("block", there, name="p"), rule("block", back, name="q"))
        assert why(ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80")) == "p"

    def test_original_before_its_own_mirror(self) -> None:
        """Where a filter and its own mirror coincide, the original is named."""
        driver = make_driver(rule("block", "any <-> 10.0.0.0-10.255.255.255", name="x"))
        assert why(ask(driver, "out icmp 192.0.2.10 -> 10.1.1.1")) == "x"
        names = DnsName(
            "www.example.com", tuple(map(ipaddress.ip_address, ("10.0.0.1", "10.0.0.2")))
        )
        both = Rule(
            "n", FilterList("n", (Filter(names, names, mirrored=True),)), rule("block").action
        )
        assert why(ask(make_driver(both), "in icmp 10.0.0.2 -> 10.0.0.1")) == "n"


class TestExpansion:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("any:0 <-> me:80 tcp", ["any -> me:80", "me:80 -> any'"]),
            ("me -> any:80 tcp", ["me -> any:80"]),
            (
                "10.0.11.0/24 <-> me:3389 tcp",
                ["10.0.11.0/24 -> me:3389", "me:3389 -> 10.0.11.0/24'"],
            ),
            ("any <-> any", ["any -> any"]),
            ("me:68 <-> any:67 udp", ["any:67 -> me:68'", "me:68 -> any:67"]),
            ("any:80 <-> any:80 tcp", ["any:80 -> any:80"]),
            ("any:80 <-> any:443 tcp", ["any:80 -> any:443", "any:443 -> any:80'"]),
        ],
    )
    def test_mirror(self, text: str, expected: list[str]) -> None:
        """The mirror swaps addresses and ports and keeps the protocol (spec 2.3)."""
        assert expected == texts(expand(f"permit {text}"))

    @pytest.mark.parametrize(
        ("range_", "prefixes"),
        [
            ("192.168.10.0-192.168.10.255", ["192.168.10.0/24"]),
            ("10.0.0.5-10.0.0.9", ["10.0.0.5", "10.0.0.6/31", "10.0.0.8/31"]),
            ("10.0.0.5-10.0.0.5", ["10.0.0.5"]),
            ("0.0.0.0-255.255.255.255", ["any"]),
        ],
    )
    def test_range(self, range_: str, prefixes: list[str]) -> None:
        """A range is its smallest set of prefixes (spec 2.1)."""
        found = expand(f"permit {range_} -> me")
        assert set(prefixes) == {str(one.source) for one in found}

    def test_range_covers_its_ends_only(self) -> None:
        """The first and the last address of a range match, their neighbours outside do not."""
        driver = make_driver("block 10.0.0.5-10.0.0.9 -> me")
        for last, expected in ((4, "permit"), (5, "block"), (9, "block"), (10, "permit")):
            assert expected == verdict(driver, f"in icmp 10.0.0.{last} -> 192.0.2.10")

    def test_dns_name(self) -> None:
        """A name is one filter for each address it had, in the families the profile filters."""
        name = DnsName(
            "www.example.com",
            (ipaddress.ip_address("198.51.100.7"), ipaddress.ip_address("2001:db8::7")),
        )
        made = Rule(
            "r", FilterList("l", (Filter(name, Me(), mirrored=False),)), rule("block").action
        )
        assert sorted(texts(expand(made, ipv6=True))) == ["198.51.100.7 -> me", "2001:db8::7 -> me"]
        assert texts(expand(made, ipv6=False)) == ["198.51.100.7 -> me"]

    def test_any_and_me_cover_both_families(self) -> None:
        """Where IPv6 is filtered `any` and `me` stand for both families, literals for their own."""
        assert sorted(one.family for one in expand("block any -> me", ipv6=True)) == [4, 6]
        assert [one.family for one in expand("block any -> me", ipv6=False)] == [4]
        assert [one.family for one in expand("block ::/0 -> me", ipv6=True)] == [6]
        assert expand("block 10.0.0.0/8 -> 2001:db8::/32", ipv6=True) == []

    def test_icmp_is_for_ipv4(self) -> None:
        """Protocol `icmp` never matches IPv6, `icmpv6` does (design)."""
        driver = make_driver("block any -> me icmp", "block any -> me icmpv6")
        assert [one.family for one in expand("block any -> me icmp", ipv6=True)] == [4]
        assert verdict(driver, "in icmp 203.0.113.66 -> 192.0.2.10") == "block"
        assert verdict(driver, "in icmpv6 2001:db8::99 -> 2001:db8::10") == "block"
        assert verdict(driver, "in icmp 2001:db8::99 -> 2001:db8::10") == "permit"

    def test_me_to_me_matches_nothing(self) -> None:
        """`me <-> me` is accepted and matches nothing, not even a forged source (spec 2.1)."""
        assert expand("permit me <-> me", ipv6=True) == []
        driver = make_driver("permit me <-> me", rule("block", "me <-> any", name="all"))
        assert verdict(driver, "in tcp 192.0.2.10:1 -> 192.0.2.10:445") == "block"

    def test_servers_follow_the_host(self) -> None:
        """A server type stands for the host's servers of that kind, as specific as a host."""
        rules = ("block me <-> any", rule("permit", "me <-> dns:53 udp", name="dns"))
        one = make_driver(*rules, on=host("192.0.2.10/24", dns=["198.51.100.53"]))
        assert why(ask(one, "out udp 192.0.2.10:4000 -> 198.51.100.53:53")) == "dns"
        assert why(ask(one, "in udp 198.51.100.53:53 -> 192.0.2.10:4000")) == "dns'"
        assert verdict(one, "out udp 192.0.2.10:4000 -> 198.51.100.54:53") == "block"
        assert (
            verdict(make_driver(*rules), "out udp 192.0.2.10:4000 -> 198.51.100.53:53") == "block"
        )

    def test_unused_policies(self) -> None:
        """A policy without rules and a list without filters compile to nothing."""
        empty = Policy("empty")
        assert specific_filters([(Store.LOCAL, empty)], ipv6=True) == []
        assert expand(rule("block")) == []


class TestConsequences:
    """Spec 3.3."""

    def test_address_beats_port(self) -> None:
        """A permit for 10.0.0.0/8 wins over a port block for any."""
        driver = make_driver("permit 10.0.0.0/8 -> me", "block any -> me:3389 tcp")
        assert verdict(driver, "in tcp 10.1.2.3:4000 -> 192.0.2.10:3389") == "permit"

    def test_any_to_host_beats_host_to_any(self) -> None:
        """`bad -> any` does not stop a bad host from a permitted port, `bad -> me` does."""
        packet = "in tcp 203.0.113.66:4000 -> 192.0.2.10:80"
        permit = "permit any -> me:80 tcp"
        assert verdict(make_driver(permit, "block 203.0.113.66 -> any"), packet) == "permit"
        assert verdict(make_driver(permit, "block 203.0.113.66 -> me"), packet) == "block"

    def test_host_block_beats_permits_with_any(self) -> None:
        """A block between two hosts beats every permit in which one side is any."""
        block = "block 203.0.113.66 -> me"
        for permit in ("any:4000 -> me:80 tcp", "203.0.113.66:4000 -> any:80 tcp", "any -> any"):
            driver = make_driver(block, f"permit {permit}")
            assert verdict(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80") == "block"

    def test_longer_prefix(self) -> None:
        """/24 beats /8, with or without a port on the /8."""
        driver = make_driver("block 10.0.0.0/8 -> me:22 tcp", "permit 10.0.11.0/24 -> me")
        assert verdict(driver, "in tcp 10.0.11.5:4000 -> 192.0.2.10:22") == "permit"
        assert verdict(driver, "in tcp 10.0.12.5:4000 -> 192.0.2.10:22") == "block"

    def test_destination_bits_before_source_bits(self) -> None:
        """Inside one address class a longer destination wins over a longer source."""
        driver = make_driver(
            "permit 203.0.113.0/24 -> 192.0.2.0/28", "block 203.0.113.64/26 -> 192.0.2.0/24"
        )
        assert verdict(driver, "in icmp 203.0.113.66 -> 192.0.2.10") == "permit"

    def test_literal_address_and_me(self) -> None:
        """The host's address written out and `me` are equally specific: the rest of the order
        decides between them, in both directions."""
        for block, permit in (("192.0.2.10", "me"), ("me", "192.0.2.10")):
            driver = make_driver(f"block any <-> {block}:80 tcp", f"permit any <-> {permit}:80 tcp")
            assert verdict(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80") == "block"
            assert verdict(driver, "out tcp 192.0.2.10:80 -> 203.0.113.66:4000") == "block"
            driver = make_driver(f"block any <-> {block}", f"permit any <-> {permit}:80 tcp")
            assert verdict(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80") == "permit"
            assert verdict(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:81") == "block"
