"""Warnings about queues."""

from __future__ import annotations

from ipsecfd.agent.health import BUSY, SAMPLES, QueueWatch
from ipsecfd.kernel.queue import Health


def warnings(*samples: Health | None) -> list[str]:
    """What a queue with these samples warns of."""
    watch = QueueWatch(88)
    for sample in samples:
        watch.note(sample)
    return list(watch.warnings())


def test_healthy_queue() -> None:
    """Packets that wait for a moment are no reason to worry."""
    assert warnings() == []
    assert warnings(*[Health(BUSY, 0, 0)] * (SAMPLES - 1), Health(0, 0, 0)) == []


def test_drops_are_warned_of() -> None:
    """What the kernel dropped unjudged is counted in the warning."""
    assert "12,345" in warnings(Health(0, 12345, 0))[0]
    assert "socket" in warnings(Health(0, 0, 1))[0]


def test_queue_that_never_empties() -> None:
    """Waiting that never falls means overload or lost verdicts; a new process starts afresh."""
    busy = Health(BUSY, 0, 0)
    assert "wait all the time" in warnings(*[busy] * SAMPLES)[0]
    assert warnings(*[busy] * (SAMPLES - 1), None, busy) == []
