"""Warnings about queues."""

from __future__ import annotations

from ipsecfd.agent.health import BUSY, LOST_AGAIN, SAMPLES, Lost, QueueWatch
from ipsecfd.kernel.queue_health import Health


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


def test_lost_packets_are_told_once() -> None:
    """As soon as they are known, and while there are more, what came since, now and then; a new
    process counts from nothing."""
    watch = QueueWatch(88)
    told = []
    for now, sample in [
        (0.0, Health(0, 0, 0)),
        (5.0, Health(9, 100, 0)),
        (10.0, Health(9, 150, 7)),
        (15.0, None),
        (20.0, Health(0, 30, 0)),
        (25.0, Health(0, 10, 0)),
        (5.0 + LOST_AGAIN, Health(0, 10, 0)),
        (10.0 + LOST_AGAIN, Health(0, 10, 0)),
    ]:
        watch.note(sample)
        if (lost := watch.take_lost(now)) is not None:
            told.append((now, lost))
    assert told == [(5.0, Lost(100, 0)), (5.0 + LOST_AGAIN, Lost(90, 7))]


def test_lost_packets_in_words() -> None:
    """Why they were dropped, and only what there is."""
    assert str(Lost(1200, 0)) == (
        "packets were dropped unjudged: 1,200 because too many were waiting"
    )
    assert str(Lost(1, 2)).endswith("2 because the socket's buffer was full")
