"""The kinds of values that netsh tags take, and what each word means (spec 2.1, 2.2, 8.2)."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import grammar
from ipsecfd.policy.grammar import GrammarError, Resolve
from ipsecfd.policy.model import (
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    IPNetwork,
    Me,
    Prefix,
    Server,
    ServerKind,
)
from ipsecfd.policy.stores.content import DEFAULT_POLLING, Behaviour

IPV6_PROFILES: Final = frozenset(one.name for one in PROFILES.values() if one.filters_ipv6)
"""Profiles that filter native IPv6 and whose filters may hold its addresses (spec 4)."""
LONGEST_NAME: Final = 255
_MINUTES_LIMIT: Final = 0xFFFFFFFF // 60
_GUID: Final = re.compile(r"\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?", re.IGNORECASE)


class ValueRefused(IpsecfdError):  # noqa: N818
    """A word that is no value of its kind; the text completes "expected ..."."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of value: how help writes it, what a word of it means, and words to offer."""

    form: str
    parse: Callable[[str], Any]
    """Raises ValueRefused or GrammarError."""
    words: tuple[str, ...] = ()


def choice(**words: Any) -> Kind:
    """One of some words, in any case, with what each means; others raise ValueRefused."""
    form = "|".join(words)

    def parse(text: str) -> Any:
        try:
            return words[text.lower()]
        except KeyError:
            raise ValueRefused(f"{', '.join(list(words)[:-1])} or {list(words)[-1]}") from None

    return Kind(form, parse, tuple(words))


def number(first: int, last: int, form: str = "NUMBER", unit: str = "") -> Kind:
    """A whole number from first to last, of a unit such as " of seconds"; else ValueRefused."""
    limit = len(str(last))

    def parse(text: str) -> int:
        digits = text.lstrip("0") or "0"
        if text.isascii() and text.isdigit() and len(digits) <= limit:
            found = int(digits)
            if first <= found <= last:
                return found
        raise ValueRefused(f"a number{unit} from {first} to {last}")

    return Kind(form, parse)


def _yes_no(text: str) -> bool:
    lower = text.lower()
    if lower in ("yes", "y"):
        return True
    if lower in ("no", "n"):
        return False
    raise ValueRefused("yes or no")


def _text(text: str) -> str:
    # What has no place in a log line or a file of text must not get into a store.
    if not text.isprintable() and any(
        unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in text
    ):
        raise ValueRefused("text on one line, without control characters")
    return text


def _name(text: str) -> str:
    if not text.strip():
        raise ValueRefused("a name, not empty text")
    if len(text) > LONGEST_NAME:
        raise ValueRefused(f"a name of at most {LONGEST_NAME} characters")
    return _text(text)


def _file(text: str) -> str:
    if not text.strip():
        raise ValueRefused("the path of a file")
    return _text(text)


def _guid(text: str) -> str:
    found = _GUID.fullmatch(text)
    if found is None:
        raise ValueRefused("a GUID, as {D239C599-F945-47A3-A4E3-B37BC12826B9}")
    return f"{{{found[1].upper()}}}"


def _mask(text: str) -> int:
    """A mask as its number of bits; 0 has a meaning for the address 0.0.0.0 only."""
    if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 128:
        return int(text)
    try:
        host_bits = int(ipaddress.IPv4Address(text)) ^ 0xFFFFFFFF
    except ValueError:
        pass
    else:
        if host_bits & (host_bits + 1) == 0:
            return 32 - host_bits.bit_length()
    raise ValueRefused(
        "a mask of ones and then zeros, as 255.255.255.0, or its number of bits from 1 to 32"
    )


def _tunnel(text: str) -> str:
    """An end point's address or name as text; 0.0.0.0 is none."""
    if text == "0.0.0.0":
        return ""
    try:
        one = grammar.parse_address(text, lambda _: ())
    except GrammarError:
        one = None
    host = isinstance(one, Prefix) and one.network.num_addresses == 1
    if not host and not isinstance(one, DnsName):
        raise ValueRefused("the address or the DNS name of one host")
    return text


YES_NO: Final = Kind("yes|no", _yes_no, ("yes", "no"))
NAME: Final = Kind("NAME", _name)
TEXT: Final = Kind("TEXT", _text)
FILE: Final = Kind("FILE", _file)
GUID: Final = Kind("GUID", _guid)
ADDRESS: Final = Kind("ADDRESS", _text, ("me", "any", *(kind.name for kind in ServerKind)))
MASK: Final = Kind("MASK|BITS", _mask)
PORT: Final = Kind("PORT", grammar.parse_port)
PROTOCOL: Final = Kind(
    "ANY|ICMP|TCP|UDP|RAW|NUMBER", grammar.parse_protocol, ("ANY", "ICMP", "TCP", "UDP", "RAW")
)
MINUTES: Final = number(0, _MINUTES_LIMIT, "MINUTES", " of minutes")
POLLING: Final = Kind("MINUTES", lambda text: MINUTES.parse(text) * 60 or DEFAULT_POLLING)
"""Seconds; 0 is what Windows takes it for (spec 1.6)."""
SECONDS: Final = number(0, 0xFFFFFFFF, "SECONDS", " of seconds")
COUNT: Final = number(0, 0xFFFFFFFF)
ID: Final = number(1, 0xFFFFFFFF)
TUNNEL: Final = Kind("ADDRESS|NAME", _tunnel)
CONNECTION: Final = choice(lan=Connection.LAN, dialup=Connection.DIALUP, all=Connection.ALL)
BEHAVIOUR: Final = choice(
    permit=Behaviour.PERMIT, block=Behaviour.BLOCK, negotiate=Behaviour.NEGOTIATE
)


def address(text: str, mask: int | None, resolve: Resolve, profile: str) -> Address:
    """The address that an address word and its mask mean (spec 2.1). Raises GrammarError."""
    one = grammar.parse_address(text, resolve)
    match one:
        case Prefix(network):
            if network.version == 6:
                _check_ipv6(text, profile)
            return _masked(text, network, mask)
        case AddressRange(first):
            if first.version == 6:
                _check_ipv6(text, profile)
            if mask is not None:
                raise GrammarError(text, "a range takes no mask")
        case DnsName() | Server():
            if mask not in (None, 32):
                raise GrammarError(text, "a name takes no mask but 255.255.255.255")
        case AnyAddress() | Me():
            pass  # their masks are known, whatever is given
    return one


def _check_ipv6(text: str, profile: str) -> None:
    if profile not in IPV6_PROFILES:
        raise GrammarError(text, f"the profile {profile} has no IPv6 filters; linux and vista have")


def _masked(text: str, network: IPNetwork, mask: int | None) -> Address:
    written, slash, _ = text.strip("[]").partition("/")
    bits = network.prefixlen if slash or mask is None else mask
    if mask not in (None, bits):
        raise GrammarError(text, "the mask and the prefix length differ; give one of them")
    if bits > network.max_prefixlen:
        raise GrammarError(text, f"the mask has at most {network.max_prefixlen} bits")
    if network.version == 4 and not int(ipaddress.IPv4Address(written)):
        # How Windows' own tools write any and me (spec 2.1).
        if bits == 0:
            return AnyAddress()
        if bits == 32:
            return Me()
    elif bits == 0:
        raise GrammarError(text, "a mask has at least 1 bit; for every address write any")
    if bits == network.prefixlen:
        return Prefix.of(network)
    return Prefix.of(network.supernet(new_prefix=bits))
