"""How `show` lays out its text: lines of label and value, and tables (spec 8.5).

Programs read it: labels and values are separated by the first colon, an empty line stands first,
last and between blocks, and every value can be read back.
"""

from __future__ import annotations

import re
import time
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Final

from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    ServerKind,
    Store,
    protocol_name,
)
from ipsecfd.policy.stores.content import Authentication

NameOf = Callable[[IPAddress], str]
"""The DNS name of an address, or ""."""

NONE: Final = "NONE"
_LABEL_WIDTH: Final = 23
_SCREEN: Final = 80
_GAP: Final = "  "
_LATEST: Final = 253_402_300_799
"""Seconds since 1970; no year of five digits is shown."""
_ANY: Final = "<Any IP Address>"
_ME: Final = "<My IP Address>"
_ONE: Final = "<A specific IP Address>"
_SUBNET: Final = "<A specific IP Subnet>"
_RANGE: Final = "<A specific IP Range>"
_SERVERS: Final = {
    ServerKind.WINS: "<WINS Servers>",
    ServerKind.DNS: "<DNS Servers>",
    ServerKind.DHCP: "<DHCP Servers>",
    ServerKind.GATEWAY: "<Default Gateway>",
}
_HOST_MASK: Final = "255.255.255.255"
_ACTIONS: Final = {
    Action.PERMIT: "PERMIT",
    Action.BLOCK: "BLOCK",
    Action.NEGOTIATE: "NEGOTIATE",
    Action.INPASS: "NEGOTIATE (INPASS)",
    Action.SOFT: "NEGOTIATE (SOFT)",
}
_AUTHENTICATION: Final = {"kerberos": "KERBEROS", "psk": "PRESHARED KEY", "rootca": "ROOT CA"}
# Control characters, line ends, halves of surrogate pairs, and what turns the direction of text.
_HIDDEN: Final = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u202a-\u202e\u2066-\u2069]")


def page(blocks: Iterable[Iterable[str]]) -> str:
    """Blocks of lines as the text of an answer: empty lines before, between and behind them."""
    texts = ("\n".join(block) for block in blocks)
    return "".join(f"\n{text}\n" for text in texts if text)


def line(label: str, value: object) -> str:
    """A label with its value."""
    return f"{label:<{_LABEL_WIDTH}}: {value}"


def heading(title: str) -> tuple[str, str]:
    """A title, underlined."""
    return title, "-" * len(title)


def text(value: str) -> str:
    """A text that may be empty: NONE then, and in quotes what would be taken for something else."""
    if not value:
        return NONE
    return quoted(value) if value == NONE or _needs_quotes(value) else value


def name(value: str) -> str:
    """The name of something, which is never NONE."""
    return quoted(value) if not value or _needs_quotes(value) else value


def quoted(value: str) -> str:
    r"""In quotes, with \", \\, \n, \uXXXX for what a line cannot show, as in a policy file."""
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{_HIDDEN.sub(_escape, escaped)}"'


def yes_no(value: bool) -> str:
    """YES or NO."""
    return "YES" if value else "NO"


def moment(seconds: int) -> str:
    """A time of the store in local time, as 11/23/2005 10:00:00 AM; NONE for 0."""
    if not seconds:
        return NONE
    when = time.localtime(min(max(seconds, 0), _LATEST))
    clock = f"{(when.tm_hour + 11) % 12 + 1}:{when.tm_min:02}:{when.tm_sec:02}"
    half = "AM" if when.tm_hour < 12 else "PM"
    return f"{when.tm_mon}/{when.tm_mday}/{when.tm_year} {clock} {half}"


def store_name(store: Store, host: str) -> str:
    """A store as Windows names it."""
    return f"{store.name.capitalize()} Store <{host}>"


def action(value: Action) -> str:
    """What a rule does in one direction."""
    return _ACTIONS[value]


def protocol(value: int) -> str:
    """An IP protocol by the name that commands use, or its number."""
    return protocol_name(value).upper()


def port(value: int) -> str:
    """A port; 0 is any."""
    return str(value) if value else "ANY"


def authentication_lines(methods: Sequence[Authentication]) -> Iterator[str]:
    """The methods in the order of preference, with their keys as Windows shows them."""
    yield f"Authentication Methods({len(methods)})"
    for method in methods:
        label = _AUTHENTICATION[method.kind]
        if method.kind == "kerberos":
            yield f"    {label}"
        else:
            yield f"    {label:<{_LABEL_WIDTH - 4}}: {text(method.value)}"


