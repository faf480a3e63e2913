"""NFQUEUE: binds a queue, asks a judge about each packet, gives the verdicts.

This is the packet path, and every line of it is measured (tests/bench). Verdicts are held back and
given in batches, headers are read once, and whatever goes wrong with a packet ends in its drop.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from netfilterqueue import COPY_PACKET, NetfilterQueue, Packet

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict, through_ipsec
from ipsecfd.driver.driver import Judge
from ipsecfd.driver.packet import COPY_RANGE
from ipsecfd.kernel import nfnetlink
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.queue_health import QUEUES, health
from ipsecfd.kernel.room import Room

BATCH: Final = 32
"""Packets after which held verdicts are given; they are given as well when none are waiting."""

_INPUT, _FORWARD, _POSTROUTING = 1, 2, 4  # netfilter's numbers of the hooks
DIRECTION_OF_HOOK: Final = {
    _INPUT: Direction.IN,
    _FORWARD: Direction.FORWARD,
    _POSTROUTING: Direction.OUT,
}
"""Which way a packet goes, by the number of the hook where it was queued."""

_SOL_NETLINK, _NETLINK_NO_ENOBUFS = 270, 5
_BYTES_PER_PACKET = 2048  # what a packet may take of the socket's buffer, with its metadata
_SEND_TRIES = 50
_MARKS = 256  # marks of others for which a batch is kept ready
_PERMIT = Verdict.PERMIT  # a global is found faster than an enum's member
_NEGOTIATE = Reason.NEGOTIATE
_lengths: Final = struct.Struct("!BxHH").unpack_from
"""First byte; length of an IPv4 packet; length of what follows the header of an IPv6 one."""

OnDrop = Callable[[Decision, Direction, int, bytes], None]
"""Told of each dropped packet: why, which way, its interface's index, its first bytes."""


@dataclass(slots=True)
class Count:
    """How often a decision was made."""

    packets: int = 0
    octets: int = 0
    passes: bool = False
    """Whether all such packets pass as they are, whatever mark they have."""


@dataclass(frozen=True, slots=True)
class Handler:
    """What to do with the packets of one hook."""

    judge: Judge
    direction: Direction
    counts: dict[Decision, Count]
    learn_blocked: bool = False
    """Whether the kernel may learn blocked flows, too: nobody wants a record of each drop."""


class Handlers(NamedTuple):
    """Handlers by hook number; `by_interface` chooses others for some interface indexes."""

    of_hook: Mapping[int, Handler]
    by_interface: Callable[[int], Mapping[int, Handler]] | None = None
    generation: int = 0
    """What the kernel learns flows under; 0 when it is to learn none."""


