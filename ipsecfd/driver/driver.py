"""The IPSec driver: bytes in, decision out. Mode, then exemptions, then the table.

A Driver is one fixed answer to every packet; a new policy, mode or address makes a new Driver.
What can be settled beforehand is settled when it is made: each direction has one judge, a function
that meets no question about mode or profile.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Final, Protocol

from ipsecfd.driver.causes import (
    LOOPBACK,
    NO_FILTER,
    PORTS_UNKNOWN,
    UNFILTERED_IPV6,
    by_mode,
    dropped,
    exempted,
)
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.driver.exemptions import (
    EXEMPTION_PORTS,
    PROFILES,
    Profile,
    always_exempt,
    default_exemption,
    dhcp_exemption,
)
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.driver.packet import COPY_RANGE, EXTENSION_HEADERS, Malformed, Packet, parse
from ipsecfd.driver.sides import Roles
from ipsecfd.driver.stateful import Conversations
from ipsecfd.driver.table import Candidates, Lookup, Table
from ipsecfd.policy.model import ICMPV6, TCP, UDP

FLOW_MEMORY: Final = 32_768
"""Flows of TCP, of UDP and of all others remembered per judge; all of them are forgotten when there
are more."""

DIALUP_INTERFACES: Final = ("ppp*", "tun*", "wg*")
"""Interfaces that count as dial-up; a choice (spec 1.4)."""


class Judge(Protocol):
    """Decides about packets of one direction; `cut` as for `packet.parse`."""

    def __call__(self, data: bytes, cut: bool = False) -> Decision:
        """The decision about one packet."""


@dataclass(frozen=True, slots=True)
class Settings:
    """All that packets are judged by; the last four are the packet process' own, no Driver's."""

    mode: Mode = Mode.SECURE
    profile: Profile = PROFILES["linux"]
    exempt: int = 3
    """NoDefaultExempt, 0 to 3 (spec 4.1)."""
    host: Host = field(default_factory=Host)
    boot_exemptions: tuple[BootExemption, ...] = ()
    table: Table = field(default_factory=lambda: Table({}))
    """The filters for packets on LAN interfaces."""
    dialup_table: Table | None = None
    """The filters for packets on dial-up interfaces, where they differ."""
    dialup_interfaces: tuple[str, ...] = DIALUP_INTERFACES
    generation: int = 0
    """The number that verdicts carry by which the kernel may learn flows; 0 for none."""
    learn_blocked: frozenset[Direction] = frozenset()
    """Directions in which blocked flows may be learnt as well as permitted ones."""
    candidate: Settings | None = None
    """What packets are judged by a second time, only to compare; then nothing may be learnt, since
    packets of learnt flows meet no judge."""
    comparison: int = 0
    """The number of that comparison: what is found under another number is no part of it."""

    @property
    def by_interface(self) -> bool:
        """Whether it matters on which interface a packet is."""
        return self.dialup_table is not None or (
            self.candidate is not None and self.candidate.by_interface
        )


def is_dialup(interface: str, patterns: Iterable[str]) -> bool:
    """Whether an interface counts as dial-up: shell patterns on its name (spec 1.4)."""
    return any(fnmatchcase(interface, pattern) for pattern in patterns)


class Driver:
    """Judges packets by fixed Settings. `clock` gives seconds that only grow.

    A driver that replaces `previous` in stateful mode, because an address came, goes on with its
    conversations; any other change of mode ends them (spec 6.4).
    """

    def __init__(
        self, settings: Settings, clock: Callable[[], float], previous: Driver | None = None
    ) -> None:
        self.settings = settings
        roles = Roles(settings.host, settings.profile)
        self._roles = roles
        self._conversations: Conversations = (
            previous._conversations
            if previous is not None
            and previous.settings.mode is settings.mode is Mode.STARTUP_STATEFUL
            else Conversations(clock)
        )
        self._judges: dict[tuple[Direction, bool], Judge] = {}
        for direction in Direction:
            judge = self._make_judge(direction, roles, settings.table)
            self._judges[direction, False] = judge
            self._judges[direction, True] = (
                judge
                if settings.dialup_table is None
                else self._make_judge(direction, roles, settings.dialup_table)
            )

    def judge(self, direction: Direction, *, dialup: bool = False) -> Judge:
        """The judge of packets on a real interface, which is never the loopback one."""
        return self._judges[direction, dialup]

    def decide(
        self, data: bytes, direction: Direction, interface: str | None = None, cut: bool = False
    ) -> Decision:
        """Decide about one packet.

        Without an interface, as in a capture, what goes from the host to itself is loopback by its
        addresses; on a named one only `lo` is, so that a forged source opens nothing (spec 4.2).
        """
        if interface == "lo" or (interface is None and is_loopback(data, self._roles, cut)):
            return LOOPBACK
        dialup = interface is not None and is_dialup(interface, self.settings.dialup_interfaces)
        return self._judges[direction, dialup](data, cut)

    @property
    def refused_conversations(self) -> int:
        """Entries that stateful mode could not make because its memory was full."""
        return self._conversations.refused

    def _make_judge(self, direction: Direction, roles: Roles, table: Table) -> Judge:
        settings = self.settings
        match settings.mode:
            case Mode.PERMIT | Mode.STARTUP_PERMIT:
                return _always(by_mode(settings.mode, Verdict.PERMIT))
            case Mode.SECURE:
                return _secure(direction, settings, roles, table)
            case Mode.BLOCK:
                return _block(direction, settings)
            case _:
                return _startup(direction, settings, self._conversations)


def is_loopback(data: bytes, roles: Roles, cut: bool = False) -> bool:
    """Whether a packet is loopback by its addresses: one of 127.0.0.0/8 or ::1, or from the host
    to itself (spec 4.2)."""
    packet = parse(data, cut)
    if isinstance(packet, Malformed):
        return False
    ends = (packet.source, packet.destination)
    if packet.family == 4:
        if any(end >> 24 == 127 for end in ends):
            return True
    elif 1 in ends:
        return True
    return all(roles.is_me(packet.family, end) for end in ends)


def _read(data: bytes, cut: bool, direction: Direction) -> Packet | Malformed:
    """What `parse` says; of an inbound packet also that its destination is not the last one.

    The kernel goes on with such a packet, also to another address of the host, and asks nobody.
    """
    packet = parse(data, cut)
    if direction is Direction.IN and isinstance(packet, Packet) and packet.goes_on:
        return _GOES_ON
    return packet


def _source_routed(packet: Packet, roles: Roles) -> bool:
    """Whether a routed IPv4 packet with options is for the host itself: with the option that names
    further destinations the kernel writes the next one only after this (FORWARD)."""
    return roles.is_me(4, packet.destination)


_SOURCE_ROUTE: Final = "IPv4 source route"
_GOES_ON: Final = Malformed("IPv6 routing header with segments left")


def _leaves_alone(profile: Profile, data: bytes) -> bool:
    """Whether this is native IPv6 in a profile that never looks at it, not even for damage."""
    return not profile.filters_ipv6 and len(data) > 0 and data[0] >> 4 == 6


def _always(decision: Decision) -> Judge:
    def judge(data: bytes, cut: bool = False) -> Decision:  # noqa: ARG001 - the shape of a Judge
        return decision

    return judge


def _block(direction: Direction, settings: Settings) -> Judge:
    """Operational block: no boot exemptions, no DHCP, no IPv6 (spec 6.5, X4, M16, M17)."""
    blocked = by_mode(settings.mode, Verdict.BLOCK)

    def judge(data: bytes, cut: bool = False) -> Decision:
        packet = _read(data, cut, direction)
        if isinstance(packet, Malformed):
            return dropped(Reason.MALFORMED, packet.why)
        name = always_exempt(packet, direction, settings.profile)
        return blocked if name is None else exempted(name)

    return judge


def _startup(direction: Direction, settings: Settings, conversations: Conversations) -> Judge:
    """Start-up modes block and stateful: boot exemptions and DHCP pass (spec 6.1 to 6.4)."""
    profile = settings.profile
    stateful = settings.mode is Mode.STARTUP_STATEFUL
    blocked = by_mode(settings.mode, Verdict.BLOCK)
    permitted = by_mode(settings.mode, Verdict.PERMIT)
    boot = {exemption: exempted(f"EX:BOOT {exemption}") for exemption in settings.boot_exemptions}

    def judge(data: bytes, cut: bool = False) -> Decision:
        if _leaves_alone(profile, data):
            return UNFILTERED_IPV6
        packet = _read(data, cut, direction)
        if isinstance(packet, Malformed):
            return dropped(Reason.MALFORMED, packet.why)
        if packet.short_fragment:
            return dropped(Reason.FRAGMENT, packet.short_fragment)
        name = always_exempt(packet, direction, profile)
        if name is not None:  # opens no conversation: any neighbour can ask for such an answer
            return exempted(name)
        if stateful and direction is Direction.OUT:
            conversations.sent(packet)
        name = dhcp_exemption(packet, direction, profile)
        if name is not None:
            return exempted(name)
        for exemption, decision in boot.items():
            if exemption.matches(packet, direction):
                return decision
        if stateful and (
            direction is Direction.OUT
            or (direction is Direction.IN and conversations.expected(packet))
        ):
            return permitted
        return blocked

    return judge


_JUDGED_ONE_BY_ONE: Final = EXTENSION_HEADERS | {ICMPV6}
"""Next headers of IPv6 behind which there is more to look at: of ICMPv6 its type."""
_LEARNABLE: Final = (Reason.FILTER, Reason.NO_FILTER, Reason.EXEMPTION)
"""Not what a negotiation decides, which may end otherwise for the next packet."""
_head: Final = struct.Struct("!BxHHHxBxx12s").unpack_from
"""First byte; of IPv4 the length, identification, flags with offset, protocol, and addresses with
ports. Of IPv6 the third is the payload's length, and the fourth begins with the next header."""


