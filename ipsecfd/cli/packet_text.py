"""One packet as a line of text, such as `in tcp 203.0.113.66:88 -> 192.0.2.10:445`, to real bytes.

The bytes are a whole, well-formed packet with right checksums, so that the driver judges a text
exactly as it judges what comes from the wire.
"""

from __future__ import annotations

import ipaddress
import socket
from typing import Final

from ipsecfd.cli.packet_words import endpoint
from ipsecfd.driver.build import build
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import EXTENSION_HEADERS
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import PROTOCOL_NUMBERS, TCP, UDP, IPAddress, packet_protocol_name

FORM: Final = "DIRECTION PROTOCOL SOURCE[:PORT] -> DESTINATION[:PORT]"
_EXAMPLE: Final = "in tcp 203.0.113.66:4000 -> 192.0.2.10:80"

_DIRECTIONS: Final = {str(direction): direction for direction in Direction}


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
    if source.version == 6 and protocol in EXTENSION_HEADERS:
        raise PacketTextError(
            f"protocol {words[1]!r}: in IPv6 this number is an extension header;"
            " expected a transport protocol"
        )
    return direction, build(source, destination, protocol, source_port, destination_port)


def packet_text(
    direction: Direction,
    protocol: int,
    source: IPAddress,
    source_port: int,
    destination: IPAddress,
    destination_port: int,
) -> str:
    """A packet in the form that `parse_packet_text` reads."""
    return (
        f"{direction} {packet_protocol_name(protocol)} {endpoint(str(source), source_port or None)}"
        f" -> {endpoint(str(destination), destination_port or None)}"
    )


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
