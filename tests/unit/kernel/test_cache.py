"""The rules of the verdict cache as text: what is let pass unjudged, and what is learnt."""

from __future__ import annotations

import re

import pytest

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.kernel import cache
from ipsecfd.kernel.cache import Generation, flow_sets
from ipsecfd.kernel.marks import Marks

MARKS = Marks()
BLOCKED = frozenset(Direction)


def names(generation: Generation, direction: Direction = Direction.IN) -> list[str]:
    """The sets of a generation."""
    return [one.name for one in flow_sets(generation, direction)]


@pytest.mark.parametrize(
    ("generation", "direction", "expected"),
    [
        (
            Generation(1),
            Direction.IN,
            ["in4_ports_permit_1", "in6_ports_permit_1", "in4_permit_1", "in6_permit_1"],
        ),
        (
            Generation(7, blocked=frozenset({Direction.OUT})),
            Direction.OUT,
            [
                "out4_ports_permit_7",
                "out4_ports_block_7",
                "out6_ports_permit_7",
                "out6_ports_block_7",
                "out4_permit_7",
                "out4_block_7",
                "out6_permit_7",
                "out6_block_7",
            ],
        ),
    ],
)
def test_sets(generation: Generation, direction: Direction, expected: list[str]) -> None:
    """One for each family, with and without ports, by verdict; blocked flows where wanted."""
    assert names(generation, direction) == expected


def test_no_set_is_shared() -> None:
    """Neither by directions nor by generations."""
    every = [
        name
        for number in (1, 2)
        for direction in Direction
        for name in names(Generation(number, blocked=BLOCKED), direction)
    ]
    assert len(set(every)) == len(every) == 48


@pytest.mark.parametrize(
    ("index", "by_interface", "key", "kind"),
    [
        (
            0,
            False,
            "ip saddr . ip daddr . ip protocol . th sport . th dport",
            "ipv4_addr . ipv4_addr . inet_proto . inet_service . inet_service",
        ),
        (
            1,
            False,
            "ip6 saddr . ip6 daddr . ip6 nexthdr . th sport . th dport",
            "ipv6_addr . ipv6_addr . inet_proto . inet_service . inet_service",
        ),
        (2, False, "ip saddr . ip daddr . ip protocol", "ipv4_addr . ipv4_addr . inet_proto"),
        (
            3,
            True,
            "iif . ip6 saddr . ip6 daddr . ip6 nexthdr",
            "iface_index . ipv6_addr . ipv6_addr . inet_proto",
        ),
    ],
)
def test_keys(index: int, by_interface: bool, key: str, kind: str) -> None:
    """A key names the protocol by the IP header itself: behind an IPv6 extension header there is
    no TCP or UDP for it. Its type fits it part by part."""
    one = list(flow_sets(Generation(1, by_interface=by_interface), Direction.IN))[index]
    assert one.key == key
    assert one.definition == (
        f"set {one.name} {{ type {kind}; flags dynamic,timeout;"
        " timeout 60s; size 65536; counter; }"
    )


def test_the_interface_is_that_of_the_direction() -> None:
    """What leaves has no interface that it came by."""
    generation = Generation(1, by_interface=True)
    begins = {
        direction: {one.key.split()[0] for one in flow_sets(generation, direction)}
        for direction in Direction
    }
    assert begins == {Direction.IN: {"iif"}, Direction.OUT: {"oif"}, Direction.FORWARD: {"iif"}}


@pytest.mark.parametrize("direction", Direction)
def test_everything_else_is_queued(direction: Direction) -> None:
    """TCP and UDP never meet the sets without ports; IPv4 fragments, of which none is left where
    packets come in, meet none, and the queue comes last."""
    generation = Generation(1, blocked=frozenset(Direction))
    rules = cache.passing(generation, direction, "goto queue").splitlines()
    assert rules[4] == "meta l4proto { tcp, udp } goto queue"
    assert rules[-1] == "goto queue"
    assert all("_ports_" in one for one in rules[:4])
    assert not any("_ports_" in one for one in rules[4:])
    for one in rules:
        if f"@{direction}4" in one:
            whole = one.startswith("ip frag-off & 0x3fff == 0 ")
            assert whole is (direction is not Direction.IN)
        if "@" in one:
            end = f"{direction}_block drop" if "block" in one else f"{direction}_permit accept"
            assert one.endswith(end)


def test_only_the_mark_of_the_day_is_learnt() -> None:
    """Each set takes flows with one mark, of its own generation and verdict."""
    generation = Generation(3, blocked=BLOCKED)
    rules = cache.learning(generation, Direction.OUT, MARKS).splitlines()
    assert rules[0] == "meta mark & 0xfc000000 == 0 accept"
    for one in rules:
        found = re.match(r"meta mark & 0xfc000000 == (0x\w+) .* add @(\w+) ", one)
        if found:
            mark = MARKS.block(3) if "_block_" in found[2] else MARKS.permit(3)
            assert int(found[1], 16) == mark
    assert sum(" add @" in one for one in rules) == 8


def test_what_may_be_learnt() -> None:
    """Only whole packets; TCP and UDP with ports alone, ICMPv6 never."""
    rules = cache.learning(Generation(1), Direction.IN, MARKS)
    added = {
        match[2]: match[1]
        for match in re.finditer(r"== 0x\w{8} (.*?) \S+ saddr \. .* add @(\w+) ", rules)
    }
    assert added == {
        "in4_ports_permit_1": "ip protocol { tcp, udp } ip frag-off & 0x3fff == 0",
        "in6_ports_permit_1": "ip6 nexthdr { tcp, udp }",
        "in4_permit_1": "ip protocol != { tcp, udp } ip frag-off & 0x3fff == 0",
        "in6_permit_1": "ip6 nexthdr != { 0, 6, 17, 43, 44, 58, 60 }",
    }


@pytest.mark.parametrize("generation", [Generation(1), Generation(1, blocked=BLOCKED)])
def test_blocked_packets_never_pass(generation: Generation) -> None:
    """Whatever generation their mark is of, and also when none of them is learnt; only our bits
    are taken off the others."""
    rules = cache.learning(generation, Direction.IN, MARKS).splitlines()
    assert rules[-2:] == [
        "meta mark & 0x04000000 != 0 drop",
        "meta mark set meta mark & 0x03ffffff",
    ]


def test_counters_outlast_generations() -> None:
    """They are named by direction and verdict, so that a new generation goes on with them."""
    texts = [cache.definitions(Generation(number), [Direction.IN]) for number in (1, 2)]
    counters = [
        [line for line in text.splitlines() if line.startswith("counter")] for text in texts
    ]
    assert counters[0] == counters[1]
    assert cache.decided(Direction.IN, Verdict.BLOCK) == "in_block"
