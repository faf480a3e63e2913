"""Which open connections a change would cut, judged by the driver before it is made.

Only TCP has connections that anybody can list, and only those of this network namespace are: what
is routed for containers is not among them.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from ipsecfd.driver.build import build
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel.connections import TcpConnection
from ipsecfd.policy.model import TCP, IPAddress


@dataclass(frozen=True, slots=True)
class Cut:
    """A connection that works now and would not afterwards."""

    connection: TcpConnection
    direction: Direction
    """Of the packets that would be dropped; the first of both directions."""
    decision: Decision


def cuts(
    connections: Iterable[TcpConnection],
    now: Settings,
    then: Settings,
    interfaces: Mapping[IPAddress, str],
) -> list[Cut]:
    """The connections that `then` would cut and `now` does not.

    `interfaces` tells which one each of the host's addresses is on; where it says nothing, the
    rules for LAN interfaces hold.
    """
    present, future = (_driver(settings) for settings in (now, then))
    found = []
    for one in connections:
        # What the host sends to itself takes lo, whichever interface has the address.
        interface = "lo" if one.remote in interfaces else interfaces.get(one.local)
        cut = _cut(one, future, interface)
        # Whether stateful mode knows a connection, only its packet process can say.
        if cut is not None and (
            now.mode is Mode.STARTUP_STATEFUL or _cut(one, present, interface) is None
        ):
            found.append(cut)
    return found


def own_connections(session: str, connections: Iterable[TcpConnection]) -> frozenset[TcpConnection]:
    """The connections of an ssh session, by what sshd put into its SSH_CONNECTION.

    When it has ended, as in a terminal multiplexer that outlived it, all those to the same server:
    one of them is likely the caller's.
    """
    try:
        client, client_port, server, server_port = session.split()
        ends = (_address(server), int(server_port), _address(client), int(client_port))
    except ValueError:
        return frozenset()
    to_server = [one for one in connections if one[:2] == ends[:2]]
    return frozenset(one for one in to_server if one[:4] == ends) or frozenset(to_server)


def _driver(settings: Settings) -> Driver:
    return Driver(settings, lambda: 0.0)


def _cut(one: TcpConnection, driver: Driver, interface: str | None) -> Cut | None:
    for direction, data in _packets(one):
        decision = driver.decide(data, direction, interface)
        if not decision.permits:
            return Cut(one, direction, decision)
    return None


def _packets(one: TcpConnection) -> Iterator[tuple[Direction, bytes]]:
    """A packet of both ends, beginning with the end that speaks first.

    That decides in stateful mode, where an answer passes and a question may not.
    """
    to_here = build(one.remote, one.local, TCP, one.remote_port, one.local_port)
    to_there = build(one.local, one.remote, TCP, one.local_port, one.remote_port)
    packets = [(Direction.IN, to_here), (Direction.OUT, to_there)]
    yield from packets if one.served else reversed(packets)


def _address(text: str) -> IPAddress:
    found = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        return found.ipv4_mapped  # of a server that takes IPv4 over an IPv6 socket, and says so
    return found
