"""Policies compared: whenever a verdict differs, the difference names who decides and how."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from random import Random
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecfd.driver import ends, transports
from ipsecfd.driver.build import build
from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.difference import Change, difference
from ipsecfd.driver.driver import Driver, Settings, is_loopback
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import specific_filters
from ipsecfd.policy.model import FilterList, Policy, Store
from tests.property.naive import World
from tests.property.worlds import random_direction, random_packet, random_rule, random_world

SEEDS = st.integers(0, 2**32)
SIZES = st.integers(0, 20)
Policies = Sequence[tuple[Store, Policy]]


def another(random: Random, world: World, size: int) -> Policies:
    """Policies without anything in common with these, or with a few filters more or less."""
    if random.random() < 0.4:
        return random_world(random, size).policies
    changed = []
    for store, policy in world.policies:
        rules = []
        for rule in policy.rules:
            filters = tuple(one for one in rule.filter_list.filters if random.random() < 0.8)
            rules.append(dataclasses.replace(rule, filter_list=FilterList("l", filters)))
        if random.random() < 0.5:
            rules.append(random_rule(random, "new rule", random.choice([1, 1, 3]), 0.2))
        changed.append((store, Policy(policy.name, tuple(rules))))
    return changed


def driver(policies: Policies, world: World, *, dialup: bool) -> Driver:
    """What judges by policies on one kind of interfaces."""
    profile = PROFILES[world.profile]
    filters = specific_filters(policies, ipv6=profile.filters_ipv6, dialup=dialup)
    host = dataclasses.replace(world.host, delivered=False)
    chosen = Settings(profile=profile, exempt=world.exempt, host=host, table=compile_table(filters))
    return Driver(chosen, lambda: 0.0)


def told(decision: Decision) -> tuple[object, ...]:
    """What a decision says of whoever made it."""
    return (
        decision.verdict,
        decision.reason,
        decision.policy,
        decision.rule,
        decision.filter,
        decision.mirrored,
    )


def settings_of(world: World) -> Settings:
    """What the difference of two policies needs to know of a world."""
    return Settings(profile=PROFILES[world.profile], exempt=world.exempt, host=world.host)


@settings(max_examples=settings().max_examples * 10)
@given(SEEDS, SIZES)
def test_complete(seed: int, size: int) -> None:
    """A random packet whose verdict differs is decided by two filters that the difference names
    with the same two verdicts, in the same direction."""
    random = Random(seed)
    world = random_world(random, size)
    other = another(random, world, size)
    few = random.choice([0, 16])  # sides and ports are found in another way when there are many
    with patch.object(ends, "FEW", few), patch.object(transports, "FEW", few):
        found = difference(world.policies, other, settings_of(world), forward=True)
    assert found.complete
    named = {
        (change.example.direction, change.dialup, told(change.before), told(change.after))
        for change in found.changes
    }
    without_kinds = not any(
        rule.active and rule.connection.value != "all"
        for _, policy in (*world.policies, *other)
        for rule in policy.rules
    )
    roles = Roles(dataclasses.replace(world.host, delivered=False), PROFILES[world.profile])
    dialup = random.random() < 0.3
    before, after = (driver(one, world, dialup=dialup) for one in (world.policies, other))
    for _ in range(20):
        data, facts = random_packet(random)
        direction = random_direction(random)
        family = facts.source.version
        source, destination = (
            roles.is_me(family, int(end)) for end in (facts.source, facts.destination)
        )
        if facts.later_fragment or facts.hostile_fragment:
            continue
        if direction is Direction.FORWARD:
            if source or destination:
                continue
        elif is_loopback(data, roles):
            continue
        elif direction is Direction.OUT:
            if not source or destination:
                continue
        elif source or (not destination and roles.group(family, int(facts.destination)) is None):
            continue
        decisions = [one.judge(direction, dialup=dialup)(data) for one in (before, after)]
        if decisions[0].verdict is not decisions[1].verdict:
            key = (direction, dialup and not without_kinds, *map(told, decisions))
            assert key in named, (facts, direction, world, other)


@given(SEEDS, SIZES)
def test_true(seed: int, size: int) -> None:
    """Each example meets the verdicts that are told, and each pair of deciders is told once."""
    random = Random(seed)
    world = random_world(random, size)
    other = another(random, world, size)
    found = difference(world.policies, other, settings_of(world), forward=True)
    pairs = set()
    for change in found.changes:
        before, after = (
            driver(one, world, dialup=change.dialup) for one in (world.policies, other)
        )
        direction, protocol, source, source_port, destination, destination_port = change.example
        data = build(source, destination, protocol, source_port, destination_port)
        assert told(before.judge(direction)(data)) == told(change.before)
        assert told(after.judge(direction)(data)) == told(change.after)
        assert change.before.verdict is not change.after.verdict
        pairs.add((direction, change.dialup, told(change.before), told(change.after)))
        assert told_ends(change, world)
    assert len(pairs) == len(found.changes)


def told_ends(change: Change, world: World) -> bool:
    """Whether the host could meet such a packet."""
    example = change.example
    roles = Roles(dataclasses.replace(world.host, delivered=False), PROFILES[world.profile])
    family = example.source.version
    source, destination = (
        roles.is_me(family, int(end)) for end in (example.source, example.destination)
    )
    match example.direction:
        case Direction.IN:
            return destination or roles.group(family, int(example.destination)) is not None
        case Direction.OUT:
            return source
        case _:
            return not source and not destination


@given(SEEDS, SIZES)
def test_nothing_differs_from_itself(seed: int, size: int) -> None:
    """Nor from itself in another order, under other names."""
    random = Random(seed)
    world = random_world(random, size)
    shuffled = [
        (
            store,
            Policy(
                f"another {policy.name}",
                tuple(
                    dataclasses.replace(rule, name=f"another {rule.name}")
                    for rule in random.sample(policy.rules, len(policy.rules))
                ),
            ),
        )
        for store, policy in world.policies
    ]
    found = difference(world.policies, shuffled, settings_of(world), forward=True)
    assert (found.changes, found.complete) == ((), True)
