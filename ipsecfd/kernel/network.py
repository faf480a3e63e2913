"""The host's addresses, broadcast addresses and servers, read from the kernel and kept current.

Netlink events, and a look at the resolver's and DHCP clients' files once a second, only wake the
watcher up; it then reads everything anew, so no lost or misread event can leave it wrong.
"""

from __future__ import annotations

import asyncio
import ctypes
import ipaddress
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from ipsecfd.driver.host import LIMITED_BROADCAST, Host
from ipsecfd.kernel.errors import KernelError
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
MAX_SERVERS: Final = 256
"""Servers of one kind."""

SETTLE: Final = 0.005
"""Seconds from the first event of a burst to reading."""
REST: Final = 0.01
"""Seconds from one reading to the next at least, and ten times what reading took: a storm of
events costs a tenth of one core at most."""
POLL: Final = 1.0
"""Seconds between two looks at the files."""
RESYNC: Final = 60.0
"""Seconds after which everything is read anew without a reason: the kernel drops some IPv4 routes
without telling anybody."""


# --- files: pure functions of their content, which may be anything ---


@dataclass(frozen=True, slots=True)
class Lease:
    """What a DHCP server granted; it counts only while the host has that address."""

    address: IPAddress
    dhcp: frozenset[IPAddress]
    wins: frozenset[IPAddress]


def nameservers(text: str) -> list[IPAddress]:
    """The `nameserver` lines of a resolv.conf."""
    lines = (line.split() for line in text.split("\n"))
    found = (_address(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver")
    return list(islice((one for one in found if one is not None), MAX_SERVERS))


def wins_servers(text: str) -> frozenset[IPAddress]:
    """The `wins server` option of a smb.conf; each server may stand behind a `tag:`."""
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and "".join(key.split()).lower() == "winsserver":
            return _servers(word.rpartition(":")[2] for word in value.replace(",", " ").split())
    return frozenset()


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
    own = _address(fields.get(address, ""))
    if own is None:
        return None
    servers = [
        _servers(fields.get(key, "").replace(",", " ").split()) if key else frozenset[IPAddress]()
        for key in (dhcp, wins)
    ]
    return Lease(own, servers[0], servers[1])


def _address(text: str) -> IPAddress | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])  # filters know no interfaces
    except ValueError:
        return None


def _servers(words: Iterable[str]) -> frozenset[IPAddress]:
    return _usable(one for word in words if (one := _address(word)) is not None)


def _usable(addresses: Iterable[IPAddress]) -> frozenset[IPAddress]:
    """Those that a packet can come from; others can only be lies or the host itself."""
    usable = (
        one
        for one in addresses
        if not (one.is_loopback or one.is_multicast or one.is_unspecified)
        and one != LIMITED_BROADCAST
    )
    return frozenset(islice(usable, MAX_SERVERS))


# --- rtnetlink: pure functions of messages ---

_HEADER: Final = struct.Struct("=IHHII")
_RTM_GETADDR, _RTM_NEWROUTE, _RTM_DELROUTE, _RTM_GETROUTE = 22, 24, 25, 26
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DUMP_REQUEST = 0x301
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
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
        if len(body) < 8 or body[0] not in _FAMILIES:
            continue
        attributes = _attributes(body[8:])
        ends = (attributes.get(_IFA_LOCAL), attributes.get(_IFA_ADDRESS))
        # On a point-to-point link IFA_ADDRESS is the peer; without one IPv6 has no IFA_LOCAL.
        own, subnet = _packed(ends[0] or ends[1] or b""), _packed(ends[1] or b"")
        if own is None or own.is_loopback:
            continue
        addresses.add(own)
        (interface,) = struct.unpack_from("=I", body, 4)
        if interface == _LOOPBACK_INDEX:
            continue  # whose subnets have no broadcast: every address in them is the host's
        broadcast = _packed(attributes.get(_IFA_BROADCAST, b""))
        if broadcast is not None:
            broadcasts.add(broadcast)
        if isinstance(subnet, ipaddress.IPv4Address) and body[1] < 31:
            broadcasts.add(ipaddress.IPv4Address(int(subnet) | 0xFFFFFFFF >> body[1]))
    # What is sent to one of the host's own addresses is no broadcast, whatever another subnet says.
    return frozenset(addresses), frozenset(broadcasts - addresses)


