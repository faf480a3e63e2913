"""One filter as ipseccmd writes it: SIDE=SIDE[:PROTOCOL] or SIDE+SIDE[:PROTOCOL] (spec 8.4).

A SIDE is ADDRESS[/MASK][:PORT], where 0 is me and * is any; = goes one way, + is mirrored.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import GrammarError, Resolve, check_filter
from ipsecfd.policy.model import (
    ANY_PROTOCOL,
    ICMP,
    RAW,
    TCP,
    UDP,
    Action,
    Address,
    AnyAddress,
    DnsName,
    Filter,
    Me,
    Prefix,
)

FORM: Final = "SIDE=SIDE[:PROTOCOL] (one way) or SIDE+SIDE[:PROTOCOL] (mirrored), as *=0:80:TCP"

_ADDRESS_FORM: Final = (
    "0 (me), * (any), an IPv4 address, a wildcard as 10.0.11.*, or a host's DNS name"
)
_MASK_FORM: Final = "a mask as 255.255.255.0, or a prefix length from 0 to 32"
_PROTOCOL_FORM: Final = "ICMP, UDP, TCP, RAW or a number from 0 to 255"
_PROTOCOLS: Final = MappingProxyType({"icmp": ICMP, "udp": UDP, "tcp": TCP, "raw": RAW})
_PROTOCOL_NAMES: Final[Mapping[int, str]] = {
    number: name.upper() for name, number in _PROTOCOLS.items()
}
_ANYTHING: Final = ("", "*")
"""How an open port or protocol is written."""
_BRACKETS: Final = {"(": (")", Action.PERMIT), "[": ("]", Action.BLOCK)}
_OTHER_TOOLS_WORDS: Final = {
    "any": "write *",
    "me": "write 0",
    **dict.fromkeys(
        ("dns", "wins", "dhcp", "gateway"),
        "a server type cannot be written here; for a host of that name write its full name",
    ),
}
_EVERYTHING: Final = ipaddress.IPv4Network("0.0.0.0/0")
_UNSPECIFIED: Final = ipaddress.IPv4Address(0)
_SWAPPED: Final = re.compile(r"(?:\*0|0\*)([=+])(?=:|$)")
_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?")
# Resolvers take these for addresses written in another way (inet_aton), never for names.
_NUMERIC_END: Final = re.compile(r"(?:^|\.)(?:[0-9-]+|0x[0-9a-f]*)\.?$")


class FilterError(IpsecfdError, ValueError):
    """A filter that cannot be meant: its text, the column from 1, and what was expected."""

    def __init__(self, text: str, column: int, expected: str) -> None:
        super().__init__(text, column, expected)
        self.text = text
        self.column = column
        self.expected = expected

    def __str__(self) -> str:
        return f'filter "{self.text}", column {self.column}: {self.expected}'


@dataclass(frozen=True, slots=True)
class Name:
    """A DNS name that is yet to be resolved."""

    text: str
    column: int


@dataclass(frozen=True, slots=True)
class Spec:
    """A filter as written; its names are resolved when it is put to use."""

    text: str
    source: Address | Name
    destination: Address | Name
    source_port: int
    destination_port: int
    protocol: int
    mirrored: bool
    override: Action | None = None
    """What ( ) and [ ] make of it, whatever -n says."""

    def filter(self, resolve: Resolve, *, first_only: bool = False) -> Filter:
        """The filter that is meant; `first_only` takes one address of a name, as dynamic mode does.

        Raises FilterError for a name that does not resolve, or sides of different families.
        """
        made = Filter(
            self._address(self.source, resolve, first_only),
            self._address(self.destination, resolve, first_only),
            self.source_port,
            self.destination_port,
            self.protocol,
            self.mirrored,
        )
        try:
            check_filter(made)
        except GrammarError as error:
            raise FilterError(self.text, 1, error.expected) from error
        return made

    def _address(self, side: Address | Name, resolve: Resolve, first_only: bool) -> Address:
        if not isinstance(side, Name):
            return side
        try:
            addresses = resolve(side.text)
        except GrammarError as error:
            raise FilterError(self.text, side.column, str(error)) from error
        return DnsName(side.text, addresses[:1] if first_only else addresses)


def parse_spec(text: str) -> Spec:
    """The filter that a text describes; asks no resolver. Raises FilterError."""
    try:
        return _parse(text)
    except _PieceError as error:
        raise FilterError(text, error.column, error.expected) from error


def parse_endpoint(text: str) -> str:
    """A tunnel's end point: an IPv4 address or a DNS name, as text. Raises FilterError."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        pass
    try:
        return _name(text, 1, text).text
    except _PieceError:
        raise FilterError(text, 1, "expected an IPv4 address or a DNS name") from None


