"""The rules of a start-up mode, which the kernel follows by itself from power-on (spec 6.1 to 6.4).

They decide as `driver.driver` does in that mode, and stand in the table that the agent uses later,
so that it takes over by replacing them. Of malformed packets they see most: not a second fragment
or routing header, nor hop-by-hop options behind others of their kind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.exemptions import MULTICAST_LISTENER, NEIGHBOUR_DISCOVERY, Profile
from ipsecfd.driver.modes import BootExemption, Mode, startup_name
from ipsecfd.driver.packet import ICMP_ERRORS
from ipsecfd.driver.stateful import CAPACITY, TIMEOUT
from ipsecfd.kernel import nft, standing
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.rules import HOOKS, TABLE, defragmentation, reassembles, routed
from ipsecfd.policy.model import ICMP, ICMPV6, TCP, UDP

MODES: Final = (Mode.STARTUP_PERMIT, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL)

_PASS: Final = "counter accept"
_DROP: Final = "counter drop"
_PORTED: Final = f"meta l4proto {{ {TCP}, {UDP} }}"
_NOT_PORTED: Final = f"meta l4proto != {{ {TCP}, {UDP} }}"
_LATER4: Final = "ip frag-off & 0x1fff != 0"
_LATER6: Final = "frag frag-off != 0"
_FAMILIES: Final = ((4, "ip"), (6, "ip6"))
_FOR_A_WHILE: Final = f"timeout {TIMEOUT:.0f}s"


@dataclass(frozen=True, slots=True)
class Startup:
    """What the rules of a start are made from."""

    mode: Mode
    """One of the three start-up modes."""
    profile: Profile
    exemptions: tuple[BootExemption, ...]
    forward: bool
    """Judge routed packets, too: none of them passes, but in start-up mode permit."""
    marks: Marks = field(default_factory=Marks)
    """The bits of the packet mark that are ours: one tells routed packets from the host's own."""


def checked_ruleset(startup: Startup) -> str:
    """The rules as this kernel takes them, which it was asked; raises KernelError."""
    # The configuration of the next start may have more hooks for fragments than there are now.
    nft.check(_WITHOUT_OURS + ruleset(startup, defragment=False))
    return ruleset(startup, defragment=reassembles())


def loaded() -> Mode | None:
    """The start-up mode whose rules are in force; None when there are others, or none.

    Raises KernelError.
    """
    chains = standing.names(TABLE, "chain")
    return next((mode for mode in MODES if chain_name(mode, Direction.IN) in chains), None)


def ruleset(startup: Startup, *, defragment: bool) -> str:
    """The rules as a script for nft(8), which refuses it where the table is there already.

    With `defragment` they need the kernel's tproxy expression, and IPv6 packets are whole, too,
    before they are judged (spec 5).
    """
    content = [*_base_chains(startup, defragment=defragment)]
    if startup.mode is Mode.STARTUP_PERMIT:
        content += (_chain(chain_name(startup.mode, one), [_PASS]) for one in Direction)
    else:
        for direction, rules in (
            (Direction.IN, _inbound(startup)),
            (Direction.OUT, _outbound(startup)),
            (Direction.FORWARD, _routed(startup.profile)),
        ):
            content.append(_chain(chain_name(startup.mode, direction), rules))
        content += (_chain("broken", _BROKEN), _chain("neighbours", _NEIGHBOURS))
    if startup.mode is Mode.STARTUP_STATEFUL:
        content += _MEMORY
    return f"create table inet {TABLE}\ntable inet {TABLE} {{\n{''.join(content)}}}\n"


def chain_name(mode: Mode, direction: Direction) -> str:
    """The chain that judges packets of one direction, by which a loaded mode is known."""
    return f"{startup_name(mode)}_{direction}"


