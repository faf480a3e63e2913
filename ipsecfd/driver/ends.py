"""The addresses that one end of a packet may have, cut where filters and the host tell them apart.

Addresses are integers, parts of the address space are ranges of them. All parts here are prefixes,
so two of them are nested or have nothing in common.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from typing import Final, Generic, NamedTuple, TypeVar

from ipsecfd.driver.sides import ADDRESS_BITS, Role, Side

T = TypeVar("T")


class Part(NamedTuple):
    """The addresses of a prefix, from the first to the last."""

    low: int
    high: int

    @classmethod
    def of(cls, side: Side) -> Part:
        """The addresses of a side that is no role."""
        shift = ADDRESS_BITS[side.family] - side.bits
        return cls(side.value << shift, ((side.value + 1) << shift) - 1)

    def within(self, other: Part) -> bool:
        """Whether all of them are the other's, too."""
        return other.low <= self.low and self.high <= other.high


Parts = tuple[Part, ...]


def common(one: Parts, other: Parts) -> Parts:
    """What two lists of parts have in common."""
    found = []
    for part in one:
        for its in other:
            if part.within(its):
                found.append(part)
            elif its.within(part):
                found.append(its)
    return tuple(found)


class Ends:
    """One end of all packets of a direction and a family.

    `roots` are the parts in which it lies at all. `roles` has the parts that fill each role.
    `mentioned` are all parts that something may tell from their surroundings; `liked` are addresses
    that read well in an example.
    """

    def __init__(
        self,
        roots: Parts,
        roles: Mapping[Role, Parts],
        mentioned: Iterable[Part],
        liked: Iterable[int],
    ) -> None:
        self._roots = roots
        self._roles = roles
        # A part stands before the parts in it.
        self._mentioned = sorted(set(mentioned), key=lambda part: (part.low, -part.high))
        self._lows = [part.low for part in self._mentioned]
        self._liked = tuple(liked)
        self._parts: dict[Side, Parts] = {}
        self._picked: dict[Part, tuple[int, ...]] = {}

    def parts(self, side: Side) -> Parts:
        """The addresses of a side that this end may have."""
        found = self._parts.get(side)
        if found is None:
            parts = (Part.of(side),) if side.role is None else self._roles.get(side.role, ())
            found = self._parts[side] = common(self._roots, parts)
        return found

    def pick(self, part: Part) -> tuple[int, ...]:
        """Addresses that stand for all of a part.

        It is one which lies in no smaller part that is mentioned: whatever covers it covers the
        whole part. Where there is none, those of the largest parts within together.
        """
        found = self._picked.get(part)
        if found is None:
            found = self._picked[part] = tuple(self._pick(part))
        return found

    def _pick(self, part: Part) -> Iterator[int]:
        if part.low == part.high:
            yield part.low
            return
        inner = list(self._largest_within(part))
        free = part.low
        for one in inner:
            if one.low > free:
                break
            free = one.high + 1
        if free > part.high:
            for one in inner:
                yield from self.pick(one)
            return
        lows = [one.low for one in inner]
        for wish in (*self._liked, *range(part.low + 1, part.low + 10)):
            if part.low <= wish <= part.high:
                place = bisect_right(lows, wish) - 1
                if place < 0 or inner[place].high < wish:
                    yield wish
                    return
        yield free

    def _largest_within(self, part: Part) -> Iterator[Part]:
        """The mentioned parts within another one that are in no other of them, in order."""
        place = bisect_left(self._lows, part.low)
        end = bisect_right(self._lows, part.high)
        last = part.low - 1
        while place < end:
            one = self._mentioned[place]
            if one.high > last and one.within(part) and one != part:
                last = one.high
                yield one
            place += 1


class SideIndex(Generic[T]):
    """Values by side, found by what a side has in common with some parts."""

    def __init__(self, ends: Ends) -> None:
        self.values: dict[Side, T] = {}
        """May only grow until the first look."""
        self._ends = ends
        self._plain: list[Side] | None = None

    def near(self, parts: Parts) -> Iterator[tuple[Parts, T]]:
        """What each side has in common with these parts, with its value; only where that is
        anything."""
        for side in self.values if len(self.values) <= FEW else self._candidates(parts):
            shared = common(parts, self._ends.parts(side))
            if shared:
                yield shared, self.values[side]

    def _candidates(self, parts: Parts) -> Iterable[Side]:
        if self._plain is None:
            self._plain = sorted(
                (side for side in self.values if side.role is None),
                key=Part.of,
            )
            self._lows = [Part.of(side).low for side in self._plain]
            self._lengths = {(side.family, side.bits) for side in self._plain}
            self._roles = [side for side in self.values if side.role is not None]
        found = dict.fromkeys(self._roles)
        for part in parts:
            first, end = bisect_left(self._lows, part.low), bisect_right(self._lows, part.high)
            found.update(dict.fromkeys(self._plain[first:end]))
            for family, bits in self._lengths:
                outer = Side(family, bits, part.low >> (ADDRESS_BITS[family] - bits))
                if outer in self.values:
                    found[outer] = None
        return found


FEW: Final = 16
"""Sides that are looked at one by one."""
