"""The binary values of a policy store, read (spec 8.6).

Integers are little-endian, addresses in network byte order; strings are UTF-16 with a length in
bytes that includes their final NUL. What a store repeats elsewhere (lengths of the whole) is not
trusted, what counts things is. Any bytes give a value or a BlobError.
"""

from __future__ import annotations

import struct
import uuid
from ipaddress import IPv4Address
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.registry.layout import (
    Address2,
    Algorithm,
    Filter1,
    Filter2,
    FilterBlob,
    Method,
    Offer,
    Ports2,
    RuleBlob,
)

_POLICY: Final = uuid.UUID("22202163-4f4c-11d1-863b-00a0248d3021")
_RULE: Final = uuid.UUID("11bbac00-498d-11d1-8639-00a0248d3021")
_NEGOTIATION: Final = uuid.UUID("80dc20b9-2ec8-11d1-a89e-00a0248d3021")
_FILTERS: Final = uuid.UUID("80dc20b5-2ec8-11d1-a89e-00a0248d3021")
_FILTERS_2: Final = uuid.UUID("35fecd3d-ae29-4373-8a6a-c5d8fab2fb08")

_OFFER: Final = struct.Struct("<IIIII60s")
_FILTER_TAIL: Final = struct.Struct("<4s4s4s4s4sIHHBBH")
_ADDRESS_2: Final = struct.Struct("<II16s16s")
_PORTS_2: Final = struct.Struct("<IHH")
_ALGORITHM: Final = struct.Struct("<IIIII")
_MAX_ALGORITHMS: Final = 3
_LEAST_FILTER_1: Final = 3 * 4 + 16 + 4 + _FILTER_TAIL.size
_LEAST_FILTER_2: Final = 3 * 4 + 16 + 4 + 2 * _ADDRESS_2.size + 2 * _PORTS_2.size + 8


class BlobError(IpsecfdError):
    """Bytes that are no such value: where they stop making sense, and what was expected there."""

    def __init__(self, offset: int, expected: str) -> None:
        super().__init__(offset, expected)
        self.offset = offset
        self.expected = expected

    def __str__(self) -> str:
        return f"ipsecData, byte {self.offset}: expected {self.expected}"


def parse_policy(data: bytes) -> int:
    """The polling interval in seconds of an `ipsecPolicy`. Raises BlobError."""
    bytes_ = _Reader(data, _POLICY, "a policy")
    bytes_.u32()
    seconds = bytes_.u32()
    bytes_.end()
    return seconds


def parse_rule(data: bytes) -> RuleBlob:
    """What an `ipsecNFA` says; extensions behind it are skipped. Raises BlobError."""
    bytes_ = _Reader(data, _RULE, "a rule")
    bytes_.u32()
    methods = tuple(
        Method(bytes_.u32(), bytes_.take(bytes_.u32(), "an authentication method's data"))
        for _ in range(bytes_.count(8, "authentication methods"))
    )
    return RuleBlob(
        methods,
        bytes_.u32(),
        bytes_.string(),
        IPv4Address(bytes_.take(4, "the tunnel's address")),
        bytes_.u32() != 0,
        bytes_.u32() != 0,
        bytes_.string(),
    )


def parse_negotiation(data: bytes) -> tuple[Offer, ...]:
    """The offers of an `ipsecNegotiationPolicy`. Raises BlobError."""
    bytes_ = _Reader(data, _NEGOTIATION, "a negotiation policy")
    bytes_.u32()
    offers = tuple(_offer(bytes_) for _ in range(bytes_.count(_OFFER.size, "offers")))
    bytes_.end()
    return offers


def parse_filters(data: bytes) -> FilterBlob:
    """The filters of an `ipsecFilter`. Raises BlobError."""
    bytes_ = _Reader(data, _FILTERS, "a filter list")
    bytes_.u32()
    filters = tuple(_filter_1(bytes_) for _ in range(bytes_.count(_LEAST_FILTER_1, "filters")))
    if not bytes_.next_is(_FILTERS_2):
        bytes_.end()
        return FilterBlob(filters)
    bytes_.take(20, "version 2 of the filters")
    override = bytes_.u32()
    filters_2 = tuple(
        _filter_2(bytes_) for _ in range(bytes_.count(_LEAST_FILTER_2, "version 2 filters"))
    )
    bytes_.end()
    return FilterBlob(filters, filters_2, override)