def _inbound(startup: Startup) -> Iterator[str]:
    profile = startup.profile
    if profile.filters_ipv6:  # with another destination behind this one
        yield f"rt seg-left != 0 {_DROP}"
    yield from _beginning(profile)
    yield from _later_fragments(_DROP)
    yield f"meta nfproto ipv4 udp sport 67 udp dport 68 {_PASS}"
    if profile.neighbours_exempt:
        yield f"meta nfproto ipv6 udp sport 547 udp dport 546 {_PASS}"
    yield from _exemptions(startup.exemptions, Direction.IN)
    if startup.mode is Mode.STARTUP_STATEFUL:
        for family, ip in _FAMILIES:
            flow = f"{ip} saddr . meta l4proto . {ip} daddr . th dport . th sport"
            yield f"{flow} @answers{family} {_PASS}"
            yield f"{ip} saddr . meta l4proto @peers{family} {_PASS}"
    yield _DROP


def _outbound(startup: Startup) -> Iterator[str]:
    profile = startup.profile
    yield from _beginning(profile)
    if startup.mode is Mode.STARTUP_STATEFUL:
        yield from _later_fragments(_PASS)
        # Anybody can have the host send an error: it opens nothing.
        yield f"meta l4proto {ICMP} {_LATER4} {_PASS}"
        yield f"meta l4proto {ICMPV6} {_LATER6} {_PASS}"
        yield f"meta nfproto ipv4 icmp type {_numbers(ICMP_ERRORS)} {_PASS}"
        yield f"meta nfproto ipv6 icmpv6 type < 128 {_PASS}"
        for family, ip in _FAMILIES:
            flow = f"{ip} daddr . meta l4proto . {ip} saddr . th sport . th dport"
            peer = f"{ip} daddr . meta l4proto"
            yield f"{_PORTED} update @answers{family} {{ {flow} {_FOR_A_WHILE} }} {_PASS}"
            yield f"{_NOT_PORTED} update @peers{family} {{ {peer} {_FOR_A_WHILE} }} {_PASS}"
        yield f'{_PASS} comment "no room to remember it: no answer will pass"'
        return
    yield from _later_fragments(_DROP)
    yield f"meta nfproto ipv4 udp sport 68 udp dport 67 {_PASS}"
    if profile.neighbours_exempt:
        yield f"meta nfproto ipv6 udp sport 546 udp dport 547 {_PASS}"
    yield from _exemptions(startup.exemptions, Direction.OUT)
    yield _DROP


def _routed(profile: Profile) -> Iterator[str]:
    if not profile.filters_ipv6:
        yield f"meta nfproto ipv6 {_PASS}"
    if profile.neighbours_exempt:  # of what is bridged, as the driver has it
        yield "jump broken"
        for bridged in ("hoplimit 255", "saddr { ::, fe80::/10 }"):
            yield f"ip6 {bridged} meta l4proto {ICMPV6} jump neighbours"
    yield _DROP


def _beginning(profile: Profile) -> Iterator[str]:
    """What comes first in both directions: IPv6 that is left alone, damage, neighbours."""
    if not profile.filters_ipv6:
        yield f"meta nfproto ipv6 {_PASS}"
    yield "jump broken"
    if profile.neighbours_exempt:
        yield f"meta nfproto ipv6 meta l4proto {ICMPV6} jump neighbours"


def _later_fragments(verdict: str) -> Iterator[str]:
    """Those of TCP and UDP, so that whatever follows can rely on ports."""
    yield f"{_PORTED} {_LATER4} {verdict}"
    yield f"{_PORTED} {_LATER6} {verdict}"


def _exemptions(exemptions: tuple[BootExemption, ...], direction: Direction) -> Iterator[str]:
    """A rule for each form of boot exemption, however many there are of it (spec 6.3)."""
    forms: dict[str, dict[str, None]] = {}
    for one in exemptions:
        if one.direction is direction:
            fields: dict[str, int | str] = {"meta l4proto": one.protocol}
            if one.protocol == ICMP:
                fields["meta nfproto"] = "ipv4"
            if one.source_port:
                fields["th sport"] = one.source_port
            if one.destination_port:
                fields["th dport"] = one.destination_port
            element = " . ".join(map(str, fields.values()))
            forms.setdefault(" . ".join(fields), {})[element] = None
    for form, elements in forms.items():
        yield f"{form} {{ {', '.join(elements)} }} {_PASS}"


