"""The binary values of a policy store as Windows writes them (spec 8.6).

They know nothing of the program's reader, so that each checks the other.
"""

from __future__ import annotations

import struct
import uuid

from ipsecfd.policy.registry.layout import Filter1, Filter2, FilterBlob, Offer, RuleBlob

POLICY = uuid.UUID("22202163-4f4c-11d1-863b-00a0248d3021")
RULE = uuid.UUID("11bbac00-498d-11d1-8639-00a0248d3021")
NEGOTIATION = uuid.UUID("80dc20b9-2ec8-11d1-a89e-00a0248d3021")
FILTERS = uuid.UUID("80dc20b5-2ec8-11d1-a89e-00a0248d3021")
FILTERS_2 = uuid.UUID("35fecd3d-ae29-4373-8a6a-c5d8fab2fb08")

_OFFER = struct.Struct("<IIIII60s")
_FILTER_TAIL = struct.Struct("<4s4s4s4s4sIHHBBH")
_ADDRESS_2 = struct.Struct("<II16s16s")
_PORTS_2 = struct.Struct("<IHH")
_ALGORITHM = struct.Struct("<IIIII")


def build_policy(seconds: int) -> bytes:
    """The binary value of a policy; `seconds` is its polling interval."""
    return POLICY.bytes_le + struct.pack("<IIx", 4, seconds)


def build_rule(rule: RuleBlob) -> bytes:
    """The binary value of a rule."""
    methods = b"".join(
        struct.pack("<II", one.type, len(one.data)) + one.data for one in rule.methods
    )
    body = (
        struct.pack("<I", len(rule.methods))
        + methods
        + struct.pack("<I", rule.interface_type)
        + _string(rule.interface_name)
        + rule.tunnel.packed
        + struct.pack("<II", rule.is_tunnel, rule.active)
        + _string(rule.tunnel_name)
    )
    return RULE.bytes_le + struct.pack("<I", len(body)) + body + b"\0"


def build_negotiation(offers: tuple[Offer, ...]) -> bytes:
    """The binary value of a negotiation policy."""
    body = struct.pack("<I", len(offers)) + b"".join(
        _OFFER.pack(
            one.seconds,
            one.kilobytes,
            one.flags,
            one.pfs,
            len(one.algorithms),
            b"".join(
                _ALGORITHM.pack(
                    each.operation,
                    each.identifier,
                    each.secondary,
                    each.key_length,
                    each.rounds,
                )
                for each in one.algorithms
            ),
        )
        for one in offers
    )
    return NEGOTIATION.bytes_le + struct.pack("<I", len(body)) + body + b"\0"


def build_filters(blob: FilterBlob, *, newer: bool = False) -> bytes:
    """The binary value of a filter list; `newer` systems leave the count out of the length."""
    body = b"".join(map(_built_1, blob.filters))
    length = len(body) + (0 if newer else 4)
    built = FILTERS.bytes_le + struct.pack("<II", length, len(blob.filters)) + body
    if blob.override is not None:
        body = b"".join(map(_built_2, blob.filters_2))
        built += FILTERS_2.bytes_le
        built += struct.pack("<III", len(body) + 8, blob.override, len(blob.filters_2)) + body
    return built + b"\0"


def _string(text: str) -> bytes:
    data = f"{text}\0".encode("utf-16-le")
    return struct.pack("<I", len(data)) + data


def _head(one: Filter1 | Filter2) -> bytes:
    texts = (one.source_name, one.destination_name, one.description)
    return b"".join(map(_string, texts)) + one.guid.bytes_le + struct.pack("<I", one.mirrored)


def _built_1(one: Filter1) -> bytes:
    addresses = (one.source, one.source_mask, one.destination, one.destination_mask, one.tunnel)
    return _head(one) + _FILTER_TAIL.pack(
        *(address.packed for address in addresses),
        one.protocol,
        one.source_port,
        one.destination_port,
        one.is_tunnel,
        one.special,
        0,
    )


def _built_2(one: Filter2) -> bytes:
    return (
        _head(one)
        + b"".join(
            _ADDRESS_2.pack(side.kind, side.version, side.address, side.end)
            for side in (one.source, one.destination)
        )
        + b"".join(
            _PORTS_2.pack(ports.kind, ports.first, ports.last)
            for ports in (one.source_ports, one.destination_ports)
        )
        + struct.pack("<II", one.protocol, one.flags)
    )
