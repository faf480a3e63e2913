"""One packet as a line of text, such as `in tcp 203.0.113.66:88 -> 192.0.2.10:445`, to real bytes.

The bytes are a whole, well-formed packet with right checksums, so that the driver judges a text
exactly as it judges what comes from the wire.
"""

from __future__ import annotations

import ipaddress
import socket
import struct
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import ICMP, ICMPV6, PROTOCOL_NUMBERS, TCP, UDP, IPAddress

FORM: Final = "DIRECTION PROTOCOL SOURCE[:PORT] -> DESTINATION[:PORT]"
_EXAMPLE: Final = "in tcp 203.0.113.66:4000 -> 192.0.2.10:80"

_DIRECTIONS: Final = {str(direction): direction for direction in Direction}
_EXTENSION_HEADERS: Final = frozenset({0, 43, 44, 60})
_TTL: Final = 64
_SYN: Final = 0x02


class PacketTextError(IpsecfdError):
    """A text that does not describe a packet; says which piece, and what was expected."""


def parse_packet_text(text: str) -> tuple[Direction, bytes]:
    """The direction and the packet that a text of the form `FORM` describes.

    PROTOCOL is a name or a number. Only TCP and UDP have ports; one that is left out is port 0,
    since a packet cannot leave it open. ICMP and ICMPv6 packets are echo requests.
    Raises PacketTextError.
    """
    left, arrow, destination_text = text.partition("->")
    words = left.split()
    if not arrow or len(words) != 3 or len(destination_text.split()) != 1:
        raise PacketTextError(f"packet {text!r}: expected {FORM}, such as {_EXAMPLE!r}")
    direction = _DIRECTIONS.get(words[0].lower())
    if direction is None:
        raise PacketTextError(f"direction {words[0]!r}: expected in, out or forward")
    protocol = _protocol(words[1])
    source, source_port = _end("source", words[2], protocol)
    destination, destination_port = _end("destination", destination_text.strip(), protocol)
    if source.version != destination.version:
        raise PacketTextError(
            f"packet {text!r}: source is IPv{source.version} and destination"
            f" IPv{destination.version}; expected both of one family"
        )
    if source.version == 6 and protocol in _EXTENSION_HEADERS:
        raise PacketTextError(
            f"protocol {words[1]!r}: in IPv6 this number is an extension header;"
            " expected a transport protocol"
        )
    return direction, build(source, destination, protocol, source_port, destination_port)


def _protocol(text: str) -> int:
    name = text.lower()
    if name.isascii() and name.isdigit():
        number = _number(name, 255)
        if number is None:
            raise PacketTextError(f"protocol {text!r}: expected a number from 0 to 255")
        return number
    if name in PROTOCOL_NUMBERS and name != "any":
        return PROTOCOL_NUMBERS[name]
    try:
        return socket.getprotobyname(name)
    except OSError:
        raise PacketTextError(
            f"protocol {text!r}: expected tcp, udp, icmp, icmpv6, raw,"
            " another name of /etc/protocols, or a number from 0 to 255"
        ) from None


def _number(text: str, most: int) -> int | None:
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and int(text) <= most:
        return int(text)
    return None


def _end(place: str, text: str, protocol: int) -> tuple[IPAddress, int]:
    """The address and port of one end."""
    if text.startswith("["):
        address_text, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise PacketTextError(f"{place} {text!r}: expected [ADDRESS] or [ADDRESS]:PORT")
        port_text = rest[1:] if rest else None
    elif text.count(":") == 1:
        address_text, _, port_text = text.partition(":")
    else:
        address_text, port_text = text, None
    try:
        address = ipaddress.ip_address(address_text)
    except ValueError:
        raise PacketTextError(
            f"{place} {text!r}: {address_text!r} is no address; expected one such as"
            " 192.0.2.10, 192.0.2.10:80, 2001:db8::1 or [2001:db8::1]:80"
        ) from None
    if port_text is None:
        return address, 0
    port = _number(port_text, 65535)
    if port is None:
        raise PacketTextError(f"{place} {text!r}: port {port_text!r}: expected 0 to 65535")
    if port and protocol not in (TCP, UDP):
        raise PacketTextError(f"{place} {text!r}: only tcp and udp packets have ports")
    return address, port


def build(
    source: IPAddress,
    destination: IPAddress,
    protocol: int,
    source_port: int = 0,
    destination_port: int = 0,
) -> bytes:
    """A whole packet between two addresses of one family: a TCP SYN, an empty UDP datagram, an
    echo request, or a header with eight bytes of zero behind it."""
    payload = _payload(source, destination, protocol, source_port, destination_port)
    if source.version == 6:
        header = struct.pack("!IHBB", 6 << 28, len(payload), protocol, _TTL)
        return header + source.packed + destination.packed + payload
    total = 20 + len(payload)
    header = struct.pack("!BBHHHBBH", 0x45, 0, total, 0, 0, _TTL, protocol, 0)
    header += source.packed + destination.packed
    return header[:10] + _checksum(header) + header[12:] + payload


def _payload(
    source: IPAddress, destination: IPAddress, protocol: int, source_port: int, port: int
) -> bytes:
    match protocol:
        case 6:
            payload = struct.pack("!HHIIBBHHH", source_port, port, 0, 0, 5 << 4, _SYN, 65535, 0, 0)
            checksum_at = 16
        case 17:
            payload = struct.pack("!HHHH", source_port, port, 8, 0)
            checksum_at = 6
        case 1 | 58:
            payload = struct.pack("!BBHHH", 8 if protocol == ICMP else 128, 0, 0, 1, 1)
            checksum_at = 2
        case _:
            return bytes(8)
    pseudo = b""  # the words of its two forms (RFC 768, RFC 8200) add up to the same
    if protocol in (TCP, UDP, ICMPV6):
        pseudo = source.packed + destination.packed + struct.pack("!II", len(payload), protocol)
    checksum = _checksum(pseudo + payload)
    return payload[:checksum_at] + checksum + payload[checksum_at + 2 :]


def _checksum(data: bytes) -> bytes:
    """The Internet checksum (RFC 1071) of an even number of bytes; zero in its other form, since
    UDP means "none" by a plain zero."""
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return struct.pack("!H", ~total & 0xFFFF or 0xFFFF)