def _base_chains(startup: Startup, *, defragment: bool) -> Iterator[str]:
    """The base chains, as `kernel.rules` has them: loopback passes, and a bit of the mark tells
    routed packets from the host's own at POSTROUTING, where it is settled which way they go."""
    inbound, outbound, forwarded = (f"goto {chain_name(startup.mode, one)}" for one in Direction)
    bit = startup.marks.routed
    clear = f"meta mark & {bit:#010x} != 0 meta mark set meta mark & {~bit & 0xFFFFFFFF:#010x}"
    for name, rules in {
        "input": ["iif lo accept", inbound],
        "forward": ["iif lo accept", forwarded],
        "routed": routed(startup.marks).splitlines(),
        "own": [clear],
        "postrouting": ["oif lo accept", f"{clear} accept", outbound],
    }.items():
        if name != "forward" or startup.forward:
            yield _chain(name, [f"type filter hook {HOOKS[name]}; policy accept;", *rules])
    yield _chain("defragment", [defragmentation(forward=startup.forward)] if defragment else [])


def _numbers(values: Iterable[int]) -> str:
    return f"{{ {', '.join(map(str, sorted(values)))} }}"


def _chain(name: str, rules: Iterable[str]) -> str:
    return f"\tchain {name} {{\n" + "".join(f"\t\t{rule}\n" for rule in rules) + "\t}\n"


_WITHOUT_OURS: Final = f"add table inet {TABLE}\ndelete table inet {TABLE}\n"

_BROKEN: Final = (
    f"ip version != 4 {_DROP}",
    f"ip hdrlength < 5 {_DROP}",
    f"ip6 version != 6 {_DROP}",
    f"exthdr hbh exists ip6 nexthdr != 0 {_DROP}",
    # The driver looks at the first 256 bytes, and the transport header must begin there.
    f"hbh hdrlength > 26 {_DROP}",
    f"rt hdrlength > 26 {_DROP}",
    f"dst hdrlength > 26 {_DROP}",
    f"meta l4proto {TCP} ip frag-off & 0x1fff == 1 {_DROP}",
    f"meta l4proto {TCP} frag frag-off 1 {_DROP}",
    f"{_LATER4} return",
    # A rule that reads what is not there does not match: equal and unequal together find out.
    f"{_LATER6} frag id 0 return",
    f"{_LATER6} frag id != 0 return",
    f"{_LATER6} {_DROP}",
    f"ip6 nexthdr {{ {TCP}, {UDP} }} ip6 length 1-3 {_DROP}",
    f"{_PORTED} th dport 0 return",
    f"{_PORTED} th dport != 0 return",
    f"{_PORTED} {_DROP}",
    "meta nfproto ipv4 return",
    "@th,0,8 0 return",
    "@th,0,8 != 0 return",
    # Nothing stands behind extension headers that are cut short, and ICMPv6 has a type.
    f"ip6 nexthdr {{ 0, 43, 44, {ICMPV6}, 60 }} {_DROP}",
    "meta l4proto != 0 return",
    _DROP,
)
"""Drops what cannot be understood, and fragments that can only be an attack (spec 5, item 3)."""

_NEIGHBOURS: Final = (
    f"{_LATER6} return",
    "frag more-fragments 1 return",
    f"icmpv6 type {_numbers(NEIGHBOUR_DISCOVERY)} ip6 hoplimit 255 {_PASS}",
    f"icmpv6 type {_numbers(MULTICAST_LISTENER)} {_PASS}",
)
"""What concerns one link only and passes in every mode (`exemptions.always_exempt`)."""

_MEMORY: Final = tuple(
    f"\tset {name} {{\n\t\ttype {key}\n\t\tflags dynamic,timeout\n\t\t{_FOR_A_WHILE}\n"
    f"\t\tsize {CAPACITY}\n\t}}\n"
    for name, key in (
        ("answers4", "ipv4_addr . inet_proto . ipv4_addr . inet_service . inet_service"),
        ("answers6", "ipv6_addr . inet_proto . ipv6_addr . inet_service . inet_service"),
        ("peers4", "ipv4_addr . inet_proto"),
        ("peers6", "ipv6_addr . inet_proto"),
    )
)
"""Who was spoken to and may answer: peer and protocol, of TCP and UDP also the own address and
port and the peer's port (spec 6.4). Each of them holds as many as the driver."""
