"""What DHCP clients keep of their leases, which is the only place that names DHCP servers.

Pure functions of a file's content, which may be anything; what is not understood is no lease.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ipsecfd.kernel.network.servers import named, parse_address
from ipsecfd.policy.model import IPAddress


@dataclass(frozen=True, slots=True)
class Lease:
    """What a DHCP server granted; it counts only while the host has that address."""

    address: IPAddress
    dhcp: frozenset[IPAddress]
    wins: frozenset[IPAddress]


def leases(content: bytes) -> list[Lease]:
    """The leases in a file of dhclient, systemd-networkd, NetworkManager or dhcpcd, told apart by
    content. One lease an address, the last; what is not understood is no lease."""
    if content[236:240] == b"\x63\x82\x53\x63":
        found = [_bootp_lease(content)]
    else:
        text = content.decode("ascii", "replace")
        found = list(_dhclient_leases(text)) if "lease {" in text else [_networkd_lease(text)]
    return list({lease.address: lease for lease in found if lease is not None}.values())


def _dhclient_leases(text: str) -> Iterator[Lease | None]:
    fields: dict[str, str] = {}
    for line in text.split("\n"):
        if line.startswith("lease"):
            fields = {}
        elif line.startswith("}"):
            yield _lease(fields, "fixed-address", "dhcp-server-identifier", "netbios-name-servers")
            fields = {}
        else:
            words = line.strip().removeprefix("option ").rstrip(";")
            key, _, value = words.partition(" ")
            fields[key] = value


def _networkd_lease(text: str) -> Lease | None:
    # NetworkManager's own client writes the same format, but newer ones no server into it.
    fields = dict(line.partition("=")[::2] for line in text.split("\n"))
    return _lease(fields, "ADDRESS", "SERVER_ADDRESS")


def _bootp_lease(content: bytes) -> Lease | None:
    """A lease that dhcpcd keeps as the server's own packet (RFC 2131)."""
    fields = {"address": str(ipaddress.IPv4Address(content[16:20]))}
    position = 240
    while position + 2 <= len(content) and content[position] != 255:
        if content[position] == 0:
            position += 1
            continue
        code, length = content[position : position + 2]
        value = content[position + 2 : position + 2 + length]
        if code in (44, 54) and length and len(value) == length and length % 4 == 0:
            packed = (value[at : at + 4] for at in range(0, length, 4))
            fields[str(code)] = ",".join(str(ipaddress.IPv4Address(one)) for one in packed)
        position += 2 + length
    return _lease(fields, "address", "54", "44")


def _lease(
    fields: Mapping[str, str], address: str, dhcp: str, wins: str | None = None
) -> Lease | None:
    own = parse_address(fields.get(address, ""))
    if own is None:
        return None
    servers = [
        named(fields.get(key, "").replace(",", " ").split()) if key else frozenset[IPAddress]()
        for key in (dhcp, wins)
    ]
    return Lease(own, servers[0], servers[1])