def filter_lines(one: Filter, name_of: NameOf | None = None) -> Iterator[str]:
    """A filter of a list; `name_of` to name hosts that are written as addresses."""
    yield line("Description", text(one.description))
    yield line("Mirrored", yes_no(one.mirrored))
    yield from match_lines(one, name_of)


def match_lines(
    one: Filter, name_of: NameOf | None = None, *, expanded: bool = False
) -> Iterator[str]:
    """What a filter matches; `expanded` as in `address_lines`."""
    yield from address_lines(one, name_of, expanded=expanded)
    yield line("Protocol", protocol(one.protocol))
    yield line("Source Port", port(one.source_port))
    yield line("Destination Port", port(one.destination_port))


def address_lines(
    one: Filter, name_of: NameOf | None = None, *, expanded: bool = False
) -> Iterator[str]:
    """The two sides of a filter; `expanded` for one of the filters that the driver makes of it,
    where every IPv6 address is any, as it was written."""
    address, mask, dns = _side(one.source, name_of, expanded)
    yield line("Source IP Address", address)
    yield line("Source Mask", mask)
    yield line("Source DNS Name", dns)
    address, mask, dns = _side(one.destination, name_of, expanded)
    yield line("Destination IP Address", address)
    yield line("Destination DNS Name", dns)
    yield line("Destination Mask", mask)


def side(address: Address, name_of: NameOf | None = None) -> str:
    """One side of a filter in a table."""
    _, _, dns = _side(address, name_of)
    return str(address) if dns.startswith("<") else dns


def table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    cut: Collection[str] = (),
    wide: bool = False,
) -> Iterator[str]:
    """Columns below underlined titles; those in `cut` are cut to fit the screen, unless `wide`."""
    widths = [
        max(columns(title), *(columns(row[place]) for row in rows), 0)
        for place, title in enumerate(titles)
    ]
    if not wide:
        _narrow(widths, {at: columns(title) for at, title in enumerate(titles) if title in cut})
    for row in (titles, ["-" * width for width in widths], *rows):
        yield _GAP.join(map(_cell, row, widths)).rstrip()


def columns(value: str) -> int:
    """The columns of the screen that a text takes: wide characters two, combining ones none."""
    if value.isascii():
        return len(value)
    return sum(map(_columns, value))


def _columns(one: str) -> int:
    if unicodedata.combining(one):
        return 0
    return 2 if unicodedata.east_asian_width(one) in "WF" else 1


def _narrow(widths: list[int], least: Mapping[int, int]) -> None:
    """Take from the columns in `least` with most to spare until all fit the screen."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - _SCREEN
    while excess > 0:
        spare, place = max(((widths[at] - least[at], at) for at in least), default=(0, 0))
        if spare <= 0:
            return
        taken = max(min(excess, spare // 2), 1)
        widths[place] -= taken
        excess -= taken


def _cell(value: str, width: int) -> str:
    taken = columns(value)
    if taken > width:
        end = "..."[: max(width - 1, 0)]
        kept = ""
        taken = len(end)
        for one in value:
            if taken + _columns(one) > width:
                break
            kept += one
            taken += _columns(one)
        value = kept + end
    return value + " " * (width - taken)


def _side(address: Address, name_of: NameOf | None, expanded: bool = False) -> tuple[str, str, str]:
    """Address, mask and DNS name."""
    match address:
        case Prefix(network) if expanded and not network.prefixlen:
            return _ANY, str(network.netmask), _ANY
        case AnyAddress():
            return _ANY, "0.0.0.0", _ANY
        case Me():
            return _ME, _HOST_MASK, _ME
        case Prefix(network):
            mask = str(network.netmask if network.version == 4 else network.prefixlen)
            first = network.network_address
            if network.prefixlen < network.max_prefixlen:
                return str(first), mask, _SUBNET
            known = name_of(first) if name_of else ""
            return str(first), mask, name(known) if known else _ONE
        case AddressRange():
            return str(address), NONE, _RANGE
        case DnsName(dns, addresses):
            return ", ".join(map(str, addresses)) or NONE, _HOST_MASK, name(dns)
        case _:
            words = _SERVERS[address.kind]
            return words, _HOST_MASK, words


def _needs_quotes(value: str) -> bool:
    return value != value.strip() or value.startswith('"') or _HIDDEN.search(value) is not None


def _escape(found: re.Match[str]) -> str:
    one = found.group()
    return {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(one) or f"\\u{ord(one):04x}"
