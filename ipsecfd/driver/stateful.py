"""The memory of start-up mode stateful: who was spoken to and may answer (spec 6.4)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from ipsecfd.driver.packet import Packet
from ipsecfd.policy.model import TCP, UDP

TIMEOUT: Final = 300.0
"""Seconds an entry lives after the last outbound packet; a choice (spec 6.4)."""
CAPACITY: Final = 65_536
"""Entries; when full, new ones are refused and counted, as a kernel set would."""


class Conversations:
    """Inbound permits made by outbound packets (spec 6.4); `clock` gives seconds that only grow.

    Each holds for `timeout` seconds after its last packet; there are at most `capacity` of them.
    """

    def __init__(
        self, clock: Callable[[], float], timeout: float = TIMEOUT, capacity: int = CAPACITY
    ) -> None:
        self._clock = clock
        self._timeout = timeout
        self._capacity = capacity
        self._expires: OrderedDict[bytes, float] = OrderedDict()  # in order of expiry
        self.refused = 0
        """Entries not made because the memory was full."""

    def sent(self, packet: Packet) -> None:
        """Note an outbound packet; a later fragment of a ported protocol says nothing new.

        Nor does an ICMP error: a stranger can have the host send one, also by a packet that is
        dropped or broken, and nobody answers it.
        """
        if packet.icmp_error:
            return
        key = self._key(packet, packet.destination, packet.source, outbound=True)
        if key is None:
            return
        now = self._clock()
        if key in self._expires:
            self._expires.move_to_end(key)
        else:
            while self._expires and next(iter(self._expires.values())) <= now:
                self._expires.popitem(last=False)
            if len(self._expires) >= self._capacity:
                self.refused += 1
                return
        self._expires[key] = now + self._timeout

    def expected(self, packet: Packet) -> bool:
        """Whether an inbound packet answers one that was sent."""
        key = self._key(packet, packet.source, packet.destination, outbound=False)
        return key is not None and self._expires.get(key, 0.0) > self._clock()

    @staticmethod
    def _key(packet: Packet, peer: int, own: int, *, outbound: bool) -> bytes | None:
        """What an entry is kept under; bytes, since strangers know which integers hash alike."""
        if packet.protocol is None:
            return None
        if packet.protocol not in (TCP, UDP):
            return b"%d %d %x" % (packet.family, packet.protocol, peer)
        if not packet.has_ports:
            return None
        ports = packet.source_port, packet.destination_port
        own_port, peer_port = ports if outbound else ports[::-1]
        ends = (peer, own, own_port, peer_port)
        return b"%d %d %x %x %d %d" % (packet.family, packet.protocol, *ends)
