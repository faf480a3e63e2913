"""A dropped packet as the log tells it: the fields of spec 7.2, read from its first bytes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from ipsecfd.agent.drops import DropRecord
from ipsecfd.driver.decision import Direction, Reason
from ipsecfd.driver.packet import EXTENSION_HEADERS, Malformed, parse, to_address
from ipsecfd.policy.model import ICMP, ICMPV6, PROTOCOL_NAMES, TCP, UDP

INVALID_SYNTAX, DROPPED_INBOUND, DROPPED_OUTBOUND = 4286, 4289, 4290
"""Windows' event numbers."""

_NAMED_PROTOCOLS = (ICMP, TCP, UDP, ICMPV6)
_TCP_FLAGS = ((2, "S"), (1, "F"), (4, "R"), (8, "P"), (16, "A"), (32, "U"), (64, "E"), (128, "C"))
_IPV6_FRAGMENT = 44


def interface_name(index: int) -> str | None:
    """The name of a network interface, `#7` when it is gone, or None for 0."""
    if not index:
        return None
    try:
        return socket.if_indextoname(index)
    except (OSError, OverflowError):
        return f"#{index}"


def drop_fields(
    drop: DropRecord, interfaces: Callable[[int], str | None] = interface_name
) -> dict[str, Any]:
    """A drop as the log has it (spec 7.2); times still in seconds. Any bytes are fine."""
    decision = drop.decision
    outbound = drop.direction is Direction.OUT
    event = DROPPED_OUTBOUND if outbound else DROPPED_INBOUND
    fields: dict[str, Any] = {
        "time": drop.first,
        "event": INVALID_SYNTAX if decision.reason is Reason.MALFORMED else event,
        "direction": str(drop.direction),
        "interface": interfaces(drop.interface),
        **header_fields(drop.data),
        "reason": decision.reason.value,
        "policy": decision.policy,
        "version": decision.version,
        "rule": decision.rule,
        "filter_list": decision.filter_list,
        "filter": decision.filter,
        "mirrored": decision.mirrored,
        "detail": decision.detail,
        "count": drop.packets,
    }
    if drop.packets > 1:
        fields |= {"first": drop.first, "last": drop.last, "mixed": drop.mixed}
    return fields


def header_fields(data: bytes) -> dict[str, Any]:
    """What the log says of a packet; None for what its headers do not tell."""
    fields: dict[str, Any] = dict.fromkeys(
        ("source", "destination", "protocol", "source_port", "destination_port")
    )
    packet = parse(data, cut=True)
    if isinstance(packet, Malformed):
        fields |= _addresses(data)
    else:
        fields["source"] = str(packet.source_address)
        fields["destination"] = str(packet.destination_address)
        fields["protocol"] = (
            PROTOCOL_NAMES[packet.protocol]
            if packet.protocol in _NAMED_PROTOCOLS
            else packet.protocol
        )
        if packet.has_ports:
            fields["source_port"] = packet.source_port
            fields["destination_port"] = packet.destination_port
    fields["length"] = _length(data)
    fields["tcp_flags"] = (
        None
        if isinstance(packet, Malformed) or packet.protocol != TCP or not packet.has_ports
        else _tcp_flags(data)
    )
    return fields


def _addresses(data: bytes) -> dict[str, str]:
    """The addresses of a packet that is malformed otherwise, as far as there are any."""
    for family, size, first, length in ((4, 20, 12, 4), (6, 40, 8, 16)):
        if len(data) >= size and data[0] >> 4 == family:
            ends = (data[first : first + length], data[first + length : first + 2 * length])
            source, destination = (to_address(family, int.from_bytes(end, "big")) for end in ends)
            return {"source": str(source), "destination": str(destination)}
    return {}


def _length(data: bytes) -> int | None:
    """The length in the IP header, in bytes; 0 there is what large segments have, and no length."""
    if len(data) >= 20 and data[0] >> 4 == 4:
        return int.from_bytes(data[2:4], "big") or None
    if len(data) >= 40 and data[0] >> 4 == 6:
        payload = int.from_bytes(data[4:6], "big")
        return payload + 40 if payload else None
    return None


def _tcp_flags(data: bytes) -> str | None:
    """The flags of a TCP packet as letters, such as `SA`."""
    position = (data[0] & 0x0F) * 4
    if data[0] >> 4 == 6:
        header, position = data[6], 40
        while header in EXTENSION_HEADERS and position + 2 <= len(data):
            size = 8 if header == _IPV6_FRAGMENT else (data[position + 1] + 1) * 8
            header, position = data[position], position + size
    if position + 14 > len(data):
        return None
    return "".join(letter for bit, letter in _TCP_FLAGS if data[position + 13] & bit)
