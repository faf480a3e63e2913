"""Learnt flows, read from the kernel's sets with their counters.

By netlink, since nft(8) takes seconds to print what a full set holds. Layouts are those of
linux/netfilter/nf_tables.h; keys are as `kernel.cache` builds them, each part on 32 bits.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.kernel import nfnetlink
from ipsecfd.kernel.cache import FlowSet, Generation, flow_sets
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.netlink import attributes
from ipsecfd.kernel.rules import TABLE, RulesConfig

_KEY, _EXPIRATION, _EXPRESSION = 1, 5, 7
_DATA = 2  # behind an expression's name
_NUMBER: Final = struct.Struct("!Q")
_PORTS: Final = struct.Struct("!HxxHxx")
_INTERFACE: Final = struct.Struct("=I")


class Flow(NamedTuple):
    """A flow that the kernel decides by itself."""

    direction: Direction
    verdict: Verdict
    interface: int
    """The interface's index; 0 where it is not part of the flow."""
    family: int
    source: int
    destination: int
    protocol: int
    source_port: int
    destination_port: int
    """Ports are 0 for protocols without."""
    packets: int
    octets: int
    """What passed, or was dropped, without being judged; and the one packet, judged, that the flow
    was learnt from."""
    seconds_left: float
    """Until a packet of it is judged again."""
    key: bytes
    """Tells it from all others of its generation."""


def read(sets: Iterable[FlowSet]) -> Iterator[Flow]:
    """All flows in these sets, each once. Sets that are gone are empty; raises KernelError
    otherwise.

    The kernel tells a set in parts, and finds where it was by counting elements; what comes and
    goes meanwhile moves the others: one may be told twice, and another one not at all. So a set is
    read to its end before anything is done with it.
    """
    with nfnetlink.connect() as netlink:
        for one in sets:
            seen, name = set(), one.name.encode()
            for elements in list(nfnetlink.dump_set(netlink, TABLE, one.name)):
                for _, start, end in attributes(elements, 0, len(elements)):
                    flow = _flow(one, name, elements, start, end)
                    if flow.key not in seen:
                        seen.add(flow.key)
                        yield flow


def read_all(config: RulesConfig, generation: Generation) -> Iterator[Flow]:
    """All flows that the kernel learnt under a generation; raises KernelError."""
    return read(one for direction in config.directions for one in flow_sets(generation, direction))


def _flow(one: FlowSet, name: bytes, data: bytes, start: int, end: int) -> Flow:
    key = b""
    packets = octets = milliseconds = 0
    for kind, begin, stop in attributes(data, start, end):
        if kind == _KEY:
            key = data[begin + 4 : stop]  # behind the header of the attribute inside
        elif kind == _EXPIRATION:
            (milliseconds,) = _NUMBER.unpack_from(data, begin)
        elif kind == _EXPRESSION:
            for what, place, over in attributes(data, begin, stop):
                if what == _DATA:  # of the one expression that elements of ours have
                    octets, packets = nfnetlink.counted(data, place, over)
    interface, source, destination, protocol, source_port, destination_port = _parts(one, key)
    return Flow(
        one.direction,
        one.verdict,
        interface,
        one.family,
        source,
        destination,
        protocol,
        source_port,
        destination_port,
        packets,
        octets,
        milliseconds / 1000,
        name + key,
    )


def _parts(one: FlowSet, key: bytes) -> tuple[int, int, int, int, int, int]:
    """Interface, addresses, protocol and ports, of which some may be 0, by a key."""
    size = 4 if one.family == 4 else 16
    begin = 4 if one.generation.by_interface else 0
    needed = begin + 2 * size + (12 if one.ported else 4)
    if len(key) < needed:
        raise KernelError(f"set {one.name}: a key of {len(key)} bytes, expected {needed}")
    (interface,) = _INTERFACE.unpack_from(key) if begin else (0,)
    ends = begin + size, begin + 2 * size
    source_port, destination_port = _PORTS.unpack_from(key, ends[1] + 4) if one.ported else (0, 0)
    return (
        interface,
        int.from_bytes(key[begin : ends[0]], "big"),
        int.from_bytes(key[ends[0] : ends[1]], "big"),
        key[ends[1]],
        source_port,
        destination_port,
    )