class _Reader:
    """Takes pieces off the front of a value that begins with the GUID of its kind."""

    def __init__(self, data: bytes, guid: uuid.UUID, kind: str) -> None:
        self._data = data
        self.at = 0
        if self.take(16, f"{{{guid}}}, which begins {kind}") != guid.bytes_le:
            raise BlobError(0, f"{{{guid}}}, which begins {kind}")

    def take(self, size: int, what: str) -> bytes:
        taken = self._data[self.at : self.at + size]
        if len(taken) != size:
            raise BlobError(self.at, f"{what}: {size} bytes, not {len(taken)}")
        self.at += size
        return taken

    def u32(self) -> int:
        return int.from_bytes(self.take(4, "a number"), "little")

    def count(self, least: int, what: str) -> int:
        """How many things follow, each of at least so many bytes."""
        number = self.u32()
        if number * least > len(self._data) - self.at:
            raise BlobError(self.at - 4, f"no more {what} than there is room for, not {number}")
        return number

    def string(self) -> str:
        at = self.at
        data = self.take(self.u32(), "text")
        try:
            return data.decode("utf-16-le").partition("\0")[0]
        except UnicodeDecodeError as error:
            raise BlobError(at + 4 + error.start, "text in UTF-16") from error

    def guid(self) -> uuid.UUID:
        return uuid.UUID(bytes_le=self.take(16, "a GUID"))

    def next_is(self, guid: uuid.UUID) -> bool:
        return self._data.startswith(guid.bytes_le, self.at)

    def end(self) -> None:
        """Nothing but padding may follow."""
        rest = self._data[self.at :]
        if rest.strip(b"\0"):
            raise BlobError(self.at, f"the end, not {len(rest)} more bytes")


def _offer(bytes_: _Reader) -> Offer:
    seconds, kilobytes, flags, pfs, count, algorithms = _OFFER.unpack(
        bytes_.take(_OFFER.size, "an offer")
    )
    if count > _MAX_ALGORITHMS:
        raise BlobError(bytes_.at - 64, f"up to {_MAX_ALGORITHMS} algorithms, not {count}")
    used = algorithms[: count * _ALGORITHM.size]
    made = tuple(Algorithm(*numbers) for numbers in _ALGORITHM.iter_unpack(used))
    return Offer(seconds, kilobytes, flags, pfs != 0, made)


def _filter_1(bytes_: _Reader) -> Filter1:
    source_name, destination_name = bytes_.string(), bytes_.string()
    description, guid, mirrored = bytes_.string(), bytes_.guid(), bytes_.u32() != 0
    tail = _FILTER_TAIL.unpack(bytes_.take(_FILTER_TAIL.size, "a filter"))
    *addresses, protocol, source_port, destination_port, is_tunnel, special, _options = tail
    source, source_mask, destination, destination_mask, tunnel = map(IPv4Address, addresses)
    return Filter1(
        source,
        source_mask,
        destination,
        destination_mask,
        protocol,
        source_port,
        destination_port,
        mirrored,
        source_name,
        destination_name,
        description,
        guid,
        tunnel,
        is_tunnel != 0,
        special,
    )


def _filter_2(bytes_: _Reader) -> Filter2:
    source_name, destination_name = bytes_.string(), bytes_.string()
    description, guid, mirrored = bytes_.string(), bytes_.guid(), bytes_.u32() != 0
    source, destination = (
        Address2(*_ADDRESS_2.unpack(bytes_.take(_ADDRESS_2.size, "an address"))) for _ in range(2)
    )
    source_ports, destination_ports = (
        Ports2(*_PORTS_2.unpack(bytes_.take(_PORTS_2.size, "ports"))) for _ in range(2)
    )
    return Filter2(
        source,
        destination,
        source_ports,
        destination_ports,
        bytes_.u32(),
        bytes_.u32(),
        mirrored,
        source_name,
        destination_name,
        description,
        guid,
    )
