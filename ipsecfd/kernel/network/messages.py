"""What rtnetlink messages say of addresses and default routes: pure functions of their bodies."""

from __future__ import annotations

import ipaddress
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from ipsecfd.driver.host import LIMITED_BROADCAST
from ipsecfd.kernel.netlink import aligned, attributes
from ipsecfd.kernel.network.servers import usable
from ipsecfd.policy.model import IPAddress, by_family

FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_LOOPBACK_INDEX = 1
_LOCAL_TABLE = 255
_IFA_ADDRESS, _IFA_LOCAL, _IFA_BROADCAST = 1, 2, 4
_RTA_GATEWAY, _RTA_MULTIPATH, _RTA_VIA = 5, 9, 18
_UNICAST = 1


def addresses_of(bodies: Iterable[bytes]) -> tuple[frozenset[IPAddress], frozenset[IPAddress]]:
    """The host's addresses and broadcast addresses, from the bodies of RTM_NEWADDR messages."""
    addresses: set[IPAddress] = set()
    broadcasts: set[IPAddress] = {LIMITED_BROADCAST}
    for body in bodies:
        if len(body) < 8 or body[0] not in FAMILIES:
            continue
        fields = _attributes(body[8:])
        ends = (fields.get(_IFA_LOCAL), fields.get(_IFA_ADDRESS))
        # On a point-to-point link IFA_ADDRESS is the peer; without one IPv6 has no IFA_LOCAL.
        own, subnet = _packed(ends[0] or ends[1] or b""), _packed(ends[1] or b"")
        if own is None or own.is_loopback:
            continue
        addresses.add(own)
        (interface,) = struct.unpack_from("=I", body, 4)
        if interface == _LOOPBACK_INDEX:
            continue  # whose subnets have no broadcast: every address in them is the host's
        broadcast = _packed(fields.get(_IFA_BROADCAST, b""))
        if broadcast is not None:
            broadcasts.add(broadcast)
        if isinstance(subnet, ipaddress.IPv4Address) and body[1] < 31:
            broadcasts.add(ipaddress.IPv4Address(int(subnet) | 0xFFFFFFFF >> body[1]))
    # What is sent to one of the host's own addresses is no broadcast, whatever another subnet says.
    return frozenset(addresses), frozenset(broadcasts - addresses)


def interfaces_of(bodies: Iterable[bytes]) -> dict[IPAddress, int]:
    """The index of the interface of each address, from the bodies of RTM_NEWADDR messages."""
    found = {}
    for body in bodies:
        if len(body) >= 8 and body[0] in FAMILIES:
            fields = _attributes(body[8:])
            own = _packed(fields.get(_IFA_LOCAL) or fields.get(_IFA_ADDRESS, b""))
            if own is not None:
                (found[own],) = struct.unpack_from("=I", body, 4)
    return found


def default_next_hops_of(bodies: Iterable[bytes]) -> frozenset[IPAddress]:
    """Where the default routes of all tables lead, from the bodies of RTM_NEWROUTE messages."""
    hops: set[IPAddress] = set()
    for body in bodies:
        # Length of the destination's prefix, table and type of route: there may be a million.
        if len(body) < 12 or body[1] or body[4] == _LOCAL_TABLE or body[7] != _UNICAST:
            continue
        if body[0] in FAMILIES:
            hops.update(_next_hops(_attributes(body[12:])))
    return usable(sorted(hops, key=by_family))


def _next_hops(fields: Mapping[int, bytes]) -> Iterator[IPAddress]:
    found = [fields]
    multipath = fields.get(_RTA_MULTIPATH, b"")
    while len(multipath) >= 8:
        (length,) = struct.unpack_from("=H", multipath)
        found.append(_attributes(multipath[8:length]))
        multipath = multipath[max(aligned(length), 8) :]
    for one in found:
        via = one.get(_RTA_VIA, b"")[2:]  # behind its family: IPv4 by way of IPv6
        for value in (one.get(_RTA_GATEWAY, b""), via):
            hop = _packed(value)
            if hop is not None:
                yield hop


def _attributes(data: bytes) -> dict[int, bytes]:
    return {kind: data[begin:end] for kind, begin, end in attributes(data, 0, len(data))}


def _packed(value: bytes) -> IPAddress | None:
    return ipaddress.ip_address(value) if len(value) in (4, 16) else None
