"""The queues' health over time: what a careful administrator would want to be told."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from ipsecfd.kernel.queue import Health

SAMPLES: Final = 6
"""Samples that make up "all the time"; taken every few seconds."""
BUSY: Final = 64
"""Packets waiting all the time that are worth a warning."""


class QueueWatch:
    """Remembers the last samples of one queue."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._samples: deque[Health] = deque(maxlen=SAMPLES)

    def note(self, health: Health | None) -> None:
        """Take a sample; None while nobody is bound to the queue."""
        if health is None:
            self._samples.clear()  # a new process begins with a new queue
        else:
            self._samples.append(health)

    def warnings(self) -> Iterable[str]:
        """What is wrong with this queue, if anything."""
        if not self._samples:
            return
        newest = self._samples[-1]
        if newest.dropped_full:
            yield (
                f"queue {self._number} was full: {newest.dropped_full:,} packets dropped unjudged;"
                " a higher `length` or more `processes` in [queue] help"
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
