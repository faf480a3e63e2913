"""One filter as ipseccmd writes it: SIDE=SIDE[:PROTOCOL] or SIDE+SIDE[:PROTOCOL] (spec 8.4).

A SIDE is ADDRESS[/MASK][:PORT], where 0 is me and * is any; = goes one way, + is mirrored.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import GrammarError, Resolve, check_filter
from ipsecfd.policy.ipseccmd.addresses import (
    Name,
    PieceError,
    address_text,
    parse_address,
    parse_name,
)
from ipsecfd.policy.ipseccmd.methods import RefusedError
from ipsecfd.policy.model import (
    ANY_PROTOCOL,
    ICMP,
    RAW,
    TCP,
    UDP,
    Action,
    Address,
    DnsName,
    Filter,
)

FORM: Final = "SIDE=SIDE[:PROTOCOL] (one way) or SIDE+SIDE[:PROTOCOL] (mirrored), as *=0:80:TCP"

_PROTOCOL_FORM: Final = "ICMP, UDP, TCP, RAW or a number from 0 to 255"
_PROTOCOLS: Final = MappingProxyType({"icmp": ICMP, "udp": UDP, "tcp": TCP, "raw": RAW})
_PROTOCOL_NAMES: Final[Mapping[int, str]] = {
    number: name.upper() for name, number in _PROTOCOLS.items()
}
_ANYTHING: Final = ("", "*")
"""How an open port or protocol is written."""
_BRACKETS: Final = {"(": (")", Action.PERMIT), "[": ("]", Action.BLOCK)}


class FilterError(IpsecfdError, ValueError):
    """A filter that cannot be meant: its text, the column from 1, and what was expected."""

    def __init__(self, text: str, column: int, expected: str) -> None:
        super().__init__(text, column, expected)
        self.text = text
        self.column = column
        self.expected = expected

    def __str__(self) -> str:
        return f'filter "{self.text}", column {self.column}: {self.expected}'


class RefusedFilterError(FilterError, RefusedError):
    """A filter that is understood and that Windows refuses, too."""


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
    except PieceError as error:
        raise FilterError(text, error.column, error.expected) from error


def parse_endpoint(text: str) -> str:
    """A tunnel's end point: an IPv4 address or a DNS name, as text. Raises FilterError."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        pass
    try:
        name = parse_name(text, 1)
    except PieceError as error:
        raise FilterError(text, 1, error.expected) from error
    if name is None:
        raise FilterError(text, 1, "expected an IPv4 address or a DNS name")
    return name.text


def format_filter(one: Filter) -> str | None:
    """A filter as `parse_spec` reads it, or None where this grammar has no words for it.

    It has none for IPv6, ranges, server types and descriptions.
    """
    source, destination = address_text(one.source), address_text(one.destination)
    if source is None or destination is None or one.description:
        return None
    left = f"{source}:{one.source_port}" if one.source_port else source
    right = f"{destination}:{one.destination_port}" if one.destination_port else destination
    if one.protocol != ANY_PROTOCOL:
        name = _PROTOCOL_NAMES.get(one.protocol, str(one.protocol))
        right = f"{right}{'' if one.destination_port else ':'}:{name}"
    return f"{left}{'+' if one.mirrored else '='}{right}"


def _parse(text: str) -> Spec:
    body, start, override = text, 1, None
    if text[:1] in _BRACKETS:
        closing, override = _BRACKETS[text[0]]
        if len(text) < 2 or not text.endswith(closing):
            raise PieceError(len(text), f'expected "{closing}" at the end')
        body, start = text[1:-1], 2
    elif text[-1:] in (")", "]"):
        opening = "(" if text[-1] == ")" else "["
        raise PieceError(1, f'expected "{opening}" before it, or no "{text[-1]}" behind it')
    left, arrow, right = _cut(body, start)
    if left.count(":") > 1:
        where = start + left.index(":", left.index(":") + 1)
        raise PieceError(
            where, "expected one port on the left; the protocol comes last, as *=0:80:TCP"
        )
    source_text, _, source_port = left.partition(":")
    middle = start + len(left) + 1
    pieces = right.split(":")
    if len(pieces) > 3:
        expected = "ADDRESS[/MASK]:PORT:PROTOCOL, with an IPv4 address, on the right"
        raise PieceError(middle, f"expected {expected}")
    destination_text, destination_port, protocol_text = (*pieces, "", "")[:3]
    port_column = middle + len(destination_text) + 1
    protocol = _protocol(protocol_text, port_column + len(destination_port) + 1)
    spec = Spec(
        text,
        parse_address(source_text, start, body),
        parse_address(destination_text, middle, body),
        _port(source_port, start + len(source_text) + 1),
        _port(destination_port, port_column, last=len(pieces) < 3),
        protocol,
        arrow == "+",
        override,
    )
    if (spec.source_port or spec.destination_port) and protocol not in (TCP, UDP):
        column = port_column if spec.destination_port else start + len(source_text) + 1
        meant = f"{left}{arrow}{destination_text}:{destination_port}:TCP"
        raise RefusedFilterError(text, column, f"a port needs protocol TCP or UDP, as {meant}")
    return spec


def _cut(body: str, start: int) -> tuple[str, str, str]:
    """Left side, = or +, right side."""
    arrows = [index for index, one in enumerate(body) if one in "=+"]
    if len(arrows) == 1:
        return body[: arrows[0]], body[arrows[0]], body[arrows[0] + 1 :]
    if arrows:
        raise PieceError(start + arrows[1], "expected one = or + in a filter")
    hint = "; a filter has no blanks in it" if ":" in body or not body else ""
    raise PieceError(start + len(body), f"expected = or + between two sides: {FORM}{hint}")


def _port(text: str, column: int, *, last: bool = False) -> int:
    if text in _ANYTHING:
        return 0
    if text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= 65535:
        return int(text)
    if last and text.lower() in _PROTOCOLS:
        raise PieceError(column, f"expected a port; without one, two colons: ::{text}")
    raise PieceError(column, "expected a port from 0 to 65535, where 0 or nothing is any")


def _protocol(text: str, column: int) -> int:
    if text in _ANYTHING or text.lower() == "any":
        return ANY_PROTOCOL
    number = _PROTOCOLS.get(text.lower())
    if number is not None:
        return number
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 255:
        return int(text)
    raise PieceError(column, f"expected a protocol: {_PROTOCOL_FORM}")
