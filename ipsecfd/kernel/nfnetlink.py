"""Netlink messages that no library at hand can send: queue settings, verdicts in batches, the
iptables NFQUEUE target in an nftables chain, and what is in a table, faster than nft(8) tells it.

Layouts are those of linux/netfilter/nfnetlink_queue.h, nf_tables.h, nf_tables_compat.h and
xt_NFQUEUE.h.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
from collections.abc import Iterator
from typing import Final

from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.netlink import attributes, messages

_NETLINK_NETFILTER: Final = 12
_SUBSYS_QUEUE, _SUBSYS_NFTABLES = 3, 10
_REQUEST, _ACK, _CREATE, _APPEND = 0x1, 0x4, 0x400, 0x800
_DUMP = 0x300
_ERROR, _DONE = 2, 3
_NESTED = 0x8000
_NUMBER: Final = struct.Struct("!Q")
_DUMP_BYTES: Final = 1 << 18

_QUEUE_VERDICT = _SUBSYS_QUEUE << 8 | 1
_QUEUE_CONFIG = _SUBSYS_QUEUE << 8 | 2
_QUEUE_VERDICT_BATCH = _SUBSYS_QUEUE << 8 | 3
_QUEUE_CONFIG_LENGTH, _QUEUE_CONFIG_MASK, _QUEUE_CONFIG_FLAGS = 3, 4, 5
_VERDICT_HEADER, _VERDICT_MARK = 2, 3
QUEUE_FLAG_GSO: Final = 1 << 2

_BATCH_BEGIN, _BATCH_END = 0x10, 0x11
_NEW_TABLE = _SUBSYS_NFTABLES << 8 | 0
_NEW_CHAIN = _SUBSYS_NFTABLES << 8 | 3
_DELETE_CHAIN = _SUBSYS_NFTABLES << 8 | 5
_NEW_RULE = _SUBSYS_NFTABLES << 8 | 6
GET_TABLES: Final = _SUBSYS_NFTABLES << 8 | 1
GET_CHAINS: Final = _SUBSYS_NFTABLES << 8 | 4
GET_RULES: Final = _SUBSYS_NFTABLES << 8 | 7
GET_SETS: Final = _SUBSYS_NFTABLES << 8 | 10
_GET_ELEMENTS = _SUBSYS_NFTABLES << 8 | 13
GET_OBJECTS: Final = _SUBSYS_NFTABLES << 8 | 19
_ELEMENTS = 3
COUNTER: Final = 1
_OBJECT_TYPE = 3
_INET = 1
_INTERRUPTED = 0x10
_TRIES = 10
_SECONDS: Final = 5

_SOL_NETLINK, _ADD_MEMBERSHIP = 270, 1
_NFTABLES_GROUP = 7

DROP: Final = 0
ACCEPT: Final = 1


def queue_flags(queue: int, flags: int) -> bytes:
    """The message that sets a queue's flags; all in one, since the kernel keeps only the last."""
    payload = _attribute(_QUEUE_CONFIG_MASK, struct.pack("!I", flags))
    payload += _attribute(_QUEUE_CONFIG_FLAGS, struct.pack("!I", flags))
    return _message(_QUEUE_CONFIG, _REQUEST, socket.AF_UNSPEC, queue, payload)


def queue_length(queue: int, packets: int) -> bytes:
    """The message that sets how many packets may wait in a queue."""
    payload = _attribute(_QUEUE_CONFIG_LENGTH, struct.pack("!I", packets))
    return _message(_QUEUE_CONFIG, _REQUEST, socket.AF_UNSPEC, queue, payload)


