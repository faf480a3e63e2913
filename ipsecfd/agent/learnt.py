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
from typing import NamedTuple

from ipsecfd.agent.tally import Cause
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.flows import Flow

ReadFlows = Callable[[Generation], Iterable[Flow]]
"""Reads all flows of a generation; raises KernelError."""

_IPV4 = struct.Struct("!BBHHHBBH4s4sHH")
_IPV6 = struct.Struct("!IHBB16s16sHH")


class Known(NamedTuple):
    """A learnt flow and why it goes its way."""

    flow: Flow
    interface: str
    cause: Cause


class Learnt:
    """The flows of one generation. Not for use by two threads at once."""

    def __init__(self, generation: Generation, settings: Settings, read: ReadFlows) -> None:
        self.generation = generation
        self._driver = Driver(settings, time.monotonic)
        self._read = read
        self._before: dict[tuple[object, ...], tuple[Cause, int, int]] = {}

    def counts(self) -> dict[Cause, tuple[int, int]]:
        """Packets and bytes since the last call, by cause; raises KernelError.

        What a flow counted between the last reading and its end is not among them.
        """
        found: dict[Cause, list[int]] = defaultdict(lambda: [0, 0])
        after: dict[tuple[object, ...], tuple[Cause, int, int]] = {}
        for flow in self._read(self.generation):
            key = flow[:-3]
            cause, packets, octets = self._before.get(key) or (self._cause(flow), 0, 0)
            after[key] = (cause, flow.packets, flow.octets)
            if flow.packets < packets:  # it ended and was learnt again
                packets = octets = 0
            count = found[cause]
            count[0] += flow.packets - packets
            count[1] += flow.octets - octets
        self._before = after
        return {cause: (packets, octets) for cause, (packets, octets) in found.items()}

    def flows(self) -> list[Known]:
        """All flows, those with most packets first; raises KernelError."""
        found = [
            Known(flow, _interface(flow.interface), self._cause(flow))
            for flow in self._read(self.generation)
        ]
        return sorted(found, key=lambda known: -known.flow.packets)

    def _cause(self, flow: Flow) -> Cause:
        interface = _interface(flow.interface) or "?"  # without a name it is loopback by address
        decision = self._driver.decide(headers(flow), flow.direction, interface, cut=True)
        return Cause.of(Direction(flow.direction), decision)


def headers(flow: Flow) -> bytes:
    """The first bytes of a packet of a flow: all that a decision depends on."""
    ports = (flow.source_port, flow.destination_port)
    if flow.family == 4:
        ends = (flow.source.to_bytes(4, "big"), flow.destination.to_bytes(4, "big"))
        return _IPV4.pack(0x45, 0, _IPV4.size, 0, 0, 64, flow.protocol, 0, *ends, *ports)
    ends = (flow.source.to_bytes(16, "big"), flow.destination.to_bytes(16, "big"))
    return _IPV6.pack(6 << 28, 4, flow.protocol, 64, *ends, *ports)


def _interface(index: int) -> str:
    with contextlib.suppress(OSError):
        return socket.if_indextoname(index)
    return ""
