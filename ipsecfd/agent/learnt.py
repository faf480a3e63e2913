"""What the kernel has learnt: flows, read now and then, each put down to its deciding filter.

The kernel knows flows and verdicts, not filters. So the decision about a flow is made once more,
by the settings that it was learnt under, through the very driver that packets are judged by.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from heapq import heappush, heapreplace
from typing import Final, NamedTuple, Protocol

from ipsecfd.agent.tally import Cause, Passed
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.kernel.cache import SECONDS, Generation
from ipsecfd.kernel.flows import Flow

ReadFlows = Callable[[Generation], Iterable[Flow]]
"""Reads all flows of a generation; raises KernelError."""

_ROW: Final = struct.Struct("=IQQd")
"""A flow as it was last read, small since there may be very many: the place of its cause, packets,
bytes, and when it is forgotten, by the clock."""

_IPV4 = struct.Struct("!BBHHHBBH4s4sHH")
_IPV6 = struct.Struct("!IHBB16s16sHH")


class Known(NamedTuple):
    """A learnt flow and why it goes its way."""

    flow: Flow
    interface: str
    cause: Cause


class Wanted(Protocol):
    """Chooses flows."""

    def has(self, flow: Flow) -> bool:
        """Whether a flow may be wanted; asked first, since it costs less."""

    def has_cause(self, cause: Cause) -> bool:
        """Whether a flow with this cause is."""


Asked = tuple[Wanted, int]
"""Which flows somebody wants to be told of, and how many of them at most."""


class Found(NamedTuple):
    """The wanted ones of the learnt flows."""

    flows: list[Known]
    """Those with most packets, these first."""
    total: int
    packets: int
    octets: int
    """How many there are, and what all of them count."""


class _Choice:
    """The wanted ones of the flows that are offered."""

    def __init__(self, wanted: Wanted, most: int) -> None:
        self.wanted = wanted
        self._most = most
        self._largest: list[tuple[int, int, Flow, Cause]] = []  # a heap, of two alike the first
        self._total = self._packets = self._octets = 0

    def offer(self, flow: Flow, cause: Cause) -> None:
        """Take a flow that may be wanted."""
        if not self.wanted.has_cause(cause):
            return
        self._total += 1
        self._packets += flow.packets
        self._octets += flow.octets
        one = (flow.packets, -self._total, flow, cause)
        if len(self._largest) < self._most:
            heappush(self._largest, one)
        elif one > self._largest[0]:
            heapreplace(self._largest, one)

    def found(self) -> Found:
        """What was wanted."""
        flows = [
            Known(flow, _interface(flow.interface), cause)
            for _, _, flow, cause in sorted(self._largest, reverse=True)
        ]
        return Found(flows, self._total, self._packets, self._octets)


class Learnt:
    """The flows of one generation. Not for use by two threads at once.

    `clock` gives seconds that only grow.
    """

    def __init__(
        self,
        generation: Generation,
        settings: Settings,
        read: ReadFlows,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.generation = generation
        self._driver = Driver(settings, clock)
        self._read = read
        self._clock = clock
        self._rows: dict[bytes, bytes] = {}
        self._causes: list[Cause] = []
        self._places: dict[Cause, int] = {}
        # By place of the cause; here, since what was read before a reading failed counts, too.
        self._counted: dict[int, list[int]] = defaultdict(lambda: [0, 0, 0])

    def __len__(self) -> int:
        """How many flows there were at the last reading."""
        return len(self._rows)

    def counts(self) -> dict[Cause, Passed]:
        """What was counted since the last call, by cause; raises KernelError.

        What a flow counted between the last reading and its end is not among it. A flow that a
        reading has missed is there all the same, until its time is over.
        """
        for flow in self._read(self.generation):
            end = self._clock() + flow.seconds_left
            packets, octets, new = flow.packets, flow.octets, 0
            row = self._rows.get(flow.key)
            if row is None:
                place, packets, new = self._place(self._cause(flow)), packets - 1, 1
            else:
                place, packets_before, octets_before, end_before = _ROW.unpack(row)
                # A flow that ended and was learnt again lasts longer by a whole term; if it was
                # taken out by hand, it may have counted less.
                if end > end_before + SECONDS / 2 or packets < packets_before:
                    packets, new = packets - 1, 1
                else:
                    packets, octets = packets - packets_before, octets - octets_before
            self._rows[flow.key] = _ROW.pack(place, flow.packets, flow.octets, end)
            count = self._counted[place]
            count[0] += packets
            count[1] += octets
            count[2] += new
        now = self._clock()
        for key in [key for key, row in self._rows.items() if _ROW.unpack(row)[3] <= now]:
            del self._rows[key]
        counted = {self._causes[place]: Passed(*count) for place, count in self._counted.items()}
        self._counted.clear()
        return counted

    def flows(self, asked: Iterable[Asked]) -> dict[Asked, Found]:
        """The wanted flows, for each who asked, by one reading; raises KernelError."""
        choices = {one: _Choice(*one) for one in asked}
        for flow in self._read(self.generation):
            wanting = [one for one in choices.values() if one.wanted.has(flow)]
            if wanting:
                row = self._rows.get(flow.key)
                cause = self._cause(flow) if row is None else self._causes[_ROW.unpack(row)[0]]
                for one in wanting:
                    one.offer(flow, cause)
        return {one: choice.found() for one, choice in choices.items()}

    def _place(self, cause: Cause) -> int:
        place = self._places.setdefault(cause, len(self._causes))
        if place == len(self._causes):
            self._causes.append(cause)
        return place

    def _cause(self, flow: Flow) -> Cause:
        interface = _interface(flow.interface) or "?"  # without a name it is loopback by address
        decision = self._driver.decide(headers(flow), flow.direction, interface, cut=True)
        return Cause.of(Direction(flow.direction), decision)


def headers(flow: Flow) -> bytes:
    """The first bytes of a packet of a flow: all that a decision depends on.

    Not `driver.build`'s whole packet: a reading may find a hundred thousand flows that are new.
    """
    ports = (flow.source_port, flow.destination_port)
    if flow.family == 4:
        ends = (flow.source.to_bytes(4, "big"), flow.destination.to_bytes(4, "big"))
        return _IPV4.pack(0x45, 0, _IPV4.size, 0, 0, 64, flow.protocol, 0, *ends, *ports)
    ends = (flow.source.to_bytes(16, "big"), flow.destination.to_bytes(16, "big"))
    return _IPV6.pack(6 << 28, 4, flow.protocol, 64, *ends, *ports)


def _interface(index: int) -> str:
    if index:  # none is part of most flows, and the kernel is slow to say that there is none
        with contextlib.suppress(OSError):
            return socket.if_indextoname(index)
    return ""
