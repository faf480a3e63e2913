"""One probe under way: how it is sent, and what is known of it so far."""

from __future__ import annotations

import errno
import ipaddress
import os
import selectors
import socket
import struct
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from itertools import count
from typing import Any, Final

from ipsecfd.lab.craft import (
    ECHO_REPLY,
    ECHO_REQUEST,
    icmp_message,
    tcp_segment,
    with_header_checksum,
)
from ipsecfd.lab.hosts import INTERFACE, Host
from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.probes import Kind, Outcome, Probe, Record, Seen, concerns
from ipsecfd.policy.model import ICMP, ICMPV6, TCP, UDP

FAMILY: Final = {4: socket.AF_INET, 6: socket.AF_INET6}
_TRANSPARENT: Final = {4: (socket.IPPROTO_IP, 19), 6: (socket.IPPROTO_IPV6, 75)}
"""IP_TRANSPARENT and IPV6_TRANSPARENT: sending from addresses that the host does not have."""
_ETHERTYPE: Final = {4: 0x0800, 6: 0x86DD}
_source_ports = count(40_000)


class Attempt:
    """One probe under way."""

    def __init__(self, hosts: Mapping[str, Host], probe: Probe, stack: ExitStack) -> None:
        self.sender = _sender(hosts, probe)
        self.receivers = _receivers(hosts, probe, self.sender)
        if probe.protocol in (TCP, UDP) and not probe.source_port and not probe.raw:
            probe = replace(probe, source_port=next(_source_ports))
        self.probe = probe
        self.identifier = int.from_bytes(os.urandom(2))
        self.token = probe.raw[-1][-8:] if probe.raw else b"ipsecfd-" + os.urandom(8)
        self.arrival: tuple[float, Outcome, str] | None = None
        self.logged: float | None = None
        self.records: list[Record] = []
        self.started = 0.0
        self._stack = stack
        self._selector: selectors.BaseSelector

    @property
    def payload(self) -> bytes:
        """The data it carries, beginning with the token that tells it from all others."""
        return self.token + bytes(max(0, self.probe.size - len(self.token)))

    def send(self, selector: selectors.BaseSelector, *, exact: bool) -> None:
        """Send it; raw packets from a host without a daemon past its network stack (`exact`)."""
        self.started = time.monotonic()
        self._selector = selector
        try:
            if self.probe.raw:
                self._send_raw(exact=exact)
            elif self.probe.kind is Kind.CONNECTION:
                self._connect()
            else:
                self._send_packet()
        except OSError as error:
            self._error(error.errno or 0)

    def note(self, record: Record, logging: Host) -> None:
        """Take note of a log record of the host `logging`, if it is about this probe."""
        if concerns(record, self.probe, "out" if self.sender is logging else "in"):
            self.records.append(record)
            if self.logged is None:
                self.logged = time.monotonic()

    def arrived(self, how: str, outcome: Outcome = Outcome.PASS) -> None:
        """It is known what became of it; the first to say so is right."""
        if self.arrival is None:
            self.arrival = (time.monotonic(), outcome, how)

    def settled(self, patience: float, grace: float) -> bool:
        """Whether nothing new is to be expected: after `patience` seconds without any sign, and
        `grace` seconds after it was logged as dropped."""
        now = time.monotonic()
        if self.arrival is not None or now - self.started >= patience:
            return True
        return self.logged is not None and now - self.logged >= grace

    def seen(self) -> Seen:
        """What was seen."""
        if self.arrival is None:
            how = "logged as dropped" if self.records else "silence"
            end, outcome = time.monotonic(), Outcome.DROP
        else:
            end, outcome, how = self.arrival
        return Seen(self.probe, outcome, how, tuple(self.records), end - self.started)

    def _socket(self, kind: int, protocol: int = 0) -> socket.socket:
        """A sending socket, bound as the probe wants."""
        probe, version = self.probe, self.probe.source.version
        sock = self._stack.enter_context(self.sender.socket(FAMILY[version], kind, protocol))
        sock.setblocking(False)
        share_port(sock)
        if probe.mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, struct.pack("=I", probe.mark))
        if probe.hop_limit is not None:
            for option in _hop_limit_options(version):
                sock.setsockopt(*option, probe.hop_limit)
        if not self.sender.has(probe.source) and not probe.source.is_unspecified:
            sock.setsockopt(*_TRANSPARENT[version], 1)
        if probe.destination.is_multicast or probe.destination.is_link_local or self._broadcast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, INTERFACE.encode())
        port = probe.source_port if kind != socket.SOCK_RAW else 0
        sock.bind(_sockaddr(self.sender, str(probe.source), port))
        return sock

    @property
    def _broadcast(self) -> bool:
        return _is_broadcast(self.sender, self.probe.destination)

    def _target(self, port: int) -> tuple[Any, ...]:
        return _sockaddr(self.sender, str(self.probe.destination), port)

    def _send_packet(self) -> None:
        probe = self.probe
        if probe.protocol == UDP:
            # Closed at once: it would get what is meant for a listener on the same port.
            with self._socket(socket.SOCK_DGRAM) as sock:
                sock.sendto(self.payload, self._target(probe.destination_port))
            return
        sock = self._socket(socket.SOCK_RAW, probe.protocol)
        if probe.protocol in (ICMP, ICMPV6):
            kind = probe.icmp_type
            if kind is None:
                kind = ECHO_REQUEST[probe.source.version]
            message = icmp_message(kind, self.identifier, self.payload)
        elif probe.protocol == TCP:
            ports = (probe.source_port, probe.destination_port)
            message = tcp_segment(probe.source, probe.destination, ports, probe.flags, self.payload)
        else:
            message = self.payload
        if probe.kind is Kind.PING:
            self._selector.register(sock, selectors.EVENT_READ, self._echo_reply)
        sock.sendto(message, self._target(0))

    def _echo_reply(self, sock: socket.socket) -> None:
        data = sock.recv(65535)
        version = self.probe.source.version
        message = data[(data[0] & 15) * 4 :] if version == 4 else data
        if message[:1] == bytes([ECHO_REPLY[version]]) and self.token in message:
            self.arrived("answered")

    def _connect(self) -> None:
        sock = self._socket(socket.SOCK_STREAM)
        close_abruptly(sock)
        problem = sock.connect_ex(self._target(self.probe.destination_port))
        if problem not in (0, errno.EINPROGRESS):
            self._error(problem)
            return
        self._selector.register(sock, selectors.EVENT_WRITE, self._connected)

    def _connected(self, sock: socket.socket) -> None:
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if problem:
            self._selector.unregister(sock)
            self._error(problem)
            return
        sock.send(self.token)
        self._selector.modify(sock, selectors.EVENT_READ, self._echoed)

    def _echoed(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(65535)
        except OSError as error:
            self._selector.unregister(sock)
            self._error(error.errno or 0)
            return
        if self.token in data:
            self.arrived("connected, data came back")
        self._selector.unregister(sock)

    def _send_raw(self, *, exact: bool) -> None:
        version = self.probe.source.version
        if exact:
            sock = self.sender.socket(socket.AF_PACKET, socket.SOCK_DGRAM)
            group = self.probe.destination.is_multicast or self._broadcast
            mac = "ff:ff:ff:ff:ff:ff" if group else self.receivers[0].mac
            target: Any = (
                INTERFACE,
                _ETHERTYPE[version],
                0,
                0,
                bytes.fromhex(mac.replace(":", "")),
            )
        else:
            sock = self.sender.socket(FAMILY[version], socket.SOCK_RAW, socket.IPPROTO_RAW)
            target = self._target(0)
        self._stack.enter_context(sock)
        for packet in self.probe.raw:
            sock.sendto(with_header_checksum(packet), target)

    def _error(self, number: int) -> None:
        why = os.strerror(number)
        if number in (errno.EPERM, errno.EACCES):  # what a drop on the way out may look like
            self.arrived(f"cannot send: {why}", Outcome.DROP)
        elif number in (errno.ECONNREFUSED, errno.ECONNRESET):
            self.arrived("reset by the other side", Outcome.REFUSED)
        else:
            self.arrived(f"cannot send: {why}", Outcome.FAILED)


def _sender(hosts: Mapping[str, Host], probe: Probe) -> Host:
    if probe.sender:
        return _named(hosts, probe.sender)
    owners = [host for host in hosts.values() if host.has(probe.source)]
    if not owners:
        raise LabError(f"{probe}: no host has {probe.source}; say which host sends it")
    return owners[0]


def _receivers(hosts: Mapping[str, Host], probe: Probe, sender: Host) -> list[Host]:
    if probe.receiver:
        return [_named(hosts, probe.receiver)]
    if probe.destination.is_multicast or _is_broadcast(sender, probe.destination):
        return [host for host in hosts.values() if host is not sender]
    owners = [host for host in hosts.values() if host.has(probe.destination)]
    if not owners or owners[0] is sender:
        raise LabError(f"{probe}: no other host has {probe.destination}; say which receives it")
    return owners[:1]


def _named(hosts: Mapping[str, Host], name: str) -> Host:
    if name not in hosts:
        raise LabError(f"no host {name!r} in the lab; its hosts: {', '.join(hosts)}")
    return hosts[name]


def _is_broadcast(host: Host, address: Any) -> bool:
    return address == ipaddress.IPv4Address("255.255.255.255") or any(
        interface.version == 4
        and interface.network.prefixlen < 31
        and interface.network.broadcast_address == address
        for interface in host.interfaces
    )


def _hop_limit_options(version: int) -> tuple[tuple[int, int], ...]:
    if version == 4:
        return (
            (socket.IPPROTO_IP, socket.IP_TTL),
            (socket.IPPROTO_IP, socket.IP_MULTICAST_TTL),
        )
    return (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS),
        (socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS),
    )


def _sockaddr(host: Host, address: str, port: int) -> tuple[Any, ...]:
    """A socket address; link-local and multicast IPv6 ones need the interface."""
    parsed = ipaddress.ip_address(address)
    if parsed.version == 4:
        return (address, port)
    scoped = parsed.is_link_local or parsed.is_multicast
    return (address, port, 0, host.ifindex if scoped else 0)


def share_port(sock: socket.socket) -> None:
    """Let a port be that of a listener and the source of a probe at the same time."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)


def close_abruptly(sock: socket.socket) -> None:
    """Make closing send a reset, so that nothing lingers and speaks again in a later mode."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
