"""Specific filters, in their order, to a lookup table.

`me` and the server types stay roles here: which address fills them is asked at lookup time, so a
change of address needs no compilation.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.sides import ADDRESS_BITS, Side
from ipsecfd.driver.specific import SpecificFilter
from ipsecfd.driver.table import (
    ANYTHING,
    FROM,
    Entry,
    FamilyTable,
    Filed,
    PairFilters,
    Table,
    filter_key,
    pair_key,
)
from ipsecfd.policy.model import Action


def compile_table(filters: Sequence[SpecificFilter], version: int = 0) -> Table:
    """The lookup table of a list of specific filters, sorted as `specific_filters` does (spec 3.2).

    `version` is that of the policies, for the decisions.
    """
    some: dict[tuple[bool, int], list[tuple[SpecificFilter, Entry]]] = {}
    for one in zip(filters, _entries(filters, version), strict=True):
        some.setdefault((one[0].rule.tunnel, one[0].family), []).append(one)
    families = {key: _family_table(entries, key[1]) for key, entries in some.items()}
    others, tunnels = (
        Table({family: one for (own, family), one in families.items() if own is tunnel}, version)
        for tunnel in (False, True)
    )
    return replace(others, tunnels=tunnels) if tunnels.families else others


def _entries(filters: Sequence[SpecificFilter], version: int) -> list[Entry]:
    """The decisions of each filter by direction; one object where the directions agree."""
    inbound: Sequence[int] = range(len(filters))
    if all(one.rule.action.inbound == one.rule.action.outbound for one in filters):
        orders = [inbound] * len(Direction)
    else:
        orders = [inbound, _places(filters, Direction.OUT), _places(filters, Direction.FORWARD)]
    made: dict[tuple[int, int], tuple[Decision, ...]] = {}
    entries = []
    for one, *places in zip(filters, *orders, strict=True):
        of_rule = id(one.policy), id(one.rule)
        if of_rule not in made:
            made[of_rule] = _decisions(one, version)
        entries.append(_entry(one, made[of_rule], places))
    return entries


def _entry(one: SpecificFilter, decisions: Sequence[Decision], places: Sequence[int]) -> Entry:
    written, mirrored = one.generic.written, one.mirrored
    inbound = Filed(decisions[0], written, mirrored, places[0])
    if decisions[0] is decisions[1] is decisions[2] and places[0] == places[1] == places[2]:
        return inbound, inbound, inbound
    outbound = Filed(decisions[1], written, mirrored, places[1])
    return inbound, outbound, Filed(decisions[2], written, mirrored, places[2])


def _decisions(one: SpecificFilter, version: int) -> tuple[Decision, ...]:
    """What any filter of the same rule decides, by direction; one object where they agree."""
    made: dict[tuple[Verdict, Action], Decision] = {}
    decisions = []
    for direction in Direction:
        action = one.action(direction)
        outcome = _verdict(action, direction), action
        if outcome not in made:
            made[outcome] = Decision(
                outcome[0],
                Reason.NEGOTIATE if action.negotiates else Reason.FILTER,
                policy=one.policy.name,
                rule=one.rule.name,
                filter_list=one.rule.filter_list.name,
                action=action,
                version=version,
            )
        decisions.append(made[outcome])
    return tuple(decisions)


def _places(filters: Sequence[SpecificFilter], direction: Direction) -> list[int]:
    """The place of each filter in the total order of one direction."""
    keys = [one.order_key(direction) for one in filters]
    places = [0] * len(filters)
    for place, index in enumerate(sorted(range(len(filters)), key=keys.__getitem__)):
        places[index] = place
    return places


def _verdict(action: Action, direction: Direction) -> Verdict:
    inbound = direction is Direction.IN
    permits = action in (Action.PERMIT, Action.SOFT) or (action is Action.INPASS and inbound)
    return Verdict.PERMIT if permits else Verdict.BLOCK


_Kind: TypeAlias = tuple[int, int, Action, Action]
"""Protocol rank and protocol of a filter, and its actions inbound and outbound."""


def _family_table(entries: Iterable[tuple[SpecificFilter, Entry]], family: int) -> FamilyTable:
    numbers: dict[Side, int] = {}
    filters: dict[int, Entry] = {}
    kinds: dict[_Kind, int] = {}  # a bit for each
    kinds_of: dict[int, int] = {}  # the bits of all kinds of filters that a pair has
    for one, entry in entries:
        source = numbers.setdefault(one.source, len(numbers))
        destination = numbers.setdefault(one.destination, len(numbers))
        pair = pair_key(source, destination)
        rank, protocol = one.protocol_rank, one.protocol
        key = filter_key(rank, protocol, one.source_port, one.destination_port, pair)
        rival = filters.get(key)
        filters[key] = entry if rival is None else _winners(entry, rival)
        action = one.rule.action
        kind = (rank, protocol, action.inbound, action.outbound)
        kinds_of[pair] = kinds_of.get(pair, 0) | kinds.setdefault(kind, 1 << len(kinds))
    lengths: dict[int, dict[int, int]] = {}
    for side, number in numbers.items():
        if side.role is None:
            shift = ADDRESS_BITS[family] - side.bits
            lengths.setdefault(shift, {})[side.value] = number
    known = {bits: _pair_filters(bits, kinds) for bits in set(kinds_of.values())}
    return FamilyTable(
        lengths=tuple(sorted(lengths.items())),
        roles={side.role: number for side, number in numbers.items() if side.role is not None},
        bits=[side.bits for side in numbers],
        pairs={pair: known[bits] for pair, bits in kinds_of.items()},
        filters=filters,
    )


def _pair_filters(bits: int, kinds: Mapping[_Kind, int]) -> PairFilters:
    """What a pair with these kinds of filters has."""
    some = [kind for kind, bit in kinds.items() if bits & bit]
    shapes = {
        (protocol, rank >= FROM, (inbound, outbound, max(inbound, outbound)))
        for rank, protocol, inbound, outbound in some
        if rank != ANYTHING
    }
    ranks = {rank for rank, *_ in some}
    return PairFilters(tuple(sorted(ranks, reverse=True)), tuple(sorted(shapes)))


def _winners(one: Entry, other: Entry) -> Entry:
    """Of two equal filters the more restrictive decides, in each direction (spec 3.4)."""
    inbound, outbound, routed = (min(a, b, key=_order) for a, b in zip(one, other, strict=True))
    return inbound, outbound, routed


def _order(one: Filed) -> int:
    return one.order
