"""The driver against a naive model, against itself, and against bytes nobody should send."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable
from dataclasses import fields
from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction, Reason
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.driver.packet import COPY_RANGE, Packet, parse
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import specific_filters
from ipsecfd.policy.model import FilterList, Policy, Rule
from tests.builders import (
    DESTINATION_OPTIONS,
    ME,
    ME6,
    Clock,
    extension,
    host,
    icmp,
    ipv4,
    ipv6,
    make_driver,
    tcp,
    udp,
)
from tests.property.naive import Answer, World
from tests.property.worlds import driver_of, random_direction, random_packet, random_world

SEEDS = st.integers(0, 2**32)
SIZES = st.integers(0, 20)

POLICY = (
    "block me <-> any",
    "permit any <-> me:80 tcp",
    "permit any <-> me:80 udp",
    "permit any <-> [2001:db8::10]:53 udp",
    "block/permit 198.51.100.0/24 <-> me icmp",
    "negotiate 10.0.0.0/8 <-> me",
)
HOST = host(f"{ME}/24", f"{ME6}/64", delivered=True)


def answer(decision: Decision) -> Answer:
    """A decision in the naive model's words."""
    return Answer(
        decision.verdict.value,
        decision.reason.value,
        decision.policy,
        decision.rule,
        decision.filter,
        decision.mirrored,
        decision.exemption,
    )


def same(one: Decision, other: Decision) -> bool:
    """Whether two decisions have one cause, be it for the first packet of a flow or a later one."""
    return told(one) == told(other)


def told(decision: Decision) -> tuple[object, ...]:
    """All of a decision but whether it may be learnt."""
    names = (field.name for field in fields(decision))
    return tuple(getattr(decision, name) for name in names if name != "learnable")


class TestNaiveModel:
    @settings(max_examples=settings().max_examples * 10)
    @given(SEEDS, SIZES)
    def test_same_decision(self, seed: int, size: int) -> None:
        """The driver gives the verdict and names the filter that a linear scan of the expanded
        and sorted filters gives and names, at the first packet of a flow and at later ones."""
        random = Random(seed)
        world = random_world(random, size)
        driver = driver_of(world)
        for _ in range(8):
            data, facts = random_packet(random)
            direction, dialup = random_direction(random), random.random() < 0.3
            expected = world.decide(facts, direction, dialup=dialup)
            for _ in range(2):
                got = answer(driver.judge(direction, dialup=dialup)(data))
                assert expected == got, (facts, direction, dialup, world)

    @given(SEEDS, SIZES)
    def test_explained(self, seed: int, size: int) -> None:
        """The deciding filter is the first in order of those that match by themselves, as
        `explain` lists them."""
        random = Random(seed)
        world = random_world(random, size)
        profile = PROFILES[world.profile]
        filters = specific_filters(world.policies, ipv6=profile.filters_ipv6, dialup=False)
        roles = Roles(world.host, profile)
        driver = driver_of(world)
        for _ in range(8):
            data, facts = random_packet(random)
            direction = random_direction(random)
            decision = driver.judge(direction)(data)
            packet = parse(data)
            if decision.reason in (Reason.FRAGMENT, Reason.EXEMPTION, Reason.MALFORMED):
                continue
            assert isinstance(packet, Packet)
            matching = [one for one in filters if one.matches(packet, direction, roles)]
            first = min(matching, key=lambda one: one.order_key(direction), default=None)
            assert (first and (first.policy.name, first.rule.name, first.mirrored)) == (
                decision.rule and (decision.policy, decision.rule, decision.mirrored)
            ), (facts, direction, world)

    @given(SEEDS, SIZES)
    def test_decide_is_the_judge(self, seed: int, size: int) -> None:
        """What `explain` and `replay` ask is what live traffic meets."""
        random = Random(seed)
        driver = driver_of(random_world(random, size))
        data, _ = random_packet(random)
        direction = random_direction(random)

        assert same(driver.judge(direction)(data), driver.decide(data, direction, "eth0"))
        by_dialup = driver.judge(direction, dialup=True)(data)
        assert same(by_dialup, driver.decide(data, direction, "ppp0"))