def default_next_hops_of(bodies: Iterable[bytes]) -> frozenset[IPAddress]:
    """Where the default routes of all tables lead, from the bodies of RTM_NEWROUTE messages."""
    hops: set[IPAddress] = set()
    for body in bodies:
        # Length of the destination's prefix, table and type of route: there may be a million.
        if len(body) < 12 or body[1] or body[4] == _LOCAL_TABLE or body[7] != _UNICAST:
            continue
        if body[0] in _FAMILIES:
            hops.update(_next_hops(_attributes(body[12:])))
    return _usable(sorted(hops, key=lambda hop: (hop.version, int(hop))))


def _next_hops(attributes: Mapping[int, bytes]) -> Iterator[IPAddress]:
    found = [attributes]
    multipath = attributes.get(_RTA_MULTIPATH, b"")
    while len(multipath) >= 8:
        (length,) = struct.unpack_from("=H", multipath)
        found.append(_attributes(multipath[8:length]))
        multipath = multipath[max(_aligned(length), 8) :]
    for one in found:
        via = one.get(_RTA_VIA, b"")[2:]  # behind its family: IPv4 by way of IPv6
        for value in (one.get(_RTA_GATEWAY, b""), via):
            hop = _packed(value)
            if hop is not None:
                yield hop


def _attributes(data: bytes) -> dict[int, bytes]:
    attributes = {}
    position = 0
    while position + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, position)
        if length < 4:
            break
        attributes[kind & 0x3FFF] = data[position + 4 : position + length]
        position += _aligned(length)
    return attributes


def _aligned(length: int) -> int:
    return (length + 3) & ~3


def _packed(value: bytes) -> IPAddress | None:
    return ipaddress.ip_address(value) if len(value) in (4, 16) else None


# --- reading ---


def read_host(root: Path = ROOT, *, delivered: bool = False) -> Host:
    """The host as it is now, in this thread's network namespace; files are those below `root`.

    Raises KernelError when the kernel does not answer.
    """
    with _route_socket() as netlink:
        try:
            addresses, broadcasts = addresses_of(_dump(netlink, _RTM_GETADDR, socket.AF_UNSPEC))
            gateways = [
                default_next_hops_of(_dump(netlink, _RTM_GETROUTE, family)) for family in _FAMILIES
            ]
        except OSError as error:
            raise _refused(error) from error
    resolvers = nameservers(_text(root / RESOLV_CONF))
    if any(str(one) in ("127.0.0.53", "127.0.0.54") for one in resolvers):
        resolvers += nameservers(_text(root / RESOLVED_CONF))
    found = [lease for path in _lease_files(root) for lease in leases(_content(path))]
    held = [lease for lease in found if lease.address in addresses]
    servers = {
        ServerKind.WINS: _all(lease.wins for lease in held) | wins_servers(_text(root / SMB_CONF)),
        ServerKind.DNS: _usable(resolvers),
        ServerKind.DHCP: _all(lease.dhcp for lease in held),
        ServerKind.GATEWAY: _all(gateways),
    }
    return Host(addresses, broadcasts, servers, delivered)


def _route_socket() -> socket.socket:
    try:
        return socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
    except OSError as error:
        raise _refused(error) from error


def _refused(error: OSError) -> KernelError:
    return KernelError(
        "cannot ask the kernel for addresses and routes (rtnetlink):"
        f" {error.strerror or error}; a sandbox must allow AF_NETLINK sockets"
    )


def _all(sets: Iterable[frozenset[IPAddress]]) -> frozenset[IPAddress]:
    return frozenset[IPAddress]().union(*sets)


def _dump(netlink: socket.socket, kind: int, family: int) -> Iterator[bytes]:
    """The bodies of all messages that answer a request for everything of one kind."""
    netlink.settimeout(5)
    netlink.sendto(
        _HEADER.pack(28, kind, _DUMP_REQUEST, kind, 0) + bytes((family,)) + bytes(11), (0, 0)
    )
    while True:
        data = netlink.recv(1 << 16)
        position = 0
        while position + _HEADER.size <= len(data):
            length, answer, _, _, _ = _HEADER.unpack_from(data, position)
            body = data[position + _HEADER.size : position + length]
            if answer == _NLMSG_DONE:
                return
            if answer == _NLMSG_ERROR:
                (number,) = struct.unpack_from("=i", body)
                raise OSError(-number, os.strerror(-number))
            yield body
            position += max(_aligned(length), _HEADER.size)


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


