"""The kernel's rtnetlink sockets: everything of one kind when asked, and a sign when it changes."""

from __future__ import annotations

import ctypes
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.netlink import messages

_HEADER: Final = struct.Struct("=IHHII")
GETADDR, GETROUTE = 22, 26
"""Requests for all addresses, and for all routes."""
_RTM_NEWROUTE, _RTM_DELROUTE = 24, 25
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_DUMP_REQUEST = 0x301
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
"""Links, and addresses and routes of both families."""
_SO_ATTACH_FILTER: Final = 26


def route_socket() -> socket.socket:
    """A socket in this thread's network namespace; raises KernelError when it is forbidden."""
    try:
        return socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
    except OSError as error:
        raise refused(error) from error


def refused(error: OSError) -> KernelError:
    """What to tell when the kernel does not answer."""
    return KernelError(
        "cannot ask the kernel for addresses and routes (rtnetlink):"
        f" {error.strerror or error}; a sandbox must allow AF_NETLINK sockets"
    )


def dump(netlink: socket.socket, kind: int, family: int) -> Iterator[bytes]:
    """The bodies of all messages that answer a request for everything of one kind.

    Raises OSError.
    """
    netlink.settimeout(5)
    netlink.sendto(
        _HEADER.pack(28, kind, _DUMP_REQUEST, kind, 0) + bytes((family,)) + bytes(11), (0, 0)
    )
    while True:
        data = netlink.recv(1 << 16)
        for start, end, answer in messages(data):
            if answer == _NLMSG_DONE:
                return
            if answer == _NLMSG_ERROR:
                (number,) = struct.unpack_from("=i", data, start)
                raise OSError(-number, os.strerror(-number))
            yield data[start:end]


def event_socket() -> socket.socket:
    """A socket that becomes readable when an address, a link or a default route changes.

    Raises KernelError.
    """
    events = route_socket()
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
        raise refused(error) from error
    return events
