"""What is tried and what was seen of it: a probe is one packet or one exchange between hosts."""

from __future__ import annotations

import enum
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from ipsecfd.lab.craft import TCP_FLAGS
from ipsecfd.lab.namespaces import LabError
from ipsecfd.policy.model import (
    ICMP,
    ICMPV6,
    PROTOCOL_NUMBERS,
    RAW,
    TCP,
    UDP,
    IPAddress,
    protocol_name,
)

Record: TypeAlias = Mapping[str, Any]
"""A line of the diagnostic log."""

FORM: Final = "PROTOCOL SOURCE[:PORT] -> DESTINATION[:PORT]"
_EXAMPLE: Final = "tcp 203.0.113.66:1025 -> 192.0.2.10:80"
_LINE: Final = re.compile(r"(?P<protocol>\S+)\s+(?P<source>\S+)\s*->\s*(?P<destination>\S+)")
_END: Final = re.compile(
    r"\[(?P<bracketed>[^\]]*)\](?::(?P<port6>\d{1,5}))?"
    r"|(?P<plain>[^:]*)(?::(?P<port4>\d{1,5}))?"
    r"|(?P<bare>.*:.*)"
)


class Kind(enum.Enum):
    """How much of an exchange a probe is."""

    CONNECTION = "connection"
    """A TCP connection: passes when data came back, so packets must pass both ways."""
    PING = "ping"
    """An ICMP echo request: passes when the reply came back."""
    PACKET = "packet"
    """One packet, one way: passes when a socket of the receiver got it."""


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to try. Ports that are 0 are chosen by the lab; hosts follow from the addresses."""

    kind: Kind
    protocol: int
    source: IPAddress
    destination: IPAddress
    source_port: int = 0
    destination_port: int = 0
    sender: str = ""
    """The sending host; needed only where no host has the source address (it is forged then)."""
    receiver: str = ""
    """The receiving host; empty: the one that has the address, or all others of a group."""
    flags: str = ""
    """TCP flags, such as `S` or `SA`; with them it is a single segment."""
    icmp_type: int | None = None
    """Type of an ICMP or ICMPv6 packet; None is an echo request."""
    size: int = 0
    """Bytes of payload; above the MTU the sender's kernel makes fragments."""
    mark: int = 0
    """SO_MARK of the sending socket."""
    hop_limit: int | None = None
    raw: tuple[bytes, ...] = ()
    """Whole IP packets to send as they are. They count as arrived when a raw socket of their
    protocol gets the last eight bytes of the last one."""

    @classmethod
    def parse(cls, text: str, **options: Any) -> Probe:
        """Read `tcp 203.0.113.66:1025 -> 192.0.2.10:80`; options are further fields.

        The protocol is `tcp` (a connection, or with `flags` one segment), `ping`, `udp`, `icmp`,
        `icmpv6` or a number. Raises LabError, naming the piece and what was expected.
        """
        match = _LINE.fullmatch(text.strip())
        if match is None:
            raise LabError(f"{text!r}: expected {FORM}, such as {_EXAMPLE}")
        source, source_port = _end(match["source"])
        destination, destination_port = _end(match["destination"])
        if source.version != destination.version:
            raise LabError(f"{text!r}: expected both addresses of one family")
        kind, protocol = _protocol(match["protocol"], source.version)
        if options.get("flags") or options.get("raw"):
            kind = Kind.PACKET
        probe = cls(kind, protocol, source, destination, source_port, destination_port, **options)
        _check(text, probe)
        return probe

    def __str__(self) -> str:
        name = "ping" if self.kind is Kind.PING else protocol_name(self.protocol)
        source = _with_port(self.source, self.source_port)
        return f"{name} {source} -> {_with_port(self.destination, self.destination_port)}"