# --- watching ---

_Stamp: TypeAlias = list[tuple[str, int, int, int]]


def _stamp(root: Path) -> _Stamp:
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


_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, and addresses and routes of both families."""
_SO_ATTACH_FILTER: Final = 26
MAX_EVENTS: Final = 1000
"""Events taken at once, more than the socket holds."""


def _event_socket() -> socket.socket:
    """A socket that becomes readable when an address, a link or a default route changes."""
    events = _route_socket()
    # The kernel itself sorts out the events of other routes: a router sees thousands a second.
    # Classic BPF: (code, jump if true, if false, constant); loads are big-endian.
    program = b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x28, 0, 0, 4),  # the message's type
            (0x15, 1, 0, socket.htons(_RTM_NEWROUTE)),
            (0x15, 0, 2, socket.htons(_RTM_DELROUTE)),
            (0x30, 0, 0, 17),  # length of the destination's prefix
            (0x15, 0, 1, 0),
            (0x06, 0, 0, 0xFFFFFFFF),  # keep
            (0x06, 0, 0, 0),  # ignore
        )
    )
    code = ctypes.create_string_buffer(program, len(program))
    try:
        events.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("@HP", len(program) // 8, ctypes.addressof(code)),
        )
        events.bind((0, _GROUPS))
        events.setblocking(False)
    except OSError as error:
        events.close()
        raise _refused(error) from error
    return events


class NetworkWatcher:
    """Keeps `host` current while its `async with` block runs, and tells `on_change` each new Host.

    `on_change` is called in the event loop, about 10 ms after a change in the kernel, about a
    second after one in a file, and only when the Host differs.
    """

    def __init__(self, on_change: Callable[[Host], None], root: Path = ROOT) -> None:
        self.host = Host(delivered=True)
        """The host as last read."""
        self._on_change = on_change
        self._root = root
        self._stamp: _Stamp | None = None

    async def __aenter__(self) -> Self:
        """Read the host for the first time; raises KernelError when that cannot be done."""
        self._events = _event_socket()  # first, so that no change falls in between
        try:
            self.host = await asyncio.to_thread(self._read)
        except BaseException:
            self._events.close()
            raise
        self._task = asyncio.create_task(self._follow())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        asyncio.get_running_loop().remove_reader(self._events)
        self._events.close()

    def _read(self) -> Host:
        """Run in a thread, since a full routing table takes seconds to read."""
        self._stamp = _stamp(self._root)
        return read_host(self._root, delivered=True)

    def _read_changed_files(self) -> Host | None:
        return None if self._stamp == _stamp(self._root) else self._read()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        resync = loop.time() + RESYNC
        while True:
            changed = await self._event() or loop.time() >= resync
            started = loop.time()
            try:
                host = await asyncio.to_thread(self._read if changed else self._read_changed_files)
            except (KernelError, OSError) as error:
                self._stamp = None  # so that the next look at the files tries again
                loop.call_exception_handler({"message": str(error), "exception": error})
                await asyncio.sleep(POLL)
                continue
            if host is None:
                continue
            if host != self.host:
                self.host = host
                loop.call_soon(self._on_change, host)  # its errors are not ours
            resync = loop.time() + RESYNC
            await asyncio.sleep(max(REST, 10 * (loop.time() - started)))

    async def _event(self) -> bool:
        """Wait for an event and the rest of its burst; False when none came within POLL.

        The socket is only looked at while waiting: in a storm it fills up, and the kernel throws
        away at no cost what nobody needs to see.
        """
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._events, readable.set)
        try:
            async with asyncio.timeout(POLL):
                await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._events)
        await asyncio.sleep(SETTLE)
        for _ in range(MAX_EVENTS):
            try:
                self._events.recv(1)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: some events were lost, which does not matter
                continue
        return True
