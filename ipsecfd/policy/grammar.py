"""One filter as one line of text: SIDE ARROW SIDE [PROTOCOL] (design, policy file).

A SIDE is ADDRESS[:PORT]; `->` goes one way, `<->` is mirrored. Brackets enclose the whole address,
and IPv6 needs them when a port follows. Keywords may be written in any case. `str(Filter)` writes
what this module reads.
"""

from __future__ import annotations

import difflib
import functools
import ipaddress
import re
import socket
from collections.abc import Callable
from typing import Final, TypeAlias

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import quoted
from ipsecfd.policy.model import (
    ANY_PROTOCOL,
    PROTOCOL_NUMBERS,
    TCP,
    UDP,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    Server,
    ServerKind,
)

Resolve: TypeAlias = Callable[[str], tuple[IPAddress, ...]]
"""Gives the addresses of a DNS name, or raises GrammarError saying why it cannot."""

FILTER_FORM: Final = 'SIDE -> SIDE [PROTOCOL] or SIDE <-> SIDE [PROTOCOL], as "any <-> me:80 tcp"'
ADDRESS_FORM: Final = (
    "any, me, an address, a prefix, a range FIRST-LAST, a DNS name, wins, dns, dhcp or gateway"
)
PROTOCOL_FORM: Final = f"{', '.join(PROTOCOL_NUMBERS)} or a number from 0 to 255"
PORT_FORM: Final = "a port from 0 to 65535, where 0 is any"

_BRACKET_FORM: Final = "brackets around the whole address, then :PORT, as [2001:db8::/32]:80"
_KEYWORDS: Final[dict[str, Address]] = {
    "any": AnyAddress(),
    "me": Me(),
    **{kind.value: Server(kind) for kind in ServerKind},
}
_LINE: Final = re.compile(
    r"[ \t]*([^\s<>]+?)[ \t]*(<?->)[ \t]*([^\s<>]+)(?:[ \t]+([^\s<>]+))?[ \t]*"
)
_ARROW: Final = re.compile(r"<[-=]*>?|[-=]*>")
_LABEL: Final = r"(?!-)[a-z0-9_-]{1,63}(?<!-)"
_NAME: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*\.?")
# Resolvers take these for IPv4 addresses written in another way (inet_aton), never for names.
_NUMERIC_END: Final = re.compile(r"(?:^|\.)(?:[0-9-]+|0x[0-9a-f]*)\.?$")
_NAME_LIMIT: Final = 253


class GrammarError(IpsecfdError, ValueError):
    """A filter or a piece of one that cannot be meant: the piece, and what was expected."""

    def __init__(self, text: str, expected: str) -> None:
        super().__init__(text, expected)
        self.text = text
        self.expected = expected

    def __str__(self) -> str:
        return f"{quoted(self.text)}: {self.expected}"


def parse_filter(text: str, resolve: Resolve) -> Filter:
    """The filter that a line of text means; `text` keeps the author's line.

    Raises GrammarError.
    """
    return filter_of(split_filter(text), text, resolve)


def filter_of(words: tuple[str, str, str, str], text: str, resolve: Resolve) -> Filter:
    """The filter that the words of a line mean, as `split_filter` gives them.

    Raises GrammarError.
    """
    source_text, arrow, destination_text, protocol_text = words
    source, source_port = parse_side(source_text, resolve)
    destination, destination_port = parse_side(destination_text, resolve)
    made = Filter(
        source,
        destination,
        source_port,
        destination_port,
        parse_protocol(protocol_text) if protocol_text else ANY_PROTOCOL,
        arrow == "<->",
        "",
        text,
    )
    check_filter(made)
    return made


def split_filter(text: str) -> tuple[str, str, str, str]:
    """The source, arrow, destination and protocol of a line; the protocol may be empty."""
    found = _LINE.fullmatch(text)
    if found is None:
        raise _line_error(text)
    source, arrow, destination, protocol = found.groups(default="")
    return source, arrow, destination, protocol


