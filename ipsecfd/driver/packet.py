"""Bytes to the few facts a filter needs: addresses, protocol, ports, fragment state.

Never raises, never reads past the end, never loops: whatever cannot be understood is `Malformed`
and says why. Nothing but headers within the first `COPY_RANGE` bytes is looked at, so a copy of
these is as good as the packet; one whose headers go on behind them is not understood.
"""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass
from typing import Final, NamedTuple

from ipsecfd.policy.model import ICMP, ICMPV6, TCP, UDP, IPAddress

COPY_RANGE: Final = 256
"""How many bytes of each packet are looked at, live and in captures alike."""

_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS = 0, 43, 44, 60
EXTENSION_HEADERS: Final = frozenset({_HOP_BY_HOP, _ROUTING, _FRAGMENT, _DESTINATION_OPTIONS})
"""Headers of IPv6 that stand before the transport protocol's."""
ICMP_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
"""Types of ICMP that answer another packet, whoever sent it; of ICMPv6 it is those below 128."""


class Packet(NamedTuple):
    """The facts of one IP packet; addresses are integers, as the table looks them up.

    A NamedTuple because one is made for every new flow, at a third of a dataclass' cost.
    """

    family: int
    """4 or 6."""
    source: int
    destination: int
    protocol: int | None
    """The transport protocol; None when a fragment hides it (IPv6, behind extension headers)."""
    source_port: int = 0
    destination_port: int = 0
    has_ports: bool = False
    fragment: bool = False
    """Part of a fragmented packet, the first part included."""
    later_fragment: bool = False
    """A fragment with an offset: its ports were in another packet."""
    short_fragment: str | None = None
    """Why this fragment can only be an attack (spec 5, item 3), or None."""
    icmpv6_type: int | None = None
    """The type of an unfragmented ICMPv6 message."""
    icmp_error: bool = False
    """An ICMP or ICMPv6 error, which anybody can have the host send, or part of what may be one."""
    goes_on: bool = False
    """An IPv6 routing header names further destinations."""
    hop_limit: int = 0

    @property
    def ends(self) -> bytes:
        """Both addresses as they stand in the header, 8 or 32 bytes: the source comes first."""
        bits = 32 if self.family == 4 else 128
        return (self.source << bits | self.destination).to_bytes(bits // 4, "big")

    @property
    def source_address(self) -> IPAddress:
        """The source as an address object."""
        return to_address(self.family, self.source)

    @property
    def destination_address(self) -> IPAddress:
        """The destination as an address object."""
        return to_address(self.family, self.destination)


def to_address(family: int, value: int) -> IPAddress:
    """The address object of an integer of family 4 or 6."""
    return ipaddress.IPv4Address(value) if family == 4 else ipaddress.IPv6Address(value)


@dataclass(frozen=True, slots=True)
class Malformed:
    """A packet that is none: what is wrong with it.

    One of a few fixed texts, so that counting them takes no more memory in an attack.
    """

    why: str


def parse(data: bytes, cut: bool = False) -> Packet | Malformed:
    """Read the headers of an IPv4 or IPv6 packet.

    `cut` says that data is only the beginning of what was on the wire; a copy of COPY_RANGE bytes
    or more is taken to be cut anyway. Lengths of zero are what the kernel writes for segments
    above 65,535 bytes and mean "all there is".
    """
    if not data:
        return Malformed("empty packet")
    cut = cut or len(data) >= COPY_RANGE
    version = data[0] >> 4
    if version == 4:
        return _parse_ipv4(data[:COPY_RANGE], cut)
    if version == 6:
        return _parse_ipv6(data[:COPY_RANGE], cut)
    return Malformed("IP version neither 4 nor 6")


_IPV4: Final = struct.Struct("!BxHxxHBBxxII")
_PORTS: Final = struct.Struct("!HH")


def _parse_ipv4(data: bytes, cut: bool) -> Packet | Malformed:
    if len(data) < 20:
        return Malformed("IPv4 header cut short")
    first, total, flags, hop_limit, protocol, source, destination = _IPV4.unpack_from(data)
    header = (first & 0x0F) * 4
    if header < 20:
        return Malformed("IPv4 header length below 20")
    if len(data) < header:
        return Malformed("IPv4 options cut short")
    end = len(data)
    if total:
        if total < header:
            return Malformed("IPv4 total length below the header length")
        if total > end and not cut:
            return Malformed("IPv4 total length beyond the packet")
        end = min(end, total)
    if protocol in (TCP, UDP) and not flags & 0x3FFF and end >= header + 4:
        # By far the most usual packet, and a flood of new flows is made of it: no detours.
        sport, dport = _PORTS.unpack_from(data, header)
        return Packet(4, source, destination, protocol, sport, dport, True, hop_limit=hop_limit)
    offset = (flags & 0x1FFF) * 8  # the field counts units of eight bytes
    more = bool(flags & 0x2000)
    return _transport(
        data[header:end],
        family=4,
        source=source,
        destination=destination,
        protocol=protocol,
        offset=offset,
        fragment=more or offset > 0,
        hop_limit=hop_limit,
    )


def _parse_ipv6(data: bytes, cut: bool) -> Packet | Malformed:
    if len(data) < 40:
        return Malformed("IPv6 header cut short")
    length = int.from_bytes(data[4:6], "big")
    if length:
        if length + 40 > len(data) and not cut:
            return Malformed("IPv6 payload length beyond the packet")
        data = data[: length + 40]
    source = int.from_bytes(data[8:24], "big")
    destination = int.from_bytes(data[24:40], "big")
    hop_limit = data[7]
    header = data[6]
    position = 40
    offset = 0
    fragment = fragmented = goes_on = False
    while header in EXTENSION_HEADERS:
        if header == _HOP_BY_HOP and position != 40:
            return Malformed("IPv6 hop-by-hop options not in first place")
        if position + 8 > len(data):
            if fragmented:  # RFC 7112: the first fragment must hold all headers
                return _hidden_transport(source, destination, hop_limit)
            return _endless_headers(data)
        following = data[position]
        if header == _FRAGMENT:
            if fragmented:
                return Malformed("two IPv6 fragment headers")
            field = int.from_bytes(data[position + 2 : position + 4], "big")
            offset = field & 0xFFF8  # already in bytes: the low three bits are flags
            fragment = bool(offset or field & 1)
            fragmented = fragment
            position += 8
            header = following
            if offset:
                break
            continue
        goes_on = goes_on or (header == _ROUTING and data[position + 3] > 0)
        position += (data[position + 1] + 1) * 8
        header = following
    if position > len(data) and not offset:
        if fragmented:
            return _hidden_transport(source, destination, hop_limit)
        return _endless_headers(data)
    packet = _transport(
        data[position:],
        family=6,
        source=source,
        destination=destination,
        protocol=None if header in EXTENSION_HEADERS else header,
        offset=offset,
        fragment=fragment,
        hop_limit=hop_limit,
    )
    return packet._replace(goes_on=True) if goes_on and isinstance(packet, Packet) else packet


def _endless_headers(data: bytes) -> Malformed:
    if len(data) == COPY_RANGE:
        return Malformed("IPv6 extension headers beyond byte 256")
    return Malformed("IPv6 extension header cut short")


def _hidden_transport(source: int, destination: int, hop_limit: int) -> Packet:
    return Packet(
        6,
        source,
        destination,
        None,
        fragment=True,
        short_fragment="first fragment without its transport header",
        hop_limit=hop_limit,
    )


def _transport(
    payload: bytes,
    *,
    family: int,
    source: int,
    destination: int,
    protocol: int | None,
    offset: int,
    fragment: bool,
    hop_limit: int,
) -> Packet | Malformed:
    if offset:
        overlap = protocol == TCP and offset == 8  # would rewrite the flags of the first fragment
        return Packet(
            family,
            source,
            destination,
            protocol,
            fragment=True,
            later_fragment=True,
            short_fragment="TCP fragment at offset 8" if overlap else None,
            icmp_error=protocol == (ICMP if family == 4 else ICMPV6),
            hop_limit=hop_limit,
        )
    if protocol in (TCP, UDP):
        if len(payload) < 4:
            if fragment:
                return Packet(
                    family,
                    source,
                    destination,
                    protocol,
                    fragment=True,
                    short_fragment="first fragment without ports",
                    hop_limit=hop_limit,
                )
            return Malformed("transport header without ports")
        return Packet(
            family,
            source,
            destination,
            protocol,
            int.from_bytes(payload[0:2], "big"),
            int.from_bytes(payload[2:4], "big"),
            has_ports=True,
            fragment=fragment,
            hop_limit=hop_limit,
        )
    icmpv6 = family == 6 and protocol == ICMPV6 and not fragment
    if icmpv6 and not payload:
        return Malformed("ICMPv6 message without a type")
    return Packet(
        family,
        source,
        destination,
        protocol,
        fragment=fragment,
        icmpv6_type=payload[0] if icmpv6 else None,
        icmp_error=_is_error(family, protocol, payload),
        hop_limit=hop_limit,
    )


def _is_error(family: int, protocol: int | None, payload: bytes) -> bool:
    if family == 4:
        return protocol == ICMP and bool(payload) and payload[0] in ICMP_ERRORS
    return protocol == ICMPV6 and bool(payload) and payload[0] < 128