class Outcome(enum.Enum):
    """What became of a probe."""

    PASS = "pass"
    DROP = "drop"
    REFUSED = "refused"
    """A reset came back: neither what a permit nor what a block does."""
    FAILED = "failed"
    """It could not be sent at all."""

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a probe."""

    probe: Probe
    """As it was sent, with the ports that the lab chose."""
    outcome: Outcome
    how: str
    """How that showed."""
    records: tuple[Record, ...] = ()
    """The records of the diagnostic log about its packets, in either direction."""
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether it arrived."""
        return self.outcome is Outcome.PASS


def concerns(record: Record, probe: Probe, direction: str) -> bool:
    """Whether a log record is about a probe's packet, or about the answer that it waits for.

    `direction` is the probe's, `in` or `out`, seen from the host that logs: what a host multicasts
    comes back to it, and the log may well have a copy that came in and was dropped.
    """
    try:
        ends = (
            (ipaddress.ip_address(record["source"]), record.get("source_port")),
            (ipaddress.ip_address(record["destination"]), record.get("destination_port")),
        )
    except (KeyError, ValueError):
        return False
    protocol = record.get("protocol")
    if isinstance(protocol, str):
        protocol = PROTOCOL_NUMBERS.get(protocol, int(protocol) if protocol.isdigit() else None)
    if protocol not in (None, probe.protocol):
        return False
    sent = (
        (probe.source, probe.source_port),
        (probe.destination, probe.destination_port),
    )
    logged = record.get("direction")
    if logged == direction:
        return _same(ends, sent)
    return probe.kind is not Kind.PACKET and _same(ends, (sent[1], sent[0]))


_Ends: TypeAlias = tuple[tuple[IPAddress, int | None], tuple[IPAddress, int | None]]


def _same(logged: _Ends, sent: _Ends) -> bool:
    """Whether two packets have the same ends; ports that the log could not know fit any."""
    return all(
        theirs[0] == ours[0] and (not theirs[1] or theirs[1] == ours[1])
        for theirs, ours in zip(logged, sent, strict=True)
    )


def _protocol(text: str, version: int) -> tuple[Kind, int]:
    if text == "ping":
        return Kind.PING, ICMP if version == 4 else ICMPV6
    if text == "tcp":
        return Kind.CONNECTION, TCP
    number = PROTOCOL_NUMBERS.get(text, int(text) if text.isascii() and text.isdigit() else 0)
    if 0 < number < RAW:
        return Kind.PACKET, number
    raise LabError(
        f"protocol {text!r}: expected tcp, udp, ping, icmp, icmpv6 or a number from 1 to 254"
    )


def _end(text: str) -> tuple[IPAddress, int]:
    match = _END.fullmatch(text)
    address = match and (match["bracketed"] or match["plain"] or match["bare"])
    port = int(match["port6"] or match["port4"] or 0) if match else 0
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        found = None
    if found is None or port > 65535:
        raise LabError(
            f"{text!r}: expected an address and perhaps a port, such as 192.0.2.10,"
            " 192.0.2.10:80, 2001:db8::10 or [2001:db8::10]:80"
        )
    return found, port


def _with_port(address: IPAddress, port: int) -> str:
    if not port:
        return str(address)
    return f"{address}:{port}" if address.version == 4 else f"[{address}]:{port}"


def _check(text: str, probe: Probe) -> None:
    """Raise LabError for a combination that cannot be sent."""
    if probe.protocol in (TCP, UDP):
        if not probe.destination_port and not probe.raw:
            raise LabError(f"{text!r}: tcp and udp need a destination port")
    elif probe.source_port or probe.destination_port:
        raise LabError(f"{text!r}: only tcp and udp have ports")
    if probe.flags and (probe.protocol != TCP or not set(probe.flags) <= set(TCP_FLAGS)):
        raise LabError(
            f"{text!r}: flags {probe.flags!r}: expected letters of {''.join(TCP_FLAGS)}, for tcp"
        )
    if probe.icmp_type is not None and (
        probe.protocol not in (ICMP, ICMPV6) or probe.kind is not Kind.PACKET
    ):
        raise LabError(f"{text!r}: only icmp and icmpv6 packets have a type")
