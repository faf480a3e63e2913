"""What /proc/net/tcp and tcp6 say of connections."""

from __future__ import annotations

import socket
import struct

import pytest

from ipsecfd.kernel.connections import connections_of, established


def row(local: str, remote: str, state: str) -> str:
    """A line as the kernel writes it."""
    return f"   0: {_end(local)} {_end(remote)} {state} 00000000:00000000 00:00000000 00000000 0"


def _end(text: str) -> str:
    address, _, port = text.rpartition(":")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    packed = socket.inet_pton(family, address)
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{int(port):04X}"


def test_established_connections_only() -> None:
    """Neither those that listen nor those that end; who listens tells who began."""
    lines = [
        row("0.0.0.0:22", "0.0.0.0:0", "0A"),
        row("192.0.2.10:22", "203.0.113.66:4000", "01"),
        row("192.0.2.10:22", "203.0.113.66:4001", "06"),
        row("192.0.2.10:40000", "10.0.0.5:5432", "01"),
        row("2001:db8::10:22", "2001:db8::77:4000", "01"),
    ]
    assert [str(one) for one in connections_of(lines)] == [
        "192.0.2.10:22 <- 203.0.113.66:4000",
        "192.0.2.10:40000 -> 10.0.0.5:5432",
        "[2001:db8::10]:22 <- [2001:db8::77]:4000",
    ]


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
            found = established()
    mine = client_port = None
    for one in found:
        if one.local_port == port:
            mine, client_port = one, one.remote_port
    assert mine is not None
    assert mine.served
    assert any(one.local_port == client_port and not one.served for one in found)
    del client
