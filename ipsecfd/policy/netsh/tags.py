"""Tags that several commands share, and what they mean together: filters and authentication."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

from ipsecfd.policy import grammar
from ipsecfd.policy.grammar import Resolve
from ipsecfd.policy.model import Address, DnsName, Filter, IPAddress
from ipsecfd.policy.netsh import values
from ipsecfd.policy.netsh.syntax import Arguments, ShowRequest, Tag
from ipsecfd.policy.stores.content import KERBEROS, Authentication

SOURCE: Final = Tag(
    "srcaddr",
    values.ADDRESS,
    "Source: me, any, an address, ADDRESS/BITS, FIRST-LAST, a DNS name, WINS, DNS, DHCP or GATEWAY",
    required=True,
)
DESTINATION: Final = Tag("dstaddr", values.ADDRESS, "Destination, as srcaddr", required=True)
PROTOCOL: Final = Tag("protocol", values.PROTOCOL, "Protocol; ports need TCP or UDP", default="ANY")
MIRRORED: Final = Tag("mirrored", values.YES_NO, "Also the opposite direction", default="yes")
SOURCE_MASK: Final = Tag("srcmask", values.MASK, "Source mask; not with a range")
DESTINATION_MASK: Final = Tag("dstmask", values.MASK, "Destination mask; not with a range")
SOURCE_PORT: Final = Tag("srcport", values.PORT, "Source port, 0 for any", default="0")
DESTINATION_PORT: Final = Tag("dstport", values.PORT, "Destination port, 0 for any", default="0")
CONNECTION: Final = Tag(
    "conntype", values.CONNECTION, "Interfaces it is for", default="all", field="connection"
)
MAIN_MODE: Final = (
    Tag("qmpermm", values.COUNT, "Quick modes per main mode", default="0", field="qmpermm"),
    Tag("mmlifetime", values.MINUTES, "A new key after so long", default="480", field="mmlifetime"),
)
AUTHENTICATION: Final = (
    Tag("kerberos", values.YES_NO, "Kerberos authentication (kept, without effect)"),
    Tag("psk", values.TEXT, "Preshared key (kept, without effect)"),
    Tag(
        "rootca",
        values.TEXT,
        '"NAME certmap:yes|no excludecaname:yes|no" (kept, without effect)',
        repeats=True,
    ),
)
SHOW_ADDRESSES: Final = tuple(
    tag.optional() for tag in (SOURCE, DESTINATION, SOURCE_MASK, DESTINATION_MASK)
)

FilterKey: TypeAlias = tuple[Address | str, Address | str, int, int, int, bool]


def filter_from(arguments: Arguments, resolve: Resolve, profile: str) -> Filter:
    """The filter that a command's tags describe. Raises GrammarError (T7, T8, T9)."""
    made = _filter(arguments, resolve, profile)
    grammar.check_filter(made)
    return made


def sought_filter(arguments: Arguments, profile: str) -> Filter:
    """The filter that tags describe, to be found by `filter_key`: DNS names are not resolved."""
    return _filter(arguments, _no_addresses, profile)


def filter_key(one: Filter) -> FilterKey:
    """What tells filters apart when one is sought: all but the description and addresses of DNS
    names."""
    return (
        one.source.name if isinstance(one.source, DnsName) else one.source,
        one.destination.name if isinstance(one.destination, DnsName) else one.destination,
        one.source_port,
        one.destination_port,
        one.protocol,
        one.mirrored,
    )


def authentication(arguments: Arguments) -> tuple[Authentication, ...]:
    """The methods in the order of the command line, Kerberos when there is none."""
    found = []
    for tag, value in arguments.order:
        if tag == "kerberos" and value:
            found.append(Authentication("kerberos"))
        elif tag in ("psk", "rootca"):
            found.append(Authentication(tag, value))
    return tuple(found) or KERBEROS


def authentication_given(arguments: Arguments) -> bool:
    """Whether a command says anything of authentication."""
    return any(tag.name in arguments for tag in AUTHENTICATION)


def show_request(kind: str, arguments: Arguments, profile: str) -> ShowRequest:
    """What a show command's tags ask for. Raises GrammarError."""
    request: dict[str, Any] = {
        tag: value for tag, value in arguments.values.items() if tag in _REQUEST_TAGS
    }
    for tag, mask, field in (
        ("srcaddr", "srcmask", "source"),
        ("dstaddr", "dstmask", "destination"),
    ):
        if tag in arguments:
            request[field] = values.address(arguments[tag], arguments[mask], _no_addresses, profile)
    for tag, field in _RENAMED.items():
        if tag in arguments:
            request[field] = arguments[tag]
    particular = any(tag in arguments for tag in ("name", "rule", "id", "default"))
    request["all"] = not particular
    return ShowRequest(kind, **request)


_REQUEST_TAGS: Final = frozenset(
    {
        *("name", "rule", "policy", "id", "default", "level", "format", "wide", "resolvedns"),
        *("type", "protocol"),
    }
)
_RENAMED: Final = {
    "srcport": "source_port",
    "dstport": "destination_port",
    "actioninbound": "inbound",
    "actionoutbound": "outbound",
}


def _filter(arguments: Arguments, resolve: Resolve, profile: str) -> Filter:
    return Filter(
        values.address(arguments["srcaddr"], arguments["srcmask"], resolve, profile),
        values.address(arguments["dstaddr"], arguments["dstmask"], resolve, profile),
        arguments["srcport"],
        arguments["dstport"],
        arguments["protocol"],
        arguments["mirrored"],
        arguments["description"] or "",
    )


def _no_addresses(_: str) -> tuple[IPAddress, ...]:
    return ()
