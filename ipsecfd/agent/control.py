"""The control socket: serves `io.ipsecfd.Control` to whom the peer's credentials allow it.

Root may do everything, members of the configured group may look, others nothing. That is decided
once, when a connection is accepted.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import errno
import grp
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from asyncvarlink import (
    FileDescriptorArray,
    VarlinkInterfaceRegistry,
    VarlinkInterfaceServerProtocol,
    VarlinkMethodCall,
    VarlinkMethodSignature,
    VarlinkTransport,
)
from asyncvarlink.serviceerrors import PermissionDenied
from asyncvarlink.serviceinterface import VarlinkServiceInterface

from ipsecfd import __version__
from ipsecfd.agent.interface import LOOKING, NAME, Control, Refused, Service
from ipsecfd.errors import IpsecfdError

MAX_CONNECTIONS: Final = 64
"""Further clients wait to be accepted."""
MAX_LOOKERS: Final = 32
"""Connections of those who only look; the rest is kept for root."""
MAX_CALLS: Final = 1_000
"""Calls in one connection: answers that nobody reads take memory."""
LOOKING_SECONDS: Final = 60.0
"""How long a connection of those who only look may last."""
MAX_REQUEST: Final = 65_536
"""Bytes from those who only look; all their requests are far smaller."""
MAX_CHANGE: Final = 8 << 20
"""Bytes from those who may change anything: some 20,000 dynamic rules."""

_SO_PEERGROUPS = 59  # the socket module has no name for it
_GROUP_BYTES = 1024  # 256 groups; Python asks for no more
_CREDENTIALS = struct.Struct("=iII")


class ControlError(IpsecfdError):
    """The control socket cannot be served; the text says why."""


class Rights(enum.IntEnum):
    """What a peer may do."""

    NOTHING = 0
    LOOK = 1
    EVERYTHING = 2


def rights(uid: int, groups: frozenset[int], group: int | None) -> Rights:
    """The rights of a peer with these credentials; `group` is the configured one's number."""
    if uid == 0:
        return Rights.EVERYTHING
    return Rights.LOOK if group is not None and group in groups else Rights.NOTHING


def group_number(name: str) -> int | None:
    """The number of a group, or None when there is none of that name."""
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        return None


class Registry(VarlinkInterfaceRegistry):
    """The interfaces, as far as a peer's rights go."""

    def __init__(self, service: Service, allowed: Rights) -> None:
        super().__init__()
        self.allowed = allowed
        self.register_interface(
            VarlinkServiceInterface("ipsecfd", "ipsecfd", __version__, "", self)
        )
        self.register_interface(Control(service, keys=allowed is Rights.EVERYTHING))

    def lookup_method(
        self, call: VarlinkMethodCall
    ) -> tuple[Callable[..., Any], VarlinkMethodSignature]:
        """As the base class does it; raises PermissionDenied for what the peer may not do."""
        found = super().lookup_method(call)
        looking = call.method_interface != NAME or call.method_name in LOOKING
        if self.allowed < (Rights.LOOK if looking else Rights.EVERYTHING):
            raise PermissionDenied()
        return found


