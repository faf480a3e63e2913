"""What /proc/net/tcp and tcp6 say of connections."""

from __future__ import annotations

import socket
import struct

import pytest

from ipsecfd.kernel.connections import connections_of, open_connections


def row(local: str, remote: str, state: str, inode: int = 1) -> str:
    """A line as the kernel writes it, of a socket that a program has, or with inode 0 none."""
    ends = f"{_end(local)} {_end(remote)}"
    return f"   0: {ends} {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0"


def _end(text: str) -> str:
    address, _, port = text.rpartition(":")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{int(port):04X}"


def test_open_connections_only() -> None:
    """Neither those that listen nor those that begin or end; who listens tells who began."""
    lines = [
        row("0.0.0.0:22", "0.0.0.0:0", "0A"),
        row("192.0.2.10:22", "203.0.113.66:4000", "01"),
        row("192.0.2.10:40000", "10.0.0.5:5432", "01"),
        row("2001:db8::10:22", "2001:db8::77:4000", "01"),
        *(
            row("192.0.2.10:22", f"203.0.113.66:{5000 + number}", f"{number:02X}")
            for number in (2, 3, 6, 7, 9, 11, 12)
        ),
    ]
    assert [str(one) for one in connections_of(lines)] == [
        "192.0.2.10:22 <- 203.0.113.66:4000",
        "192.0.2.10:40000 -> 10.0.0.5:5432",
        "[2001:db8::10]:22 <- [2001:db8::77]:4000",
    ]


def test_half_closed_connections() -> None:
    """One end has said its last, the other may go on: FIN_WAIT1 and 2, CLOSE_WAIT. Not where no
    program listens to it any more."""
    lines = [
        row("192.0.2.10:40001", "10.0.0.5:80", "04"),
        row("192.0.2.10:40002", "10.0.0.5:80", "05"),
        row("192.0.2.10:40003", "10.0.0.5:80", "05", inode=0),
        row("192.0.2.10:40004", "10.0.0.5:80", "08"),
    ]
    assert [one.local_port for one in connections_of(lines)] == [40001, 40002, 40004]


def test_ipv4_within_ipv6() -> None:
    """A program that listens for both families has IPv4 connections: so they are on the wire."""
    [one] = connections_of([row("::ffff:192.0.2.10:22", "::ffff:203.0.113.66:4000", "01")])
    assert str(one) == "192.0.2.10:22 -> 203.0.113.66:4000"


@pytest.mark.parametrize("line", ["", "0:", "a b c d"])
def test_odd_lines(line: str) -> None:
    """Lines of another kind are passed over."""
    assert connections_of([line]) == []


def test_reads_the_kernel() -> None:
    """A connection of this process is found, from both of its ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0]:
            found = open_connections()
    mine = client_port = None
    for one in found:
        if one.local_port == port:
            mine, client_port = one, one.remote_port
    assert mine is not None
    assert mine.served
    assert any(one.local_port == client_port and not one.served for one in found)
    del client


def test_reads_half_closed_connections_of_the_kernel() -> None:
    """Both ends are found as long as a program has them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, server.accept()[0] as served:
            client.shutdown(socket.SHUT_WR)
            assert served.recv(1) == b""
            ends = {client.getsockname()[1], port}
            assert ends <= {one.local_port for one in open_connections()}
