"""The addresses of ipseccmd's filters: 0, *, hosts, masks, wildcards and names (spec 8.4)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.model import Address, AnyAddress, DnsName, Me, Prefix

_ADDRESS_FORM: Final = (
    "0 (me), * (any), an IPv4 address, a wildcard as 10.0.11.*, or a host's DNS name"
)
_MASK_FORM: Final = "a mask as 255.255.255.0, or a prefix length from 0 to 32"
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


@dataclass(frozen=True, slots=True)
class Name:
    """A DNS name that is yet to be resolved."""

    text: str
    column: int


class PieceError(Exception):
    """What is wrong, and where in the whole text."""

    def __init__(self, column: int, expected: str) -> None:
        super().__init__(column, expected)
        self.column = column
        self.expected = expected


def parse_address(text: str, column: int, body: str) -> Address | Name:
    """The address of a side, which begins at a column of the whole text; `body` is the whole
    filter, for the hint. Raises PieceError (spec 8.4)."""
    written, slash, mask_text = text.partition("/")
    mask = _mask(mask_text, column + len(written) + 1) if slash else None
    if written == "*":
        return AnyAddress()
    if written == "0":
        if mask == 0:
            raise PieceError(column, "0 is me, which has no mask 0.0.0.0; any is *")
        return Me()
    if "*" in written:
        return _wildcard(written, mask, column, body)
    try:
        address = ipaddress.IPv4Address(written)
    except ValueError:
        name = parse_name(written, column)
        if name is None:
            raise _address_error(written, column, body) from None
        if slash:
            raise PieceError(column + len(written), "expected no mask behind a name") from None
        return name
    return _prefix(address, 32 if mask is None else mask)


def address_text(address: Address) -> str | None:
    """An address as `parse_address` reads it, or None where there are no words for it."""
    match address:
        case AnyAddress():
            return "*"
        case Me():
            return "0"
        case DnsName(name):
            return name if _is_name(name) and name not in _OTHER_TOOLS_WORDS else None
        case Prefix(ipaddress.IPv4Network() as network):
            if network == _EVERYTHING or network == ipaddress.IPv4Network(_UNSPECIFIED):
                return None  # these words are taken: any and me
            if network.prefixlen == 32:
                return str(network.network_address)
            return f"{network.network_address}/{network.netmask}"
        case _:
            return None


def _prefix(address: ipaddress.IPv4Address, bits: int) -> Address:
    """An address under a mask: 0.0.0.0 is any with an empty mask and me with a full one."""
    if bits == 0:
        return AnyAddress()
    if bits == 32 and address == _UNSPECIFIED:
        return Me()
    shift = 32 - bits
    return Prefix(4, bits, int(address) >> shift << shift)


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
        raise PieceError(column + len(written) + 1, f"the wildcard means mask {8 * wild}: drop one")
    return _prefix(address, 8 * wild)


def parse_name(text: str, column: int) -> Name | None:
    """A DNS name, or None if it cannot be one. Raises PieceError for what netsh means by a word."""
    name = text.lower()
    if name in _OTHER_TOOLS_WORDS:
        raise PieceError(column, f'"{text}" is a word of netsh: {_OTHER_TOOLS_WORDS[name]}')
    return Name(name, column) if _is_name(name) else None


def _address_error(written: str, column: int, body: str) -> PieceError:
    swapped = _SWAPPED.match(body)
    if swapped:
        meant = f"0{swapped[1]}*{body[swapped.end() :]}"
        return PieceError(
            column, f"expected one address on each side; did you mean {meant} (me to any)?"
        )
    if written.startswith("{"):
        return PieceError(
            column, "interfaces have no GUID on Linux; write the interface's address, or 0 for me"
        )
    if not written:
        return PieceError(column, f"expected an address: {_ADDRESS_FORM}")
    if "*" in written:
        return PieceError(
            column, "expected a wildcard of whole last octets, as 10.0.11.* or 10.*.*.*"
        )
    if "-" in written and written.replace("-", "").replace(".", "").isdigit():
        return PieceError(column, "a range cannot be written here; write a mask, as 10.0.11.0/24")
    return PieceError(column, f"expected {_ADDRESS_FORM}")


def _mask(text: str, column: int) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 2 and int(text) <= 32:
        return int(text)
    try:
        host_bits = int(ipaddress.IPv4Address(text)) ^ 0xFFFFFFFF
    except ValueError:
        raise PieceError(column, f"expected {_MASK_FORM}") from None
    if host_bits & (host_bits + 1):
        raise PieceError(column, "expected a mask of ones and then zeros, as 255.255.255.0")
    return 32 - host_bits.bit_length()


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not _NUMERIC_END.search(text)