def format_filter(one: Filter) -> str | None:
    """A filter as `parse_spec` reads it, or None where this grammar has no words for it.

    It has none for IPv6, ranges, server types and descriptions.
    """
    source, destination = _address_text(one.source), _address_text(one.destination)
    if source is None or destination is None or one.description:
        return None
    left = f"{source}:{one.source_port}" if one.source_port else source
    right = f"{destination}:{one.destination_port}" if one.destination_port else destination
    if one.protocol != ANY_PROTOCOL:
        name = _PROTOCOL_NAMES.get(one.protocol, str(one.protocol))
        right = f"{right}{'' if one.destination_port else ':'}:{name}"
    return f"{left}{'+' if one.mirrored else '='}{right}"


class _PieceError(Exception):
    """What is wrong, and where in the whole text."""

    def __init__(self, column: int, expected: str) -> None:
        super().__init__(column, expected)
        self.column = column
        self.expected = expected


def _parse(text: str) -> Spec:
    body, start, override = text, 1, None
    if text[:1] in _BRACKETS:
        closing, override = _BRACKETS[text[0]]
        if len(text) < 2 or not text.endswith(closing):
            raise _PieceError(len(text), f'expected "{closing}" at the end')
        body, start = text[1:-1], 2
    elif text[-1:] in (")", "]"):
        opening = "(" if text[-1] == ")" else "["
        raise _PieceError(1, f'expected "{opening}" before it, or no "{text[-1]}" behind it')
    left, arrow, right = _cut(body, start)
    if left.count(":") > 1:
        where = start + left.index(":", left.index(":") + 1)
        raise _PieceError(
            where, "expected one port on the left; the protocol comes last, as *=0:80:TCP"
        )
    source_text, _, source_port = left.partition(":")
    middle = start + len(left) + 1
    pieces = right.split(":")
    if len(pieces) > 3:
        raise _PieceError(
            middle, f"expected ADDRESS[/MASK]:PORT:PROTOCOL on the right{_ipv6_hint(right)}"
        )
    destination_text, destination_port, protocol_text = (*pieces, "", "")[:3]
    port_column = middle + len(destination_text) + 1
    protocol = _protocol(protocol_text, port_column + len(destination_port) + 1)
    spec = Spec(
        text,
        _address(source_text, start, body),
        _address(destination_text, middle, body),
        _port(source_port, start + len(source_text) + 1),
        _port(destination_port, port_column, last=len(pieces) < 3),
        protocol,
        arrow == "+",
        override,
    )
    if (spec.source_port or spec.destination_port) and protocol not in (TCP, UDP):
        column = port_column if spec.destination_port else start + len(source_text) + 1
        example = body if len(pieces) < 3 else ":".join(body.split(":")[:-1])
        example += ":" * (2 - example[len(left) + 1 :].count(":"))
        raise _PieceError(column, f"a port needs protocol TCP or UDP, as {example}TCP")
    return spec


def _cut(body: str, start: int) -> tuple[str, str, str]:
    """Left side, = or +, right side."""
    arrows = [index for index, one in enumerate(body) if one in "=+"]
    if len(arrows) == 1:
        return body[: arrows[0]], body[arrows[0]], body[arrows[0] + 1 :]
    if arrows:
        raise _PieceError(start + arrows[1], "expected one = or + in a filter")
    hint = "; a filter has no blanks in it" if ":" in body or not body else ""
    raise _PieceError(start + len(body), f"expected = or + between two sides: {FORM}{hint}")


def _address(text: str, column: int, body: str) -> Address | Name:
    """The address of a side; `body` is the whole filter, for the hint."""
    written, slash, mask_text = text.partition("/")
    mask = _mask(mask_text, column + len(written) + 1) if slash else None
    if written == "*":
        return AnyAddress()
    if written == "0":
        if mask == 0:
            raise _PieceError(column, "0 is me, which has no mask 0.0.0.0; any is *")
        return Me()
    if "*" in written:
        return _wildcard(written, mask, column, body)
    try:
        address = ipaddress.IPv4Address(written)
    except ValueError:
        name = _name(written, column, body)
        if slash:
            raise _PieceError(column + len(written), "expected no mask behind a name") from None
        return name
    return _prefix(address, 32 if mask is None else mask)