class TestOrder:
    @given(SEEDS, SIZES)
    def test_shuffled(self, seed: int, size: int) -> None:
        """The order of filters, rules and policies changes no verdict (spec 3.3)."""
        random = Random(seed)
        world = random_world(random, size)
        other = _shuffled(world, random)
        one, two = driver_of(world), driver_of(other)
        for _ in range(10):
            data, facts = random_packet(random)
            direction = random_direction(random)
            first, second = (driver.judge(direction)(data) for driver in (one, two))
            assert (first.verdict, first.reason, first.action) == (
                second.verdict,
                second.reason,
                second.action,
            ), (facts, direction, world)

    @given(SEEDS, SIZES)
    def test_split(self, seed: int, size: int) -> None:
        """A rule cut into one rule for each filter gives the same verdicts (T1)."""
        random = Random(seed)
        world = random_world(random, size)
        split = [
            (store, Policy(policy.name, tuple(_split(policy.rules))))
            for store, policy in world.policies
        ]
        one, two = driver_of(world), driver_of(dataclasses.replace(world, policies=split))
        for _ in range(10):
            data, facts = random_packet(random)
            direction = random_direction(random)
            first, second = (driver.judge(direction)(data) for driver in (one, two))
            assert first.verdict is second.verdict, (facts, direction, world)

    @given(SEEDS, SIZES)
    def test_deterministic(self, seed: int, size: int) -> None:
        """Policies and rules in another order compile to the very same table."""
        random = Random(seed)
        policies = random_world(random, size).policies
        mixed = [
            (store, dataclasses.replace(policy, rules=policy.rules[::-1]))
            for store, policy in reversed(policies)
        ]
        one, two = (specific_filters(some, ipv6=True) for some in (policies, mixed))
        names = [(str(each), each.rule.name, each.policy.name, each.mirrored) for each in one]

        assert names == [
            (str(each), each.rule.name, each.policy.name, each.mirrored) for each in two
        ]
        assert repr(compile_table(one)) == repr(compile_table(two))


def _shuffled(world: World, random: Random) -> World:
    def some(things: Iterable[object]) -> list:  # type: ignore[type-arg]
        mixed = list(things)
        random.shuffle(mixed)
        return mixed

    def list_of(rule: Rule) -> FilterList:
        return FilterList(rule.filter_list.name, tuple(some(rule.filter_list.filters)))

    return dataclasses.replace(
        world,
        policies=[
            (
                store,
                Policy(
                    policy.name,
                    tuple(
                        dataclasses.replace(rule, filter_list=list_of(rule))
                        for rule in some(policy.rules)
                    ),
                ),
            )
            for store, policy in some(world.policies)
        ],
    )


def _split(rules: Iterable[Rule]) -> Iterable[Rule]:
    for rule in rules:
        for number, one in enumerate(rule.filter_list.filters):
            yield dataclasses.replace(
                rule,
                name=f"{rule.name}, part {number}",
                filter_list=FilterList(f"part {number}", (one,)),
            )


def _drivers() -> list[Driver]:
    """A driver for every mode and profile."""
    return [
        make_driver(
            *POLICY, profile=profile, mode=mode, on=HOST, boot=["tcp:0:22:inbound"], clock=Clock()
        )
        for profile in PROFILES
        for mode in Mode
    ]


DRIVERS = _drivers()

_VALID = [
    ipv4("203.0.113.1", ME, 6, tcp(1000, 80)),
    ipv4("203.0.113.1", ME, 17, udp(1000, 80), options=bytes(8)),
    ipv4("203.0.113.1", ME, 6, tcp(1000, 80), offset=185),
    ipv6("2001:db8::1", ME6, 17, udp(1000, 53)),
    ipv6("fe80::1", ME6, 58, icmp(135), hop_limit=255),
    ipv6("2001:db8::1", ME6, 0, extension(60) + extension(44, 16) + extension(17) + udp(1, 2)),
]


@st.composite
def hostile(draw: st.DrawFn) -> bytes:
    """Any bytes, or a good packet damaged anywhere."""
    if draw(st.booleans()):
        start = draw(st.sampled_from([b"", b"\x45", b"\x4f", b"\x60"]))
        return start + draw(st.binary(max_size=300))
    data = bytearray(draw(st.sampled_from(_VALID)))
    places = st.integers(0, len(data) - 1)
    for place, byte in draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=4)):
        data[place] = byte
    data += bytes(draw(st.sampled_from([0, 0, 18, 300])))
    return bytes(data[: draw(st.integers(0, len(data)))])


