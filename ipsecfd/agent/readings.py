"""Readings of what the kernel has learnt: one at a time, shared by all who ask before it begins.

A full set takes seconds to read, so no change of what packets are judged by waits for one: sets
that were replaced are read a last time afterwards.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from ipsecfd.agent.learnt import Asked, Found, Learnt
from ipsecfd.agent.tally import Tally
from ipsecfd.kernel.counters import Counters

ReadCounters = Callable[[], Counters]
"""Reads what the kernel decided by itself, as `kernel.counters.read`; raises KernelError."""


class Readings:
    """The sets of learnt flows: those in use, and those that were replaced and not yet removed."""

    def __init__(self, read_counters: ReadCounters, tally: Tally) -> None:
        self._read_counters = read_counters
        self._tally = tally
        self._present: Learnt | None = None
        self._replaced: list[Learnt] = []
        self._reading = asyncio.Lock()
        self._count: asyncio.Task[list[Learnt]] | None = None  # that has not begun
        self._answer: asyncio.Task[dict[Asked, Found]] | None = None  # that has not begun
        self._asked: set[Asked] = set()

    @property
    def present(self) -> Learnt | None:
        """The sets in use; None when nothing is learnt."""
        return self._present

    @property
    def replaced(self) -> Sequence[Learnt]:
        """Sets that were in use before, and that the kernel still has."""
        return tuple(self._replaced)

    def begin(self, learnt: Learnt | None) -> None:
        """These are in use now, in a table that is new: there are no others."""
        self._present, self._replaced = learnt, []

    def give_up(self, number: int) -> list[Learnt]:
        """Replaced sets with this number, which nobody has read in time, are about to go; tells
        which."""
        given_up = [one for one in self._replaced if one.generation.number == number]
        self._replaced = [one for one in self._replaced if one not in given_up]
        return given_up

    def take_back(self, given_up: list[Learnt]) -> None:
        """These stay after all: the change that was to remove them was refused."""
        self._replaced = [*given_up, *self._replaced]

    def follow(self, learnt: Learnt) -> None:
        """These are in use now, in place of the present ones, which stay until `removed`."""
        self._replaced, self._present = self._all(), learnt

    def removed(self, learnt: Learnt) -> None:
        """Sets that were replaced are removed."""
        self._replaced.remove(learnt)

    async def count(self) -> list[Learnt]:
        """Add to the tally what all sets have counted; tells which. Raises KernelError."""
        if self._count is None:
            self._count = asyncio.create_task(self._count_all())
        return await asyncio.shield(self._count)  # others may wait for it, too

    async def flows(self, asked: Asked) -> Found:
        """What the sets in use hold of what is asked for; raises KernelError."""
        if self._answer is None:
            self._answer = asyncio.create_task(self._answer_all())
        self._asked.add(asked)
        return (await asyncio.shield(self._answer))[asked]

    async def _count_all(self) -> list[Learnt]:
        async with self._reading:
            self._count = None
            self._tally.reading()
            counters = await asyncio.to_thread(self._read_counters)
            counted = []
            for learnt in self._all():
                counts = await asyncio.to_thread(learnt.counts)
                # Otherwise some may be of other sets with the same number.
                if learnt in self._all():
                    self._tally.learnt(counters, counts)
                    counted.append(learnt)
            return counted

    async def _answer_all(self) -> dict[Asked, Found]:
        async with self._reading:
            self._answer, asked, self._asked = None, self._asked, set()
            if self._present is None:
                return dict.fromkeys(asked, Found([], 0, 0, 0))
            return await asyncio.to_thread(self._present.flows, asked)

    def _all(self) -> list[Learnt]:
        return [*self._replaced, *([self._present] if self._present is not None else ())]
