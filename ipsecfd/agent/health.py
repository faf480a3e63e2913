"""The queues' health over time: what a careful administrator would want to be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from ipsecfd.kernel.queue_health import Health

SAMPLES: Final = 6
"""Samples that make up "all the time"; taken every few seconds."""
BUSY: Final = 64
"""Packets waiting all the time that are worth a warning."""
LOST_AGAIN: Final = 60.0
"""Seconds from one record of lost packets to the next while more are lost."""


class Lost(NamedTuple):
    """Packets of one queue that the kernel dropped unjudged."""

    full: int
    """Because too many were waiting."""
    socket: int
    """Because the socket's buffer was full."""

    def __str__(self) -> str:
        causes = (
            (self.full, "because too many were waiting"),
            (self.socket, "because the socket's buffer was full"),
        )
        told = ", ".join(f"{number:,} {why}" for number, why in causes if number)
        return f"packets were dropped unjudged: {told}"


class QueueWatch:
    """Remembers the last samples of one queue."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._samples: deque[Health] = deque(maxlen=SAMPLES)
        self._counted = self._unsaid = Lost(0, 0)
        self._say_again = 0.0

    def note(self, health: Health | None) -> None:
        """Take a sample; None while nobody is bound to the queue."""
        if health is None:
            self._samples.clear()  # a new process begins with a new queue
            self._counted = Lost(0, 0)
            return
        self._samples.append(health)
        now = Lost(health.dropped_full, health.dropped_socket)
        before, unsaid = self._counted, self._unsaid
        if now.full < before.full or now.socket < before.socket:
            before = Lost(0, 0)  # another process' queue, between two samples
        self._counted = now
        self._unsaid = Lost(
            unsaid.full + now.full - before.full, unsaid.socket + now.socket - before.socket
        )

    def take_lost(self, now: float) -> Lost | None:
        """What was lost and not yet told, when it is time to tell; `now` is a monotonic clock's."""
        if not any(self._unsaid) or now < self._say_again:
            return None
        lost, self._unsaid = self._unsaid, Lost(0, 0)
        self._say_again = now + LOST_AGAIN
        return lost

    def warnings(self) -> Iterable[str]:
        """What is wrong with this queue, if anything."""
        if not self._samples:
            return
        newest = self._samples[-1]
        if newest.dropped_full:
            yield (
                f"queue {self._number} was full: {newest.dropped_full:,} packets dropped unjudged;"
                " more `processes` in [queue] help, for bursts a higher `length`"
            )
        if newest.dropped_socket:
            yield (
                f"queue {self._number}: {newest.dropped_socket:,} packets dropped unjudged because"
                " the socket's buffer was full"
            )
        lowest = min(sample.waiting for sample in self._samples)
        if len(self._samples) == SAMPLES and lowest >= BUSY:
            yield (
                f"queue {self._number}: {lowest:,} packets or more wait all the time; the packet"
                " process does not keep up, or verdicts got lost (restart ipsecfd)"
            )
