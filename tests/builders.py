"""Small helpers for driver tests: build a packet, build a policy, ask for a decision.

They know the wire formats and nothing of the driver's parser, so that each checks the other.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.driver.specific import ActivePolicies, specific_filters
from ipsecfd.driver.table import Table
from ipsecfd.policy.model import (
    PROTOCOL_NUMBERS,
    TCP,
    UDP,
    Action,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    Filter,
    FilterAction,
    FilterList,
    IPAddress,
    Me,
    Policy,
    Prefix,
    Rule,
    Server,
    ServerKind,
    Store,
)

ME, ME6 = "192.0.2.10", "2001:db8::10"
FRAGMENT_HEADER, HOP_BY_HOP, ROUTING, DESTINATION_OPTIONS, NO_NEXT_HEADER = 44, 0, 43, 60, 59


# --- packets ------------------------------------------------------------------------------------


def tcp(source_port: int, destination_port: int) -> bytes:
    """A TCP SYN of 20 bytes."""
    ports = source_port.to_bytes(2, "big") + destination_port.to_bytes(2, "big")
    return ports + bytes(8) + b"\x50\x02" + bytes(6)


def udp(source_port: int, destination_port: int, data: bytes = b"") -> bytes:
    """A UDP datagram."""
    fields = (source_port, destination_port, 8 + len(data), 0)
    return b"".join(field.to_bytes(2, "big") for field in fields) + data


def icmp(kind: int = 8) -> bytes:
    """An ICMP or ICMPv6 message of 8 bytes."""
    return bytes((kind,)) + bytes(7)


def ipv4(
    source: str,
    destination: str,
    protocol: int,
    payload: bytes = b"",
    *,
    offset: int = 0,
    more: bool = False,
    options: bytes = b"",
    header_words: int | None = None,
    total_length: int | None = None,
    ttl: int = 64,
    tos: int = 0,
    identification: int = 0,
    flags: int = 0,
) -> bytes:
    """An IPv4 packet; `offset` is in units of eight bytes, as on the wire."""
    words = 5 + len(options) // 4 if header_words is None else header_words
    total = 20 + len(options) + len(payload) if total_length is None else total_length
    return (
        bytes((0x40 | words, tos))
        + total.to_bytes(2, "big")
        + identification.to_bytes(2, "big")
        + (offset | more << 13 | flags).to_bytes(2, "big")
        + bytes((ttl, protocol, 0, 0))
        + socket.inet_aton(source)
        + socket.inet_aton(destination)
        + options
        + payload
    )


def ipv6(
    source: str,
    destination: str,
    next_header: int,
    payload: bytes = b"",
    *,
    hop_limit: int = 64,
    payload_length: int | None = None,
    flow_label: int = 0,
) -> bytes:
    """An IPv6 packet; extension headers are the first part of the payload."""
    length = len(payload) if payload_length is None else payload_length
    return (
        (6 << 28 | flow_label).to_bytes(4, "big")
        + length.to_bytes(2, "big")
        + bytes((next_header, hop_limit))
        + socket.inet_pton(socket.AF_INET6, source)
        + socket.inet_pton(socket.AF_INET6, destination)
        + payload
    )


def extension(following: int, size: int = 8, fill: int = 0) -> bytes:
    """An IPv6 hop-by-hop, routing or destination options header of `size` bytes (8, 16, ...)."""
    return bytes((following, size // 8 - 1)) + bytes((fill,)) * (size - 2)


def fragment_header(following: int, *, offset: int = 0, more: bool = False) -> bytes:
    """An IPv6 fragment header; `offset` is in units of eight bytes."""
    return bytes((following, 0)) + (offset << 3 | more).to_bytes(2, "big") + bytes(4)


def ip(source: str, destination: str, protocol: int, payload: bytes = b"") -> bytes:
    """A plain packet of the family of its addresses."""
    make = ipv6 if ":" in source else ipv4
    return make(source, destination, protocol, payload)


_PACKET = re.compile(r"(in|out|forward) (\w+) (\S+) -> (\S+)")


def packet(text: str) -> tuple[bytes, Direction]:
    """The packet and direction of `in tcp 203.0.113.66:88 -> 192.0.2.10:445`."""
    match = _PACKET.fullmatch(text)
    assert match is not None, text
    protocol = _protocol(match[2])
    source, source_port = _split_port(match[3])
    destination, destination_port = _split_port(match[4])
    payload = {TCP: tcp, UDP: udp}.get(protocol)
    body = icmp() if payload is None else payload(source_port, destination_port)
    return ip(source, destination, protocol, body), Direction[match[1].upper()]


# --- policies -----------------------------------------------------------------------------------


def address(text: str) -> Address:
    """`any`, `me`, `dns`, `10.0.0.0/8`, `a-b` or a single address."""
    if text == "any":
        return AnyAddress()
    if text == "me":
        return Me()
    if text in {kind.value for kind in ServerKind}:
        return Server(ServerKind(text))
    if "-" in text:
        first, last = text.split("-")
        return AddressRange(ipaddress.ip_address(first), ipaddress.ip_address(last))
    return Prefix.of(ipaddress.ip_network(text))


def generic(text: str) -> Filter:
    """The filter of `10.0.11.0/24 <-> me:3389 tcp`."""
    source, arrow, destination, *protocol = text.split()
    source, source_port = _split_port(source)
    destination, destination_port = _split_port(destination)
    return Filter(
        address(source),
        address(destination),
        source_port,
        destination_port,
        _protocol(protocol[0]) if protocol else 0,
        mirrored=arrow == "<->",
        text=text,
    )


def rule(
    action: str,
    *filters: str,
    name: str = "",
    active: bool = True,
    connection: Connection = Connection.ALL,
    tunnel: bool = False,
) -> Rule:
    """A rule; `block/permit` blocks inbound and permits outbound packets."""
    inbound, _, outbound = action.partition("/")
    return Rule(
        name or " ".join((action, *filters)),
        FilterList(f"list of {name or filters}", tuple(generic(text) for text in filters)),
        FilterAction(action, Action[inbound.upper()], Action[(outbound or inbound).upper()]),
        active=active,
        connection=connection,
        tunnel=tunnel,
    )


def policy(*rules: Rule | str, name: str = "policy") -> Policy:
    """A policy; a rule may be given as `permit any <-> me:80 tcp`."""
    return Policy(
        name, tuple(one if isinstance(one, Rule) else rule(*one.split(" ", 1)) for one in rules)
    )


# --- decisions ----------------------------------------------------------------------------------


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def ips(*texts: str) -> frozenset[IPAddress]:
    """A set of addresses."""
    return frozenset(ipaddress.ip_address(text) for text in texts)


def host(*interfaces: str, delivered: bool = False, **servers: Iterable[str]) -> Host:
    """A host with these addresses, given with their prefix lengths, and servers by kind."""
    return Host.from_interfaces(
        [ipaddress.ip_interface(text) for text in interfaces],
        {ServerKind(kind): ips(*texts) for kind, texts in servers.items()},
        delivered=delivered,
    )


THIS_HOST = host(f"{ME}/24", f"{ME6}/64")


def make_driver(
    *rules: Rule | str,
    policies: ActivePolicies | None = None,
    profile: str = "linux",
    exempt: int = 3,
    mode: Mode = Mode.SECURE,
    on: Host = THIS_HOST,
    boot: Iterable[str] = (),
    clock: Clock | None = None,
) -> Driver:
    """A driver with these rules as its local policy, or with whole policies and stores."""
    if policies is None:
        policies = [(Store.LOCAL, policy(*rules))]
    ipv6_filtered = PROFILES[profile].filters_ipv6

    def table(*, dialup: bool) -> Table:
        return compile_table(specific_filters(policies, ipv6=ipv6_filtered, dialup=dialup), 1)

    return Driver(
        Settings(
            mode=mode,
            profile=PROFILES[profile],
            exempt=exempt,
            host=on,
            boot_exemptions=tuple(BootExemption.parse(text) for text in boot),
            table=table(dialup=False),
            dialup_table=table(dialup=True),
        ),
        clock or Clock(),
    )


def ask(driver: Driver, text: str, interface: str | None = "eth0") -> Decision:
    """The decision about one packet, written as for `packet`."""
    data, direction = packet(text)
    return driver.decide(data, direction, interface)


def verdict(driver: Driver, text: str, interface: str | None = "eth0") -> str:
    """The verdict about one packet, `permit` or `block`."""
    return ask(driver, text, interface).verdict.value


def why(decision: Decision) -> str:
    """Who decided, as the truth table spells it: `EX:KRB`, `no filter`, a rule, a mirror as `w80'`;
    other reasons with their detail."""
    if decision.exemption is not None:
        return decision.exemption
    if decision.rule is not None:
        return decision.rule + "'" * decision.mirrored
    if decision.detail is not None:
        return f"{decision.reason.value}: {decision.detail}"
    return decision.reason.value.replace("-", " ")


def _protocol(text: str) -> int:
    return int(text) if text.isdigit() else PROTOCOL_NUMBERS[text.lower()]


def _split_port(text: str) -> tuple[str, int]:
    if text.startswith("["):
        inner, _, port = text[1:].partition("]")
        return inner, int(port[1:] or 0)
    if text.count(":") == 1:
        inner, _, port = text.partition(":")
        return inner, int(port)
    return text, 0