def _prefix(address: ipaddress.IPv4Address, bits: int) -> Address:
    """An address under a mask: 0.0.0.0 is any with an empty mask and me with a full one."""
    if bits == 0:
        return AnyAddress()
    if bits == 32 and address == _UNSPECIFIED:
        return Me()
    shift = 32 - bits
    return Prefix(ipaddress.IPv4Network((int(address) >> shift << shift, bits)))


def _wildcard(written: str, mask: int | None, column: int, body: str) -> Address:
    octets = written.split(".")
    wild = octets.index("*") if "*" in octets else 4
    fixed = octets[:wild]
    if any(one != "*" for one in octets[wild:]) or len(octets) != 4:
        raise _address_error(written, column, body)
    try:
        address = ipaddress.IPv4Address(".".join((*fixed, "0", "0", "0", "0")[:4]))
    except ValueError:
        raise _address_error(written, column, body) from None
    if mask not in (None, 8 * wild):
        raise _PieceError(
            column + len(written) + 1, f"the wildcard means mask {8 * wild}: drop one"
        )
    return _prefix(address, 8 * wild)


def _name(written: str, column: int, body: str) -> Name:
    name = written.lower()
    if name in _OTHER_TOOLS_WORDS:
        raise _PieceError(column, f'"{written}" is a word of netsh: {_OTHER_TOOLS_WORDS[name]}')
    if not _NAME.fullmatch(name) or _NUMERIC_END.search(name):
        raise _address_error(written, column, body)
    return Name(name, column)


def _address_error(written: str, column: int, body: str) -> _PieceError:
    swapped = _SWAPPED.match(body)
    if swapped:
        meant = f"0{swapped[1]}*{body[swapped.end() :]}"
        return _PieceError(
            column, f"expected one address on each side; did you mean {meant} (me to any)?"
        )
    if written.startswith("{"):
        return _PieceError(
            column, "interfaces have no GUID on Linux; write the interface's address, or 0 for me"
        )
    if not written:
        return _PieceError(column, f"expected an address: {_ADDRESS_FORM}")
    if "*" in written:
        return _PieceError(
            column, "expected a wildcard of whole last octets, as 10.0.11.* or 10.*.*.*"
        )
    if "-" in written and written.replace("-", "").replace(".", "").isdigit():
        return _PieceError(column, "a range cannot be written here; write a mask, as 10.0.11.0/24")
    return _PieceError(column, f"expected {_ADDRESS_FORM}")


def _mask(text: str, column: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 32:
        return int(text)
    try:
        host_bits = int(ipaddress.IPv4Address(text)) ^ 0xFFFFFFFF
    except ValueError:
        raise _PieceError(column, f"expected {_MASK_FORM}") from None
    if host_bits & (host_bits + 1):
        raise _PieceError(column, "expected a mask of ones and then zeros, as 255.255.255.0")
    return 32 - host_bits.bit_length()


def _port(text: str, column: int, *, last: bool = False) -> int:
    if text in _ANYTHING:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    if last and text.lower() in _PROTOCOLS:
        raise _PieceError(column, f"expected a port; without one, two colons: ::{text}")
    raise _PieceError(column, "expected a port from 0 to 65535, where 0 or nothing is any")


def _protocol(text: str, column: int) -> int:
    if text in _ANYTHING or text.lower() == "any":
        return ANY_PROTOCOL
    number = _PROTOCOLS.get(text.lower())
    if number is not None:
        return number
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    raise _PieceError(column, f"expected a protocol: {_PROTOCOL_FORM}")


def _ipv6_hint(right: str) -> str:
    digits = right.replace(":", "").replace("/", "")
    ipv6 = digits and all(one in "0123456789abcdefABCDEF" for one in digits)
    return "; IPv6 addresses cannot be written here" if ipv6 else ""


def _address_text(address: Address) -> str | None:
    match address:
        case AnyAddress():
            return "*"
        case Me():
            return "0"
        case DnsName(name):
            known = name == name.lower() and name not in _OTHER_TOOLS_WORDS
            return (
                name if known and _NAME.fullmatch(name) and not _NUMERIC_END.search(name) else None
            )
        case Prefix(ipaddress.IPv4Network() as network):
            if network == _EVERYTHING or network == ipaddress.IPv4Network(_UNSPECIFIED):
                return None  # these words are taken: any and me
            if network.prefixlen == 32:
                return str(network.network_address)
            return f"{network.network_address}/{network.netmask}"
        case _:
            return None