def verdict(queue: int, verdict: int, *, batch: bool, mark: int | None = None) -> bytearray:
    """The message that gives a verdict: to one packet, or to all waiting ones up to an id.

    With `mark` it gives them that packet mark, too. Made once and sent many times: the id, in
    network order, is the last four bytes.
    """
    kind = _QUEUE_VERDICT_BATCH if batch else _QUEUE_VERDICT
    payload = b"" if mark is None else _attribute(_VERDICT_MARK, struct.pack("!I", mark))
    payload += _attribute(_VERDICT_HEADER, struct.pack("!II", verdict, 0))
    return bytearray(_message(kind, _REQUEST, socket.AF_UNSPEC, queue, payload))


def add_queue_chain(table: str, chain: str, first: int, count: int, *, bypass: bool) -> None:
    """Add a chain to an `inet` table, which is made where it is missing, with the iptables NFQUEUE
    target as its rule; all or nothing.

    It spreads packets over `count` queues from number `first`, both directions of a flow to the
    same one; `bypass` accepts packets of queues that nobody is bound to, which are dropped
    otherwise. Raises KernelError where the kernel has no such target.
    """
    information = struct.pack("=HHHxx", first, count, int(bypass))
    target = (
        _attribute(1, b"NFQUEUE\0")
        + _attribute(2, struct.pack("!I", 3))
        + _attribute(3, information)
    )
    expression = _attribute(1, b"target\0") + _attribute(2 | _NESTED, target)
    in_table, name = _attribute(1, table.encode() + b"\0"), chain.encode() + b"\0"
    rule = (
        in_table
        + _attribute(2, name)
        + _attribute(4 | _NESTED, _attribute(1 | _NESTED, expression))
    )
    error = _transaction(
        _message(_NEW_TABLE, _REQUEST | _CREATE, _INET, 0, in_table)
        + _message(_NEW_CHAIN, _REQUEST | _CREATE, _INET, 0, in_table + _attribute(3, name))
        + _message(_NEW_RULE, _REQUEST | _ACK | _CREATE | _APPEND, _INET, 0, rule)
    )
    if error:
        raise KernelError(
            f"this kernel cannot queue packets: nftables' own queue statement is missing"
            f" (CONFIG_NFT_QUEUE) and the NFQUEUE target failed too: {os.strerror(-error)}"
        )


def delete_chain(table: str, chain: str) -> None:
    """Delete a chain of an `inet` table, and its rules; raises KernelError when the kernel refuses,
    as it does while a rule leads there."""
    what = _attribute(1, table.encode() + b"\0") + _attribute(3, chain.encode() + b"\0")
    error = _transaction(_message(_DELETE_CHAIN, _REQUEST | _ACK, _INET, 0, what))
    if error:
        raise KernelError(f"the chain {chain} cannot be deleted: {os.strerror(-error)}")


def _transaction(messages: bytes) -> int:
    """Do all that messages say, of which one asks for an answer; 0, or a negative error number."""
    batch = (
        _message(_BATCH_BEGIN, _REQUEST, 0, _SUBSYS_NFTABLES, b"")
        + messages
        + _message(_BATCH_END, _REQUEST, 0, _SUBSYS_NFTABLES, b"")
    )
    with connect() as netlink:
        netlink.send(batch)
        answer = netlink.recv(65536)
    return int(struct.unpack_from("=i", answer, 16)[0])


@contextlib.contextmanager
def connect() -> Iterator[socket.socket]:
    """A netlink socket to netfilter in this process' network namespace; raises KernelError, also
    when the kernel refuses, or does not answer, what is done with it."""
    try:
        with _socket() as netlink:
            netlink.settimeout(_SECONDS)
            yield netlink
    except TimeoutError as error:
        raise KernelError(f"nftables did not answer within {_SECONDS} s") from error
    except OSError as error:
        raise _refused(error) from error


def listen() -> socket.socket:
    """A netlink socket that hears of every change of nftables in this network namespace; raises
    KernelError."""
    netlink = _socket()
    netlink.setblocking(False)
    netlink.bind((0, 0))
    netlink.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _NFTABLES_GROUP)
    return netlink


def _socket() -> socket.socket:
    try:
        return socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)
    except OSError as error:
        raise _refused(error) from error


