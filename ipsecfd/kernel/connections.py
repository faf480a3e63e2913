"""The TCP connections of this network namespace, as /proc/net lists them."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.network.messages import interfaces_of
from ipsecfd.kernel.network.rtnetlink import GETADDR, dump, refused, route_socket
from ipsecfd.policy.model import IPAddress

FILES: Final = (Path("/proc/thread-self/net/tcp"), Path("/proc/thread-self/net/tcp6"))

_LISTENING = "0A"
_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT = "01", "04", "05", "08"
_OPEN: Final = (_ESTABLISHED, _FIN_WAIT1, _FIN_WAIT2, _CLOSE_WAIT)
"""States in which data can still come or go, closed by one end or not at all."""


class TcpConnection(NamedTuple):
    """An open connection, seen from this host."""

    local: IPAddress
    local_port: int
    remote: IPAddress
    remote_port: int
    served: bool
    """Whether somebody here listens on the local port: the peer began, and speaks first."""

    def __str__(self) -> str:
        arrow = "<-" if self.served else "->"
        ends = ((self.local, self.local_port), (self.remote, self.remote_port))
        here, there = (
            f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
            for address, port in ends
        )
        return f"{here} {arrow} {there}"


def open_connections() -> list[TcpConnection]:
    """All connections in which data can still come or go; raises KernelError when nobody can tell.

    Takes a second where there are 100,000.
    """
    lines: list[str] = []
    try:
        for path in FILES:
            with contextlib.suppress(FileNotFoundError):  # a kernel without IPv6
                lines += path.read_text("ascii", "replace").splitlines()[1:]
    except OSError as error:
        raise KernelError(f"the TCP connections cannot be read: {error}") from error
    return connections_of(lines)


def connections_of(lines: Iterable[str]) -> list[TcpConnection]:
    """The open connections that lines of /proc/net/tcp and tcp6 describe."""
    found, listening = [], set()
    for local, remote, state in _rows(lines):
        if state == _LISTENING:
            listening.add(local[1])
        else:
            found.append((*local, *remote))
    return [TcpConnection(*one, served=one[1] in listening) for one in found]


def _rows(
    lines: Iterable[str],
) -> Iterator[tuple[tuple[IPAddress, int], tuple[IPAddress, int], str]]:
    for line in lines:
        words = line.split(maxsplit=4)
        if len(words) < 5 or words[3] not in (*_OPEN, _LISTENING):
            continue
        if words[3] == _FIN_WAIT2 and words[4].split()[5] == "0":
            continue  # no program has it any more: nobody would take what still comes
        yield _end(words[1]), _end(words[2]), words[3]


def _end(text: str) -> tuple[IPAddress, int]:
    address, _, port = text.partition(":")
    # Each four bytes stand there as a number in the machine's own order.
    numbers = [int(address[at : at + 8], 16) for at in range(0, len(address), 8)]
    packed = struct.pack(f"={len(numbers)}I", *numbers)
    found = ipaddress.ip_address(packed)
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped  # an IPv4 connection of a program that speaks IPv6
    return found, int(port, 16)


def interfaces() -> dict[IPAddress, str]:
    """The interface of each of the host's addresses; raises KernelError."""
    with route_socket() as netlink:
        try:
            by_index = interfaces_of(dump(netlink, GETADDR, socket.AF_UNSPEC))
        except OSError as error:
            raise refused(error) from error
    names = dict(socket.if_nameindex())
    return {address: names[index] for address, index in by_index.items() if index in names}
