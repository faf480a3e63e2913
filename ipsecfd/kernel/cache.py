"""The verdict cache: rules by which the kernel learns flows, and lets them pass by themselves.

A flow is what one decision holds for: addresses, protocol and, for TCP and UDP, ports; the
interface, too, where filters ask for it. The packet process marks its verdict on a flow that may be
learnt; a chain behind the queue files the flow under that mark, and a rule before the queue finds
it there from then on. Only whole packets without IPv6 extension headers match a set: where the
header names TCP or UDP itself, ports are where the kernel reads them. Mark and set belong to one
generation of settings, and sets are never emptied but replaced: a flush would miss what is being
learnt meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.driver.packet import EXTENSION_HEADERS
from ipsecfd.kernel.marks import Marks
from ipsecfd.policy.model import ICMPV6, TCP, UDP

SIZE: Final = 65_536
"""Flows that a set holds; what comes on top is queued, as without a cache."""
SECONDS: Final = 60
"""How long a flow passes by itself before a packet of it is judged again; also how long it
outlives an agent that died."""

_PORTED = "{ tcp, udp }"
# ICMPv6 is judged by its type, which no set knows; behind extension headers there is more.
_ELSE6 = f"!= {{ {', '.join(map(str, sorted(EXTENSION_HEADERS | {TCP, UDP, ICMPV6})))} }}"
_WHOLE = "ip frag-off & 0x3fff == 0"  # neither a fragment nor followed by one
_INTERFACE = {Direction.IN: "iif", Direction.OUT: "oif", Direction.FORWARD: "iif"}
_ADDRESSES = {4: "ip saddr . ip daddr . ip protocol", 6: "ip6 saddr . ip6 daddr . ip6 nexthdr"}
_TYPES = {4: "ipv4_addr . ipv4_addr . inet_proto", 6: "ipv6_addr . ipv6_addr . inet_proto"}


@dataclass(frozen=True, slots=True)
class Generation:
    """What the kernel may learn under settings of one number."""

    number: int
    by_interface: bool = False
    """Whether the interface is part of a flow: filters for dial-up or LAN alone ask for it."""
    blocked: frozenset[Direction] = frozenset()
    """Directions in which blocked flows are learnt, too: nobody wants a record of each drop."""


class FlowSet(NamedTuple):
    """One set of learnt flows."""

    direction: Direction
    family: int
    ported: bool
    """Whether it holds TCP and UDP, with ports, or all other protocols."""
    verdict: Verdict
    generation: Generation

    @property
    def name(self) -> str:
        """Its name in our table."""
        kind = f"{self.family}{'_ports' if self.ported else ''}"
        return f"{self.direction}{kind}_{self.verdict.value}_{self.generation.number}"

    @property
    def key(self) -> str:
        """The expression that makes a packet's key."""
        parts = [_ADDRESSES[self.family]]
        if self.generation.by_interface:
            parts.insert(0, _INTERFACE[self.direction])
        if self.ported:
            parts.append("th sport . th dport")
        return " . ".join(parts)

    @property
    def definition(self) -> str:
        """The set as nft reads it."""
        parts = [_TYPES[self.family]]
        if self.generation.by_interface:
            parts.insert(0, "iface_index")
        if self.ported:
            parts.append("inet_service . inet_service")
        return (
            f"set {self.name} {{ type {' . '.join(parts)}; flags dynamic,timeout;"
            f" timeout {SECONDS}s; size {SIZE}; counter; }}"
        )

    @property
    def counter(self) -> str:
        """The counter of all that ever matched such a set, whatever the generation."""
        return decided(self.direction, self.verdict)


def decided(direction: Direction, verdict: Verdict) -> str:
    """The name of the counter of packets that the kernel gave a verdict by itself."""
    return f"{direction}_{verdict.value}"


def refused(direction: Direction) -> str:
    """The name of the counter of packets whose flow found no room in a set: it is full, or new ones
    come faster than the kernel enlarges its hash table, and are learnt by a later packet."""
    return f"{direction}_full"


def flow_sets(generation: Generation, direction: Direction) -> Iterator[FlowSet]:
    """The sets of a generation for one direction; those that most packets are in come first."""
    verdicts = [Verdict.PERMIT]
    if direction in generation.blocked:
        verdicts.append(Verdict.BLOCK)
    for ported in (True, False):
        for family in (4, 6):
            for verdict in verdicts:
                yield FlowSet(direction, family, ported, verdict, generation)


def definitions(generation: Generation, directions: Iterable[Direction]) -> str:
    """All sets of a generation and the counters, for the body of a table."""
    lines = []
    for direction in directions:
        names = [*(decided(direction, verdict) for verdict in Verdict), refused(direction)]
        lines += [f"counter {name} {{ }}" for name in names]
        lines += [one.definition for one in flow_sets(generation, direction)]
    return "\n".join(lines)


def passing(generation: Generation, direction: Direction, queue: str) -> str:
    """The rules before the queue: what was learnt goes its way, all else to `queue`.

    What comes in for the host is whole: the kernel puts IPv4's fragments together before INPUT.
    """
    found: dict[bool, list[str]] = {True: [], False: []}
    for one in flow_sets(generation, direction):
        whole = f"{_WHOLE} " if one.family == 4 and direction is not Direction.IN else ""
        statement = "accept" if one.verdict is Verdict.PERMIT else "drop"
        rule = f"{whole}{one.key} @{one.name} counter name {one.counter} {statement}"
        found[one.ported].append(rule)
    return "\n".join([*found[True], f"meta l4proto {_PORTED} {queue}", *found[False], queue])


def learning(generation: Generation, direction: Direction, marks: Marks) -> str:
    """The rules behind the queue: flows with the generation's mark are learnt, our bits go.

    A flow is added by one packet only: the set counts that one, which was judged and counted
    before. What is marked as blocked is dropped, whatever generation the mark is of.
    """
    ours = f"meta mark & {marks.mask:#010x}"
    rules = [f"{ours} == 0 accept"]
    for one in flow_sets(generation, direction):
        permitted = one.verdict is Verdict.PERMIT
        mark = (marks.permit if permitted else marks.block)(generation.number)
        unknown = f"{ours} == {mark:#010x} {_shape(one)} {one.key} != @{one.name}"
        rules.append(f"{unknown} add @{one.name} {{ {one.key} }}")
        rules.append(f"{unknown} counter name {refused(direction)}")
    rules.append(f"meta mark & {marks.blocked:#010x} != 0 drop")
    rules.append(clearing(marks))
    return "\n".join(rules)


def clearing(marks: Marks) -> str:
    """The statement that takes our bits off a packet."""
    return f"meta mark set meta mark & {~marks.mask & 0xFFFFFFFF:#010x}"


def _shape(one: FlowSet) -> str:
    """What a packet must look like to be filed in a set."""
    if one.family == 4:
        protocol = f"ip protocol {'' if one.ported else '!= '}{_PORTED}"
        return f"{protocol} {_WHOLE}"
    return f"ip6 nexthdr {_PORTED if one.ported else _ELSE6}"