def _refused(error: OSError) -> KernelError:
    return KernelError(f"nftables cannot be asked: {error.strerror}")


def tables_named(data: bytes) -> Iterator[str]:
    """The `inet` tables that messages of `listen` are about."""
    for start, end, kind in messages(data):
        if kind >> 8 != _SUBSYS_NFTABLES or data[start] != _INET:
            continue
        for what, begin, stop in attributes(data, start + 4, end):
            if what == 1:  # in messages of every kind but one, which is of no family
                yield data[begin:stop].rstrip(b"\0").decode()


def dump(netlink: socket.socket, what: int, table: str) -> list[dict[int, bytes]]:
    """All chains, rules or other things (GET_...) of an `inet` table, their attributes by number.

    Nothing of a table that does not exist. Raises KernelError, also when the table changes all the
    time.
    """
    name = table.encode() + b"\0"
    for _ in range(_TRIES):
        found = []
        try:
            for data, start, end in _dump(netlink, what, _attribute(1, name)):
                one = {kind: data[begin:stop] for kind, begin, stop in attributes(data, start, end)}
                if one.get(1) == name:
                    found.append(one)
        except _ChangedError:
            continue
        return found
    raise KernelError(f"table {table} cannot be read: it changes all the time")


def dump_set(netlink: socket.socket, table: str, name: str) -> Iterator[bytes]:
    """The elements of a set of an `inet` table: lists of attributes, one an element.

    A set that does not exist has none. Raises KernelError.
    """
    payload = _attribute(1, table.encode() + b"\0") + _attribute(2, name.encode() + b"\0")
    with contextlib.suppress(_ChangedError):  # all sets were read: this one did not change
        for data, start, end in _dump(netlink, _GET_ELEMENTS, payload):
            for what, begin, stop in attributes(data, start, end):
                if what == _ELEMENTS:
                    yield data[begin:stop]


def dump_counters(netlink: socket.socket, table: str) -> Iterator[tuple[str, int, int]]:
    """The named counters of an `inet` table: name, packets, bytes; none if there is no such table.

    Raises KernelError.
    """
    for one in dump(netlink, GET_OBJECTS, table):
        if int.from_bytes(one[_OBJECT_TYPE], "big") == COUNTER:
            octets, packets = counted(one[4], 0, len(one[4]))
            yield one[2].rstrip(b"\0").decode(), packets, octets


def counted(data: bytes, start: int, end: int) -> tuple[int, int]:
    """Bytes and packets of a counter by its attributes."""
    found = dict.fromkeys((1, 2), 0)
    for what, begin, _ in attributes(data, start, end):
        if what in found:
            (found[what],) = _NUMBER.unpack_from(data, begin)
    return found[1], found[2]


class _ChangedError(Exception):
    """What was read is not all of one moment."""


def _dump(netlink: socket.socket, what: int, payload: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The messages of an answer, each as data with the place of its attributes.

    Raises _ChangedError at the end, and KernelError.
    """
    netlink.send(_message(what, _REQUEST | _DUMP, _INET, 0, payload))
    changed = False
    while True:
        data = netlink.recv(_DUMP_BYTES)
        for start, end, kind in messages(data):
            changed = changed or bool(data[start - 10] & _INTERRUPTED)
            if kind == _DONE:
                if changed:
                    raise _ChangedError
                return
            if kind == _ERROR:
                (error,) = struct.unpack_from("=i", data, start)
                if error == -errno.ENOENT:
                    return
                raise KernelError(f"nftables cannot be read: {os.strerror(-error)}")
            yield data, start + 4, end


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", len(value) + 4, kind) + value + bytes(-len(value) % 4)


def _message(kind: int, flags: int, family: int, resource: int, payload: bytes) -> bytes:
    body = struct.pack("!BBH", family, 0, resource) + payload
    return struct.pack("=IHHII", len(body) + 16, kind, flags, 0, 0) + body