def _secure(direction: Direction, settings: Settings, roles: Roles, table: Table) -> Judge:
    """Secure mode: exemptions, then filters, and what matches none passes (spec 3, 4, 5).

    Decisions about whole packets are remembered by flow: they depend on nothing else. From the
    second packet of a flow on they may be learnt by the kernel, too; a flow of one packet is not
    worth it there.
    """
    profile, exempt = settings.profile, settings.exempt
    ipv6 = profile.filters_ipv6
    lookup = Lookup(table, roles, direction)
    # By addresses and ports, as they stand side by side in the packet; others by protocol, too.
    portless: dict[bytes, Decision] = {}
    of_protocol = [portless] * 256
    of_protocol[TCP], of_protocol[UDP] = {}, {}
    twins: dict[Decision, Decision] = {}

    def judge(data: bytes, cut: bool = False) -> Decision:
        size = len(data)
        if size < 24:
            return decide(data, cut)[0]
        first, length, payload, flags, protocol, flow = _head(data)
        flows: dict[bytes, Decision]
        if first == 0x45 and not flags & 0x3FFF:  # no options, no fragment
            flows = of_protocol[protocol]
            if flows is portless:
                flow = data[9:10] + data[12:20]
            whole = length >= 24
        elif ipv6 and first >> 4 == 6 and size >= 44 and flags >> 8 not in _JUDGED_ONE_BY_ONE:
            protocol = flags >> 8
            flows = of_protocol[protocol]
            flow = data[6:7] + data[8:40] if flows is portless else data[8:44]
            length = payload + 40
            whole = length >= 44
        else:
            return decide(data, cut)[0]
        if not whole or (length > size and not (cut or size >= COPY_RANGE)):
            return decide(data, cut)[0]
        decision = flows.get(flow)
        if decision is not None:
            return decision
        if flows is portless:
            return others(data, cut, flow, flows)
        # A flood of new flows is made of these, so they are looked up as they are, without the
        # detour of a Packet, where no exemption can apply.
        ends, ports = flow[:-4], int.from_bytes(flow[-4:], "big")
        candidates = lookup.between(ends)
        if (
            candidates.group is not None
            or ports >> 16 in EXEMPTION_PORTS
            or ports & 0xFFFF in EXEMPTION_PORTS
        ):
            return others(data, cut, flow, flows)
        decision = lookup.find_ported(ends, protocol, ports) or NO_FILTER
        remember(flows, flow, decision, candidates)
        return decision

    def others(data: bytes, cut: bool, flow: bytes, flows: dict[bytes, Decision]) -> Decision:
        decision, packet = decide(data, cut)
        if packet is not None and not packet.fragment:
            remember(flows, flow, decision, lookup.between(packet.ends))
        return decision

    def remember(
        flows: dict[bytes, Decision], flow: bytes, decision: Decision, candidates: Candidates
    ) -> None:
        """For later packets of a flow: the learnable decision, or the same where none may be."""
        if len(flows) >= FLOW_MEMORY:
            flows.clear()
        flows[flow] = (twins.get(decision) or twin(decision)) if candidates.settled else decision

    def twin(decision: Decision) -> Decision:
        learnable = decision.reason in _LEARNABLE
        twins[decision] = replace(decision, learnable=True) if learnable else decision
        return twins[decision]

    def decide(data: bytes, cut: bool) -> tuple[Decision, Packet | None]:
        if _leaves_alone(profile, data):
            return UNFILTERED_IPV6, None
        packet = _read(data, cut, direction)
        if isinstance(packet, Malformed):
            return dropped(Reason.MALFORMED, packet.why), None
        if (
            direction is Direction.FORWARD
            and 0x45 < data[0] < 0x50
            and _source_routed(packet, roles)
        ):
            return dropped(Reason.MALFORMED, _SOURCE_ROUTE), packet
        if packet.short_fragment:
            return dropped(Reason.FRAGMENT, packet.short_fragment), packet
        name = always_exempt(packet, direction, profile) or default_exemption(
            packet,
            direction,
            profile,
            exempt,
            group=lookup.between(packet.ends).group,
        )
        if name is not None:
            return exempted(name), packet
        if packet.later_fragment:
            decision, in_doubt = lookup.find_for_fragment(packet)
            if in_doubt:
                return dropped(Reason.FRAGMENT, PORTS_UNKNOWN), packet
        else:
            decision = lookup.find(packet)
        return decision or NO_FILTER, packet

    return judge