def check_filter(one: Filter) -> None:
    """Refuse what no filter may combine, however it was written (spec 2.1, 2.2; T7, T9).

    Raises GrammarError.
    """
    words = one.text or str(one)
    if (one.source_port or one.destination_port) and one.protocol not in (TCP, UDP):
        raise GrammarError(words, "a port needs protocol tcp or udp")
    for side, other in ((one.source, one.destination), (one.destination, one.source)):
        if isinstance(side, Server) and not isinstance(other, Me):
            raise GrammarError(words, f"the other side of {side} must be me")
    source, destination = _families(one.source), _families(one.destination)
    if not source & destination:
        raise GrammarError(
            words,
            f"both sides must be of one family: {one.source} is {_family_words(source)}, "
            f"{one.destination} is {_family_words(destination)}",
        )


def parse_side(text: str, resolve: Resolve) -> tuple[Address, int]:
    """The address and port of ADDRESS[:PORT]; port 0 if none is written."""
    address, port = _literal_side(text)
    if isinstance(address, str):
        return DnsName(address, _resolve(address, resolve)), port
    return address, port


def parse_address(text: str, resolve: Resolve) -> Address:
    """An address alone, without a port. Raises GrammarError."""
    _, port = _split_side(text)
    if port:
        raise GrammarError(text, f"expected an address without a port: {ADDRESS_FORM}")
    return parse_side(text, resolve)[0]


def parse_port(text: str) -> int:
    """A port number, 0 for any. Raises GrammarError."""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        raise GrammarError(text, f"expected {PORT_FORM}")
    return int(text)


def parse_protocol(text: str) -> int:
    """An IP protocol by name or number, 0 for any. Raises GrammarError."""
    number = PROTOCOL_NUMBERS.get(text.lower())
    if number is not None:
        return number
    if not (text.isascii() and text.isdigit()) or len(text) > 3 or int(text) > 255:
        raise GrammarError(text, f"expected a protocol: {PROTOCOL_FORM}")
    return int(text)


def has_host_bits(text: str, address: Address) -> bool:
    """Whether a side's text names an address inside a prefix, whose host bits were cleared."""
    if not isinstance(address, Prefix):
        return False
    written = _ip(text.strip().lstrip("[").partition("/")[0])
    return written is not None and int(written) != address.first


def _line_error(text: str) -> GrammarError:
    arrows = _ARROW.findall(text)
    if any(arrow not in ("->", "<->") for arrow in arrows):
        return GrammarError(text, "expected the arrow -> or <->, with the sender on the left")
    if len(arrows) != 1:
        return GrammarError(text, f"expected one arrow between two sides: {FILTER_FORM}")
    found = _LINE.match(text)
    extra = text[found.end() :].strip() if found else ""
    if extra:
        return GrammarError(extra, "expected nothing after the protocol")
    return GrammarError(text, f"expected {FILTER_FORM}")


def _split_side(text: str) -> tuple[str, str]:
    """The address and the port as text; the port is empty if there is none."""
    if text.startswith("["):
        address, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")) or rest == ":":
            raise GrammarError(text, f"expected {_BRACKET_FORM}")
        return address, rest[1:]
    if text.count(":") != 1:  # two or more are an IPv6 address
        return text, ""
    address, _, port = text.partition(":")
    if not address:
        raise GrammarError(text, f"expected an address before the port: {ADDRESS_FORM}")
    if not port:
        raise GrammarError(text, f"expected {PORT_FORM}, behind the colon")
    return address, port


@functools.lru_cache(maxsize=4096)  # `any`, `me:80` and the like fill most of a large policy
def _literal_side(text: str) -> tuple[Address | str, int]:
    """A side with its address, or with the DNS name that is yet to be resolved."""
    address, port = _split_side(text)
    return _literal(address), parse_port(port) if port else 0