class Queue:
    """A bound queue in this process' network namespace, in which up to `length` packets wait, or
    fewer in a flood (see `Room`).

    `between` is called after each batch, when no verdict is held back: the place for everything
    else that a process has to do, even in a flood. Packets may be judged by `handlers` before the
    queue is there to be called. Raises KernelError when the queue is taken.
    """

    def __init__(
        self,
        number: int,
        length: int,
        marks: Marks,
        on_drop: OnDrop,
        between: Callable[[], None],
        handlers: Handlers,
    ) -> None:
        self._number = number
        self._marks = marks
        self._on_drop = on_drop
        self.faults = 0
        """Packets dropped because judging them failed."""
        self._accept_batch = nfnetlink.verdict(number, nfnetlink.ACCEPT, batch=True)
        self._drop_batch = nfnetlink.verdict(number, nfnetlink.DROP, batch=True)
        self._drop_one = nfnetlink.verdict(number, nfnetlink.DROP, batch=False)
        self._marked: dict[int, bytearray] = {}  # batches of accepts by the mark they set
        self._permit_mark = self._block_mark = 0
        self._held: bytearray | None = None  # the batch that will answer the packets held back
        self._last = 0  # id of the newest of them
        self._left = BATCH  # packets until the next pause
        self._room = Room(length, self._dropped, self._make_room)
        self.use(handlers)
        # While the library waits for the kernel's answers it has those packets judged that come
        # before them. So all of the above is ready by now, and nothing else is done meanwhile.
        self._between: Callable[[], None] = lambda: None
        try:
            self._queue = NetfilterQueue()
            # The library's own socket, for the messages that it cannot send.
            self._socket = socket.socket(fileno=os.dup(self._queue.get_fd()))
            self._socket.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
            self._queue.bind(
                number,
                self._on_packet,
                max_len=length,
                mode=COPY_PACKET,
                range=COPY_RANGE,
                sock_len=length * _BYTES_PER_PACKET,
            )
        except OSError as error:
            raise KernelError(_cannot_bind(number, error)) from error
        self._socket.send(nfnetlink.queue_flags(number, nfnetlink.QUEUE_FLAG_GSO))
        self._flush()
        self._between = between

    def fileno(self) -> int:
        """The descriptor to poll for packets."""
        return int(self._queue.get_fd())

    @property
    def judged(self) -> int:
        """How many packets were judged, or a few less, modulo 2^32: the kernel numbers them."""
        return self._last

    def use(self, handlers: Handlers) -> None:
        """Judge by these from the next packet on; call it when no verdict is held back."""
        self._of_hook, self._by_interface, self._generation = handlers
        self._permit_mark = self._marks.permit(handlers.generation)
        self._block_mark = self._marks.block(handlers.generation)

    def judge_waiting(self) -> None:
        """Judge all packets that wait, without waiting for more.

        A verdict that lets a packet in often brings the next one at once, the answer of the
        kernel's own TCP or ICMP. So nobody is asked whether something waits: it is tried.
        """
        self._queue.run(block=False)
        while self._held is not None:
            self._flush()
            self._queue.run(block=False)
        self._left = BATCH
        self._room.emptied()

    def rested(self) -> None:
        """Note that no packet came for a while."""
        self._room.rested()

    def close(self) -> None:
        """Give the queue up; the kernel drops what still waits."""
        self._queue.unbind()
        self._socket.close()

    def _on_packet(self, packet: Packet) -> None:
        """Judge one packet, and give its verdict or hold it back for a batch.

        A batch answers every waiting packet up to its id, so all that is held back has one
        verdict. A drop among held accepts is given at once, which takes it out of the batch.
        """
        batch = self._drop_batch
        try:
            data = packet.get_payload()
            of_hook = self._of_hook
            if self._by_interface is not None:
                of_hook = self._by_interface(_interface(packet))
            handler = of_hook[packet.hook]
            decision = handler.judge(data)
            count = handler.counts.get(decision)
            if count is None or not count.passes:
                batch = self._weigh(packet, data, decision, handler)
            else:  # by far most packets, so what they need stands here
                batch = self._accept_batch
                count.packets += 1
                size = len(data)
                count.octets += size if size < COPY_RANGE else _octets(data)
        except Exception:  # noqa: BLE001 - nothing may end the loop, and this packet is dropped
            batch = self._drop_batch
            self.faults += 1
        finally:
            if batch is self._held:
                self._last = packet.id
            elif batch is self._drop_batch and self._held is not None:
                self._send(self._drop_one, packet.id)
            else:
                self._flush()
                self._held = batch
                self._last = packet.id
            self._left -= 1
            if not self._left:
                self._flush()
                self._left = BATCH
                self._room.judged(BATCH)
                self._between()

    def _weigh(
        self, packet: Packet, data: bytes, decision: Decision, handler: Handler
    ) -> bytearray:
        """Count a packet, and find the batch with its verdict: by the decision about it, and by its
        mark."""
        if decision.reason is _NEGOTIATE and packet.get_mark() & self._marks.protected:
            decision = through_ipsec(decision)
        count = handler.counts.get(decision)
        if count is None:
            count = handler.counts[decision] = Count()
        count.packets += 1
        count.octets += _octets(data)
        learnable = decision.learnable and self._generation != 0
        if decision.verdict is _PERMIT:
            if learnable:
                return self._learning(packet, self._permit_mark)
            count.passes = decision.reason is not _NEGOTIATE
            return self._accept_batch
        if learnable and handler.learn_blocked:
            return self._learning(packet, self._block_mark)
        self._on_drop(decision, handler.direction, _interface(packet), data)
        return self._drop_batch

    def _learning(self, packet: Packet, mark: int) -> bytearray:
        """The batch that lets packets go on with our mark, and with the bits that are not ours."""
        mark |= packet.get_mark() & ~self._marks.mask
        batch = self._marked.get(mark)
        if batch is None:
            if len(self._marked) >= _MARKS:
                self._marked.clear()
            batch = nfnetlink.verdict(self._number, nfnetlink.ACCEPT, batch=True, mark=mark)
            self._marked[mark] = batch
        return batch

    def _flush(self) -> None:
        if self._held is not None:
            self._send(self._held, self._last)
            self._held = None

    def _dropped(self) -> int | None:
        """How many packets found no room in the queue, if the kernel tells."""
        found = health(self._number)
        return found.dropped_full if found else None

    def _make_room(self, room: int) -> None:
        self._socket.send(nfnetlink.queue_length(self._number, room))

    def _send(self, message: bytearray, packet_id: int) -> None:
        """Send a verdict, and make sure that it was taken.

        A lost drop would be accepted by the next batch. So when the kernel has no memory for the
        message it is tried again, and then the process ends, which closes the queue: closed.
        """
        message[-4:] = packet_id.to_bytes(4, "big")
        for _ in range(_SEND_TRIES):
            try:
                self._socket.send(message)
            except (BlockingIOError, InterruptedError):
                pass
            except OSError as error:
                if error.errno not in (errno.ENOBUFS, errno.ENOMEM):
                    raise SystemExit(f"cannot give verdicts: {error}") from error
            else:
                return
            time.sleep(0.001)
        raise SystemExit("cannot give verdicts: the kernel takes no messages")


def _octets(data: bytes) -> int:
    """The size of a packet of which this was copied: all of it, or else it says so itself."""
    if len(data) < COPY_RANGE:
        return len(data)
    first, length, payload = _lengths(data)
    return int(length if first < 0x60 else payload + 40)


def _interface(packet: Packet) -> int:
    """The index of the interface that a packet came in by, or that it leaves by if this host sends
    it. What carries a tunnel's packet has the tunnel's device as the former even then."""
    return int(packet.outdev if packet.hook == _POSTROUTING else packet.indev)


def _cannot_bind(number: int, error: OSError) -> str:
    if os.geteuid() != 0 or error.errno in (errno.EPERM, errno.EACCES):
        return f"queue {number} cannot be bound: {error}; run as root or with CAP_NET_ADMIN"
    if not QUEUES.exists():
        return f"queue {number} cannot be bound: this kernel lacks nfnetlink_queue ({error})"
    return (
        f"queue {number} cannot be bound, another program uses it (see {QUEUES}):"
        " stop that program or set `number` in [queue]"
    )
