"""Two policies compared by their verdicts: for each two filters that decide differently, a packet.

Complete for the filters as they are compiled: whole packets to and from the host's addresses,
multicast and broadcast included, and routed ones between other addresses. Damaged and fragmented
packets are not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ipsecfd.driver.build import build
from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings, is_loopback
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.packet import to_address
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.specific import ActivePolicies, specific_filters
from ipsecfd.driver.tries import Box, Place, Try, tries
from ipsecfd.policy.model import IPAddress

MOST_PACKETS: Final = 500_000
"""Packets tried: two large policies without anything in common would take for ever."""


class Example(NamedTuple):
    """A packet, as a text may describe it; without ports, they are 0."""

    direction: Direction
    protocol: int
    source: IPAddress
    source_port: int
    destination: IPAddress
    destination_port: int


@dataclass(frozen=True, slots=True)
class Change:
    """Packets that meet another verdict, all by the same two decisions; one of them."""

    example: Example
    dialup: bool
    """Whether they pass dial-up interfaces, where other rules hold (spec 1.4)."""
    before: Decision
    after: Decision


@dataclass(frozen=True, slots=True)
class Difference:
    """All changes, or as many as were found when it was given up."""

    changes: tuple[Change, ...]
    complete: bool


def difference(
    before: ActivePolicies, after: ActivePolicies, settings: Settings, *, forward: bool
) -> Difference:
    """The verdicts in secure mode that are others after than before.

    `settings` give profile, exemptions and host; `forward` adds packets that are routed.
    """
    host = replace(settings.host, delivered=False)  # an example is to have a known address
    settings = replace(settings, mode=Mode.SECURE, host=host)
    by_interface = any(policy.by_interface for _, policy in (*before, *after))
    found: dict[tuple[object, ...], Change] = {}
    tried = 0
    for dialup in (False, True) if by_interface else (False,):
        comparison = _Comparison(before, after, settings, dialup=dialup)
        for direction in list(Direction)[: 3 if forward else 2]:
            for change in comparison.changes(direction):
                tried += 1
                if tried > MOST_PACKETS:
                    return Difference(tuple(found.values()), complete=False)
                if change is not None:
                    found.setdefault(_deciders(change), change)
    return Difference(tuple(found.values()), complete=True)


def _deciders(change: Change) -> tuple[object, ...]:
    """What makes two changes one: where, who decides, and what."""
    both = [
        (one.verdict, one.reason, one.policy, one.rule, one.filter, one.mirrored, one.exemption)
        for one in (change.before, change.after)
    ]
    return (change.example.direction, change.dialup, *both)


class _Comparison:
    """Two compiled policies, for one kind of interfaces."""

    def __init__(
        self, before: ActivePolicies, after: ActivePolicies, settings: Settings, *, dialup: bool
    ) -> None:
        ipv6 = settings.profile.filters_ipv6
        self._filters = [
            specific_filters(policies, ipv6=ipv6, dialup=dialup) for policies in (before, after)
        ]
        self._drivers = [
            Driver(replace(settings, table=compile_table(some), dialup_table=None), lambda: 0.0)
            for some in self._filters
        ]
        self._families = (4, 6) if ipv6 else (4,)
        self._host = settings.host
        self._roles = Roles(settings.host, settings.profile)
        self._dialup = dialup

    def changes(self, direction: Direction) -> Iterator[Change | None]:
        """What becomes of each packet tried; None where the verdict stays."""
        before, after = (driver.judge(direction) for driver in self._drivers)
        for example in self._examples(direction):
            if example is None:
                yield None
                continue
            _, protocol, source, source_port, destination, destination_port = example
            data = build(source, destination, protocol, source_port, destination_port)
            decisions = before(data), after(data)
            if decisions[0].verdict is decisions[1].verdict or is_loopback(data, self._roles):
                yield None
            else:
                yield Change(example, self._dialup, *decisions)

    def _examples(self, direction: Direction) -> Iterator[Example | None]:
        for family in self._families:
            before, after = (
                [Box.of(one, direction) for one in some if one.family == family]
                for some in self._filters
            )
            place = Place(self._host, self._roles, direction, family)
            for one in tries(before, after, place):
                if one is None or (direction is Direction.FORWARD and self._is_ours(family, one)):
                    yield None
                    continue
                protocol, source_port, destination_port = one.transport
                source, destination = (to_address(family, end) for end in one[:2])
                yield Example(
                    direction, protocol, source, source_port, destination, destination_port
                )

    def _is_ours(self, family: int, one: Try) -> bool:
        """Whether an end is the host itself, which no routed packet has."""
        ends = one.source, one.destination
        return any(self._roles.is_me(family, end) for end in ends)