def _literal(text: str) -> Address | str:
    lower = text.lower()
    keyword = _KEYWORDS.get(lower)
    if keyword is not None:
        return keyword
    if "/" in text:
        return _prefix(text)
    address = _ip(text)
    if address is not None:
        return _network(address, address.max_prefixlen)
    first, dash, last = text.partition("-")
    if dash:
        ends = _ip(first), _ip(last)
        if ends[0] is not None and ends[1] is not None:
            return _range(text, ends[0], ends[1])
    if not _NAME.fullmatch(lower) or len(lower) > _NAME_LIMIT or _NUMERIC_END.search(lower):
        raise _address_error(text)
    return lower


def _prefix(text: str) -> Prefix:
    """ADDRESS/LENGTH or IPv4 ADDRESS/MASK; 0.0.0.0/0 is every IPv4 address, `any` both families."""
    written, _, mask = text.partition("/")
    address = _ip(written)
    if address is None:
        raise _address_error(text)
    limit = address.max_prefixlen
    if mask.isascii() and mask.isdigit() and len(mask) <= 3 and int(mask) <= limit:
        return _network(address, int(mask))
    dotted = _ip(mask) if address.version == 4 else None
    if isinstance(dotted, ipaddress.IPv4Address):
        host_bits = int(dotted) ^ 0xFFFFFFFF
        if host_bits & (host_bits + 1) == 0:
            return _network(address, 32 - host_bits.bit_length())
        raise GrammarError(text, "expected a mask of ones and then zeros, as 255.255.255.0")
    if ":" in mask:
        raise GrammarError(text, f"expected {_BRACKET_FORM}")
    raise GrammarError(text, f"expected a prefix length from 0 to {limit} behind the slash")


def _network(address: IPAddress, bits: int) -> Prefix:
    """The prefix that an address lies in; host bits are cleared (spec 2.1)."""
    shift = address.max_prefixlen - bits
    return Prefix(address.version, bits, int(address) >> shift << shift)


def _range(text: str, first: IPAddress, last: IPAddress) -> AddressRange:
    if first.version != last.version:
        raise GrammarError(text, "expected both ends of a range to be of one family")
    if int(first) > int(last):
        raise GrammarError(text, "expected a range to begin with its lower address")
    return AddressRange(first, last)


def _ip(text: str) -> IPAddress | None:
    try:
        if ":" not in text:
            # The library's own reading of text takes several times as long.
            return ipaddress.IPv4Address(socket.inet_pton(socket.AF_INET, text))
        return None if "%" in text else ipaddress.IPv6Address(text)
    except (OSError, ValueError):
        return None


def _address_error(text: str) -> GrammarError:
    if "%" in text:
        return GrammarError(text, "expected an address without a zone, as fe80::1")
    if "*" in text:
        return GrammarError(text, "expected any, or a prefix, as 10.0.11.0/24, for a wildcard")
    if ":" in text:
        return GrammarError(text, f"expected an IPv6 address; with a port, {_BRACKET_FORM}")
    if not text.isascii():
        return GrammarError(text, "expected a DNS name in ASCII, as xn--bcher-kva.example")
    return GrammarError(text, f"expected {ADDRESS_FORM}")


def _resolve(name: str, resolve: Resolve) -> tuple[IPAddress, ...]:
    try:
        return resolve(name)
    except GrammarError as error:
        near = difflib.get_close_matches(name, _KEYWORDS, n=1, cutoff=0.7)
        if not near:
            raise
        raise GrammarError(name, f'{error.expected}; did you mean "{near[0]}"?') from error


_IPV4: Final = frozenset({4})
_IPV6: Final = frozenset({6})
_BOTH: Final = _IPV4 | _IPV6


def _families(address: Address) -> frozenset[int]:
    match address:
        case Prefix():
            return _IPV4 if address.family == 4 else _IPV6
        case AddressRange(first):
            return _IPV4 if first.version == 4 else _IPV6
        case DnsName(_, addresses):
            return frozenset(one.version for one in addresses)
        case _:
            return _BOTH


def _family_words(families: frozenset[int]) -> str:
    return " and ".join(f"IPv{family}" for family in sorted(families))
