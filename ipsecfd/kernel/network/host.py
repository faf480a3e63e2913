"""The host as it is now: what the kernel, the resolver's and the DHCP clients' files say of it."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

from ipsecfd.driver.host import Host
from ipsecfd.kernel.network.leases import leases
from ipsecfd.kernel.network.messages import FAMILIES, addresses_of, default_next_hops_of
from ipsecfd.kernel.network.rtnetlink import GETADDR, GETROUTE, dump, refused, route_socket
from ipsecfd.kernel.network.servers import nameservers, usable, wins_servers
from ipsecfd.policy.model import IPAddress, ServerKind

ROOT: Final = Path("/")
RESOLV_CONF: Final = "etc/resolv.conf"
RESOLVED_CONF: Final = "run/systemd/resolve/resolv.conf"
"""The servers behind the stub resolver of systemd-resolved."""
SMB_CONF: Final = "etc/samba/smb.conf"
LEASES: Final = (
    "var/lib/dhcp/*.leases",
    "var/lib/dhclient/*.leases",
    "run/systemd/netif/leases/*",
    "var/lib/NetworkManager/*.lease",
    "var/lib/dhcpcd/*.lease",
)
MAX_FILES: Final = 256
MAX_BYTES: Final = 1 << 18
"""Of each file the end is read: dhclient appends."""

Stamp: TypeAlias = list[tuple[str, int, int, int]]
"""Of each file that is there: path, time of change, size, inode."""


def read_host(root: Path = ROOT, *, delivered: bool = False) -> Host:
    """The host as it is now, in this thread's network namespace; files are those below `root`.

    Raises KernelError when the kernel does not answer.
    """
    with route_socket() as netlink:
        try:
            addresses, broadcasts = addresses_of(dump(netlink, GETADDR, socket.AF_UNSPEC))
            gateways = [
                default_next_hops_of(dump(netlink, GETROUTE, family)) for family in FAMILIES
            ]
        except OSError as error:
            raise refused(error) from error
    resolvers = nameservers(_text(root / RESOLV_CONF))
    if any(str(one) in ("127.0.0.53", "127.0.0.54") for one in resolvers):
        resolvers += nameservers(_text(root / RESOLVED_CONF))
    found = [lease for path in _lease_files(root) for lease in leases(_content(path))]
    held = [lease for lease in found if lease.address in addresses]
    servers = {
        ServerKind.WINS: _all(lease.wins for lease in held) | wins_servers(_text(root / SMB_CONF)),
        ServerKind.DNS: usable(resolvers),
        ServerKind.DHCP: _all(lease.dhcp for lease in held),
        ServerKind.GATEWAY: _all(gateways),
    }
    return Host(addresses, broadcasts, servers, delivered)


def stamp(root: Path) -> Stamp:
    """Changes when one of the files does."""
    found = []
    for path in (
        *(root / one for one in (RESOLV_CONF, RESOLVED_CONF, SMB_CONF)),
        *_lease_files(root),
    ):
        try:
            status = path.stat()
        except OSError:
            continue
        found.append((str(path), status.st_mtime_ns, status.st_size, status.st_ino))
    return found


def _all(sets: Iterable[frozenset[IPAddress]]) -> frozenset[IPAddress]:
    return frozenset[IPAddress]().union(*sets)


def _lease_files(root: Path) -> list[Path]:
    return sorted(islice((path for one in LEASES for path in root.glob(one)), MAX_FILES))


def _content(path: Path) -> bytes:
    """The end of a file, or nothing; never waits for a pipe."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return b""
            file.seek(max(0, status.st_size - MAX_BYTES))
            return file.read(MAX_BYTES)
    except OSError:
        return b""


def _text(path: Path) -> str:
    return _content(path).decode("utf-8", "replace")