class _Connection(VarlinkInterfaceServerProtocol):
    """One client: refusals become `Refused`, endless requests end the connection."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(registry)
        self._calls = 0
        self._longest = MAX_CHANGE if registry.allowed is Rights.EVERYTHING else MAX_REQUEST

    def message_received(self, data: bytes, fds: FileDescriptorArray | None) -> None:
        try:
            super().message_received(data, fds)
        except (ValueError, RecursionError):  # JSON that no parser takes
            self._recv_buffer = b""
            self.close()
        if len(self._recv_buffer) > self._longest:
            self._recv_buffer = b""
            self.close()

    def error_received(self, *_: object) -> None:
        self.close()  # what speaks no Varlink gets no answer

    def call_received(
        self, call: VarlinkMethodCall, fds: FileDescriptorArray | None
    ) -> asyncio.Future[None] | None:
        self._calls += 1
        if self._calls > MAX_CALLS:
            self.close()
            return None
        answering = super().call_received(call, fds)
        return None if answering is None else asyncio.ensure_future(_uncancelled(answering))

    def handle_call_exception(self, exc: BaseException, oneway: bool) -> None:  # noqa: ARG002
        if isinstance(exc, IpsecfdError):
            raise Refused(reason=str(exc))
        with contextlib.suppress(OSError):
            print(f"ipsecfd: control socket: {type(exc).__name__}: {exc}", file=sys.stderr)
        raise Refused(reason="an internal error: see the journal")


async def _uncancelled(answering: asyncio.Future[None]) -> None:
    """The end of the service cuts answers off, and asyncvarlink would take that for a defect."""
    with contextlib.suppress(asyncio.CancelledError):
        await answering


class ControlServer:
    """Serves the socket while its `async with` block runs.

    Raises ControlError on entry when the socket cannot be made. A socket of an earlier run is
    replaced: whoever asks for this holds the agent's lock.
    """

    def __init__(self, path: Path, group: str, service: Service) -> None:
        self._path = path
        self._group_name = group
        self._group = group_number(group)
        self._registries = {one: Registry(service, one) for one in Rights}
        self._transports: set[VarlinkTransport] = set()
        self._lookers: set[VarlinkTransport] = set()

    @property
    def warning(self) -> str | None:
        """What is odd about who may connect."""
        if self._group is None:
            return f"there is no group {self._group_name}: only root may use the control socket"
        return None

    async def __aenter__(self) -> ControlServer:
        """Make the socket and listen."""
        try:
            self._socket = _listen(self._path, self._group)
        except OSError as error:
            raise ControlError(
                f"{self._path}: the control socket cannot be made: {error.strerror or error};"
                " set `socket` in [control] to a path that ipsecfd may write to"
            ) from error
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._accept)
        return self

    async def __aexit__(self, *_: object) -> None:
        """End all connections and take the socket away."""
        self._loop.remove_reader(self._socket)
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        for transport in self._transports:
            transport.close()
        await asyncio.sleep(0)

    def _accept(self) -> None:
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS):
                return
            # Not accepted, it would wake the loop for ever.
            self._pause(1.0)
            return
        allowed = self._rights_of(connection)
        if allowed is not Rights.EVERYTHING and len(self._lookers) >= MAX_LOOKERS:
            connection.close()
            return
        registry = self._registries[allowed]
        transport = VarlinkTransport(self._loop, connection, connection, _Connection(registry))
        self._transports.add(transport)
        if allowed is not Rights.EVERYTHING:
            self._lookers.add(transport)
            limit = self._loop.call_later(LOOKING_SECONDS, transport.close)
            transport.closed_future.add_done_callback(lambda _: limit.cancel())
        transport.closed_future.add_done_callback(lambda _: self._closed(transport))
        if len(self._transports) >= MAX_CONNECTIONS:
            self._loop.remove_reader(self._socket)

    def _closed(self, transport: VarlinkTransport) -> None:
        self._transports.discard(transport)
        self._lookers.discard(transport)
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept)

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._socket)

        def resume() -> None:
            if self._socket.fileno() >= 0:
                self._loop.add_reader(self._socket, self._accept)

        self._loop.call_later(seconds, resume)

    def _rights_of(self, connection: socket.socket) -> Rights:
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, gid = _CREDENTIALS.unpack(data)
        try:
            listed = connection.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, _GROUP_BYTES)
        except OSError:  # a member of more groups than that
            listed = b""
        groups = struct.unpack(f"={len(listed) // 4}I", listed)
        return rights(uid, frozenset((gid, *groups)), self._group)


def _listen(path: Path, group: int | None) -> socket.socket:
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        if path.is_socket():
            path.unlink()
        # On Linux a socket file is made with the socket's own mode: nobody may connect before the
        # group is right.
        os.fchmod(listening.fileno(), 0o600)
        listening.bind(str(path))
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        listening.listen(MAX_CONNECTIONS)
    except BaseException:
        listening.close()
        raise
    return listening
