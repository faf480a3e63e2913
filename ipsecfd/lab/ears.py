"""The receivers' sockets: what they get has passed the receiver's filters."""

from __future__ import annotations

import errno
import selectors
import socket
import struct
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial

from ipsecfd.driver.packet import Malformed, parse
from ipsecfd.lab.attempts import FAMILY, Attempt, close_abruptly, share_port
from ipsecfd.lab.hosts import Host
from ipsecfd.lab.probes import Kind, Probe
from ipsecfd.policy.model import TCP


class Ears:
    """Sockets that listen for the attempts of one round."""

    def __init__(
        self, stack: ExitStack, selector: selectors.BaseSelector, attempts: Sequence[Attempt]
    ) -> None:
        self._stack = stack
        self._selector = selector
        self._attempts = attempts
        self._open: dict[tuple[str, int, int, int], socket.socket] = {}

    def listen(self, attempt: Attempt) -> None:
        """Open what will receive this probe, once for all probes of a kind."""
        probe = attempt.probe
        if probe.kind is Kind.PING:
            return  # the kernel answers
        for protocol in _protocols(probe):
            port = 0 if probe.flags or probe.raw else probe.destination_port
            for host in attempt.receivers:
                key = (host.name, probe.source.version, protocol, port)
                if key not in self._open:
                    self._open[key] = self._ear(host, *key[1:])
                if probe.destination.is_multicast:
                    _join_group(self._open[key], host, probe)

    def _ear(self, host: Host, version: int, protocol: int, port: int) -> socket.socket:
        if not port:
            kind = socket.SOCK_RAW
        else:
            kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
        number = protocol if kind == socket.SOCK_RAW else 0
        ear = self._stack.enter_context(host.socket(FAMILY[version], kind, number))
        ear.setblocking(False)
        handler: Callable[[socket.socket], None] = partial(self._hear, host)
        if port:
            share_port(ear)
            if version == 6:
                ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            ear.bind(("0.0.0.0" if version == 4 else "::", port))
        if kind == socket.SOCK_STREAM:
            ear.listen()
            handler = self._accept
        self._selector.register(ear, selectors.EVENT_READ, handler)
        return ear

    def _hear(self, host: Host, ear: socket.socket) -> None:
        try:
            data = ear.recv(65535)
        except OSError:  # an ICMP error about an earlier packet
            return
        for attempt in self._attempts:
            if attempt.probe.kind is not Kind.PACKET or host not in attempt.receivers:
                continue  # a sender may get its own multicasts and broadcasts back
            if attempt.token in data:
                attempt.arrived("delivered")

    def _accept(self, ear: socket.socket) -> None:
        connection, _ = ear.accept()
        self._stack.enter_context(connection)
        connection.setblocking(False)
        close_abruptly(connection)
        self._selector.register(connection, selectors.EVENT_READ, self._echo)

    def _echo(self, connection: socket.socket) -> None:
        try:
            data = connection.recv(65535)
            if data:
                connection.send(data)
                return
        except OSError:  # the other side has gone
            pass
        self._selector.unregister(connection)


def _protocols(probe: Probe) -> set[int]:
    """The protocols whose sockets may get the packet; none if the kernel cannot understand it."""
    if not probe.raw:
        return {probe.protocol}
    packet = parse(probe.raw[0])
    if isinstance(packet, Malformed):
        return set()
    # A raw socket sees an IPv6 fragment as it is, unless the kernel reassembles before.
    fragment = {socket.IPPROTO_FRAGMENT} if packet.family == 6 and packet.fragment else set()
    return fragment if packet.protocol is None else fragment | {packet.protocol}


def _join_group(ear: socket.socket, host: Host, probe: Probe) -> None:
    group = probe.destination
    try:
        if group.version == 4:
            request = struct.pack("=4s4si", group.packed, bytes(4), host.ifindex)
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)
        else:
            request = struct.pack("=16si", group.packed, host.ifindex)
            ear.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:  # joined for another probe
            raise
