"""Servers in the text of resolv.conf and smb.conf."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.kernel.network.servers import MAX_SERVERS, nameservers, wins_servers
from ipsecfd.policy.model import IPAddress
from tests.builders import ips


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nameserver 192.0.2.53\n", ["192.0.2.53"]),
        ("search lan\nnameserver\t192.0.2.53 # mine\nnameserver ::53", ["192.0.2.53", "::53"]),
        ("nameserver fe80::1%eth0\r\n", ["fe80::1"]),
        ("#nameserver 192.0.2.53\n; nameserver 192.0.2.54\n", []),
        ("nameserver\nnameserver dns.example.com\nnameserver 192.0.2.300\n", []),
        ("nameservers 192.0.2.53\noptions nameserver 192.0.2.53\n", []),
        ("", []),
    ],
)  # fmt: skip
def test_nameservers(text: str, expected: list[str]) -> None:
    """Only a line that starts with the word nameserver and a numeric address names a server."""
    assert [ipaddress.ip_address(one) for one in expected] == nameservers(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[global]\n   wins server = 192.0.2.5\n", ips("192.0.2.5")),
        ("WINS Server=192.0.2.5, lab:192.0.2.6\n", ips("192.0.2.5", "192.0.2.6")),
        ("; wins server = 192.0.2.5\nwins support = yes\n", ips()),
        ("wins server = nt-server.example.com\n", ips()),
    ],
)
def test_wins_servers(text: str, expected: frozenset[IPAddress]) -> None:
    """The wins server option in any spelling Samba takes; names are not looked up."""
    assert expected == wins_servers(text)


@given(st.text(max_size=600))
def test_any_text_is_understood_or_ignored(junk: str) -> None:
    """No content of a file raises."""
    for start in ("", "nameserver ", "wins server = "):
        nameservers(start + junk)
        wins_servers(start + junk)


def test_the_number_of_servers_is_bounded() -> None:
    """However long a list of servers is, a fixed number is kept."""
    many = [f"10.{n >> 8}.{n & 255}.1" for n in range(5000)]
    assert len(nameservers("\n".join(f"nameserver {one}" for one in many))) == MAX_SERVERS
    assert len(wins_servers("wins server = " + " ".join(many))) == MAX_SERVERS
