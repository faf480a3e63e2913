"""Learnt flows: each put down to its filter, counted from reading to reading."""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from collections.abc import Iterable
from dataclasses import replace

import pytest

from ipsecfd.agent.learnt import Found, Learnt, Wanted
from ipsecfd.agent.tally import Cause, Passed
from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.flows import Flow
from tests.builders import Clock, make_driver

ME, STRANGER = 0xC000020A, 0xCB007142


def flow(port: int, packets: int, *, left: float = 60.0) -> Flow:
    """A TCP flow from a stranger's port 4000 to a port of ours, 100 bytes a packet."""
    ends = (STRANGER, ME, 6, 4000, port)
    key = b"%d" % port
    return Flow(Direction.IN, Verdict.PERMIT, 0, 4, *ends, packets, 100 * packets, left, key)


class World:
    """A kernel whose flows a test sets, and a clock."""

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.read_times = 0
        self.fails_after: int | None = None
        """After how many flows a reading fails."""
        self.clock = Clock()
        driver = make_driver("permit any <-> me:80 tcp", "permit any <-> me:81 tcp")
        settings = replace(driver.settings, generation=1)
        self.learnt = Learnt(Generation(1), settings, self.read, self.clock)

    def read(self, _generation: Generation) -> Iterable[Flow]:
        self.read_times += 1
        yield from self.flows[: self.fails_after]
        if self.fails_after is not None:
            raise KernelError("nftables cannot be read")

    def counts(self, *flows: Flow, after: float = 5.0) -> dict[str | None, Passed]:
        """What a reading counts, by filter, when these are the flows a while after the last."""
        self.clock.now += after
        self.flows = list(flows)
        return {cause.filter: found for cause, found in self.learnt.counts().items()}

    def flows_of(self, wanted: Wanted) -> Found:
        """The two flows with most packets of those that are wanted."""
        return self.learnt.flows([(wanted, 2)])[wanted, 2]


class Everything:
    """Wants all flows."""

    def has(self, _flow: Flow) -> bool:
        return True

    def has_cause(self, _cause: Cause) -> bool:
        return True


class OfFilter(Everything):
    """Wants the flows of one filter."""

    def __init__(self, written: str) -> None:
        self._written = written

    def has_cause(self, cause: Cause) -> bool:
        return cause.filter == self._written


def test_each_flow_is_put_down_to_its_filter() -> None:
    """By the driver that judges packets; of a new flow one packet was judged and counted before."""
    found = World().counts(flow(80, 6), flow(81, 4))
    assert found == {
        "any <-> me:80 tcp": Passed(5, 600, 1),
        "any <-> me:81 tcp": Passed(3, 400, 1),
    }


def test_only_what_is_new_counts() -> None:
    """From reading to reading; what ended is not heard of again."""
    world = World()
    world.counts(flow(80, 6), flow(81, 4, left=3))
    assert world.counts(flow(80, 10, left=55)) == {"any <-> me:80 tcp": Passed(4, 400, 0)}
    assert len(world.learnt) == 1


def test_a_flow_that_was_learnt_again_begins_anew() -> None:
    """It lasts longer than the one before, also when it has counted more by now."""
    world = World()
    world.counts(flow(80, 6, left=2))
    assert world.counts(flow(80, 9, left=58)) == {"any <-> me:80 tcp": Passed(8, 900, 1)}


def test_a_flow_that_was_taken_out_and_learnt_again_begins_anew() -> None:
    """Nothing counts backwards."""
    world = World()
    world.counts(flow(80, 6, left=50))
    assert world.counts(flow(80, 3, left=60)) == {"any <-> me:80 tcp": Passed(2, 300, 1)}


def test_a_flow_that_a_reading_missed_goes_on() -> None:
    """The kernel tells not always all: what was counted before does not count again."""
    world = World()
    world.counts(flow(80, 6, left=60))
    assert world.counts(after=5) == {}
    assert len(world.learnt) == 1
    assert world.counts(flow(80, 8, left=50)) == {"any <-> me:80 tcp": Passed(2, 200, 0)}


def test_what_was_read_before_a_reading_failed_counts() -> None:
    """Once, with the next one."""
    world = World()
    world.flows = [flow(80, 6), flow(81, 4)]
    world.fails_after = 1
    with pytest.raises(KernelError):
        world.learnt.counts()
    world.fails_after = None
    assert world.counts(flow(80, 7, left=55), flow(81, 4)) == {
        "any <-> me:80 tcp": Passed(6, 700, 1),
        "any <-> me:81 tcp": Passed(3, 400, 1),
    }


def test_the_flows_with_most_packets_are_told() -> None:
    """As many as are asked for; the others are counted."""
    world = World()
    world.flows = [flow(80, 6), flow(81, 40), flow(82, 5)]
    found = world.flows_of(Everything())
    assert [one.flow.packets for one in found.flows] == [40, 6]
    assert found.flows[0].cause.filter == "any <-> me:81 tcp"
    assert (found.total, found.packets, found.octets) == (3, 51, 5100)


def test_one_reading_serves_all_who_ask() -> None:
    """Each gets what he wants, and as much of it."""
    world = World()
    world.flows = [flow(80, 6), flow(81, 40), flow(82, 5), flow(83, 5)]
    everything, web = (Everything(), 3), (OfFilter("any <-> me:80 tcp"), 3)
    found = world.learnt.flows([everything, web])
    assert [one.flow.destination_port for one in found[everything].flows] == [81, 80, 82]
    assert [one.flow.destination_port for one in found[web].flows] == [80]
    assert (world.read_times, found[everything].total, found[web].total) == (1, 4, 1)


def test_flows_are_chosen_by_their_cause() -> None:
    """Those that are not wanted do not count either."""
    world = World()
    world.flows = [flow(80, 6), flow(81, 40)]
    found = world.flows_of(OfFilter("any <-> me:80 tcp"))
    assert (len(found.flows), found.total, found.packets) == (1, 1, 6)


def test_flows_that_hash_alike_as_integers() -> None:
    """Strangers who choose their addresses so do not make a reading long."""
    chance = random.Random(1)
    network = 0x20010DB8_0077 << 80
    crafted = [network | sys.hash_info.modulus * number for number in range(10_000)]
    others = [network | chance.getrandbits(80) for _ in crafted]
    assert len({*map(hash, crafted)}) == 1

    def seconds(sources: list[int]) -> float:
        world = World()
        world.flows = [
            Flow(
                *(Direction.IN, Verdict.PERMIT, 0, 6, source, ME, 6, 4000, 80, 2, 200, 60.0),
                key=source.to_bytes(16, "big"),
            )
            for source in sources
        ]
        begin = time.thread_time()
        world.learnt.counts()
        taken = time.thread_time() - begin
        assert len(world.learnt) == len(sources)
        return taken

    # Whatever else the machine does only adds to a time.
    usual, theirs = (min(seconds(sources) for _ in range(3)) for sources in (others, crafted))
    assert theirs < 5 * usual


def test_what_is_remembered_of_a_flow_is_small() -> None:
    """Full sets are hundreds of thousands of flows; their keys come on top."""
    world = World()
    world.counts(flow(80, 2))
    world.flows = [flow(80, 2)._replace(key=number.to_bytes(38, "big")) for number in range(5_000)]
    tracemalloc.start()
    try:
        world.learnt.counts()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(world.learnt) == len(world.flows) + 1
    assert size < 150 * len(world.flows)
