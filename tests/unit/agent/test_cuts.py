"""Which connections a candidate cuts, and which of them is the caller's own."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.agent.cuts import cuts, own_connections
from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.driver.specific import specific_filters
from ipsecfd.kernel.connections import TcpConnection
from ipsecfd.policy.model import Connection, IPAddress, Rule, Store
from tests.builders import host, policy, rule

HOST = host("192.0.2.10/24", "2001:db8::10/64", "10.8.0.2/24", delivered=True)
INTERFACES: dict[IPAddress, str] = {
    ipaddress.ip_address("192.0.2.10"): "eth0",
    ipaddress.ip_address("2001:db8::10"): "eth0",
    ipaddress.ip_address("10.8.0.2"): "wg0",
}


def connection(text: str) -> TcpConnection:
    """The connection of `192.0.2.10:22 <- 203.0.113.66:4000`."""
    here, arrow, there = text.split()
    return TcpConnection(*end(here), *end(there), served=arrow == "<-")


def end(text: str) -> tuple[IPAddress, int]:
    """The address and port of `192.0.2.10:22` or `[2001:db8::1]:22`."""
    address, _, port = text.rpartition(":")
    return ipaddress.ip_address(address.strip("[]")), int(port)


SSH = connection("192.0.2.10:22 <- 203.0.113.66:4000")
WEB = connection("192.0.2.10:80 <- 203.0.113.66:4001")
DATABASE = connection("192.0.2.10:40000 -> 10.0.0.5:5432")
SIX = connection("[2001:db8::10]:22 <- [2001:db8::77]:4000")
OWN = connection("192.0.2.10:40001 -> 192.0.2.10:80")
VPN = connection("10.8.0.2:22 <- 10.8.0.1:4000")
ALL = [SSH, WEB, DATABASE, SIX, OWN, VPN]


def settings(*rules: Rule | str, mode: Mode = Mode.SECURE, **more: object) -> Settings:
    """What packets are judged by."""
    policies = [(Store.LOCAL, policy(*rules))]
    lan, dialup = (
        compile_table(specific_filters(policies, ipv6=True, dialup=one)) for one in (False, True)
    )
    return Settings(mode=mode, host=HOST, table=lan, dialup_table=dialup, **more)  # type: ignore[arg-type]


def cut(now: Settings, then: Settings) -> list[TcpConnection]:
    """The connections cut by a change."""
    return [one.connection for one in cuts(ALL, now, then, INTERFACES)]


OPEN = settings()
CLOSED = settings("block me <-> any")


def test_blocked_connections_are_cut() -> None:
    """All but what stays within the host."""
    assert cut(OPEN, CLOSED) == [SSH, WEB, DATABASE, SIX, VPN]


def test_permitted_connections_are_not() -> None:
    """Both families, whoever began."""
    then = settings(
        "block me <-> any", "permit any <-> me:22 tcp", "permit me <-> 10.0.0.5:5432 tcp"
    )
    assert cut(OPEN, then) == [WEB]


def test_one_direction_is_enough() -> None:
    """A connection whose answers are dropped is cut as well, and it is told where."""
    [found] = cuts([SSH], OPEN, settings("block me:22 -> any tcp"), INTERFACES)
    assert (str(found.direction), found.decision.filter) == ("out", "me:22 -> any tcp")


def test_what_is_blocked_already_is_not_cut() -> None:
    """The change does nothing to it."""
    assert cut(CLOSED, CLOSED) == []
    assert cut(settings("block any <-> me:80 tcp"), CLOSED) == [SSH, DATABASE, SIX, VPN]
    assert cut(settings(mode=Mode.BLOCK), CLOSED) == []


def test_modes() -> None:
    """Permit cuts nothing, block everything but what stays within the host."""
    assert cut(OPEN, settings("block me <-> any", mode=Mode.PERMIT)) == []
    assert cut(OPEN, settings(mode=Mode.BLOCK)) == [SSH, WEB, DATABASE, SIX, VPN]


def test_stateful_mode_cuts_where_the_peer_speaks_first() -> None:
    """It knows none of the conversations before it (spec 6.4); boot exemptions stay open."""
    exemptions = (BootExemption.parse("tcp:0:22:inbound"),)
    then = settings(mode=Mode.STARTUP_STATEFUL, boot_exemptions=exemptions)
    assert cut(OPEN, then) == [WEB]
    now = settings(mode=Mode.STARTUP_STATEFUL)
    assert cut(now, CLOSED) == [SSH, WEB, DATABASE, SIX, VPN]


def test_rules_of_one_kind_of_interface() -> None:
    """The interface of the host's own address decides which rules hold (spec 1.4)."""
    on_dialup = rule("block", "any <-> me tcp", connection=Connection.DIALUP)
    assert cut(OPEN, settings(on_dialup)) == [VPN]


@pytest.mark.parametrize(
    ("session", "own"),
    [
        ("203.0.113.66 4000 192.0.2.10 22", {SSH}),
        ("2001:db8::77 4000 2001:db8::10 22", {SIX}),
        ("::ffff:203.0.113.66 4000 ::ffff:192.0.2.10 22", {SSH}),  # over an IPv6 socket
        ("203.0.113.66 4999 192.0.2.10 22", {SSH}),  # ended; perhaps this one
        ("203.0.113.66 4999 192.0.2.10 2222", set()),
        ("203.0.113.66 4000 192.0.2.99 22", set()),
        ("", set()),
        ("nonsense", set()),
        ("a b c d", set()),
    ],
)
def test_own_session(session: str, own: set[TcpConnection]) -> None:
    """The one of SSH_CONNECTION, or all to its server where that one has ended."""
    assert own_connections(session, ALL) == own