class TestAnyBytes:
    @settings(max_examples=settings().max_examples * 2)
    @given(hostile(), st.booleans())
    @example(b"", False)
    @example(bytes(1), False)
    @example(bytes(COPY_RANGE), True)
    @example(b"\x60" + bytes(5) + b"\x00\xff" + bytes(COPY_RANGE), False)
    def test_decided(self, data: bytes, cut: bool) -> None:
        """Any bytes whatsoever give a decision, the same one when asked again."""
        for driver in DRIVERS:
            for direction in Direction:
                decision = driver.judge(direction)(data, cut)
                assert isinstance(decision, Decision)
                if driver.settings.mode is not Mode.STARTUP_STATEFUL:
                    assert same(decision, driver.judge(direction)(data, cut))
            assert isinstance(driver.decide(data, Direction.IN, None, cut), Decision)

    @given(st.lists(hostile(), max_size=12), SEEDS)
    def test_any_order(self, packets: list[bytes], seed: int) -> None:
        """What was judged before changes no decision: the flow memory never confuses packets."""
        driver = next(one for one in DRIVERS if one.settings.profile.name == "linux")
        table = driver.settings.table
        random = Random(seed)
        packets = [*packets, *(_twin(packet, random) for packet in packets)]
        some = random.choices(_VALID, k=2) * 6
        packets += [one if random.random() < 0.3 else _twin(one, random) for one in some]
        for direction in (Direction.IN, Direction.OUT):
            experienced = Driver(Settings(host=HOST, table=table), Clock())
            for data in packets:
                fresh = Driver(Settings(host=HOST, table=table), Clock())
                first, again = fresh.judge(direction)(data), experienced.judge(direction)(data)
                assert same(first, again)

    @given(hostile(), st.binary(max_size=64))
    def test_beyond_the_copy(self, data: bytes, more: bytes) -> None:
        """Only the first 256 bytes of a long packet decide."""
        data = data.ljust(COPY_RANGE, b"\x5a")
        for driver in DRIVERS:
            judge = driver.judge(Direction.IN)
            assert same(judge(data), judge(data + more))
            assert same(judge(data), judge(data[:COPY_RANGE]))

    @given(SEEDS, st.binary(max_size=64))
    def test_padding(self, seed: int, padding: bytes) -> None:
        """Bytes behind the packet's own length, such as Ethernet padding, are nobody's."""
        random = Random(seed)
        driver = driver_of(random_world(random, 6))
        data, facts = random_packet(random)
        for direction in Direction:
            judge = driver.judge(direction)
            assert same(judge(data + padding), judge(data)), facts

    @given(SEEDS, st.integers(1, 80))
    def test_cut_anywhere(self, seed: int, keep: int) -> None:
        """A packet shorter than it says is malformed, never something else's."""
        random = Random(seed)
        driver = driver_of(dataclasses.replace(random_world(random, 6), profile="linux"))
        data, facts = random_packet(random)
        if keep < len(data):
            decision = driver.judge(Direction.IN)(data[:keep])
            assert decision.reason is Reason.MALFORMED, facts


def _twin(data: bytes, random: Random) -> bytes:
    """The packet with one of its last bytes changed: another flow more often than not."""
    if not data:
        return data
    place = random.randrange(max(0, len(data) - 30), len(data))
    byte = random.choice([0, 80, 81, random.randrange(256)])
    return data[:place] + bytes((byte,)) + data[place + 1 :]


@pytest.mark.parametrize("first", [80, 445])
def test_flow_behind_extension_headers(first: int) -> None:
    """Ports behind an IPv6 extension header are looked at in each packet: a flow permitted before
    opens no other port of the same addresses."""
    driver = make_driver("block me <-> any", "permit any <-> me:80 udp")
    for port in (first, 80, 445, 80):
        data = ipv6("2001:db8::99", ME6, DESTINATION_OPTIONS, extension(17) + udp(1000, port))
        assert (port == 80) is driver.decide(data, Direction.IN, "eth0").permits


@given(st.text(max_size=40))
@example("TCP:0:3389:Inbound")
@example("256:inbound")
@example("udp:0:65536:inbound")
@example("icmp:\u0661:inbound")
def test_boot_exemption_text(text: str) -> None:
    """Any text is a boot exemption that prints as one that reads the same, or a ValueError."""
    with contextlib.suppress(ValueError):
        exemption = BootExemption.parse(text)
        assert exemption == BootExemption.parse(str(exemption))
