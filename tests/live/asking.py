"""What live tests ask: which probes pass a lab now, and what the daemon says of itself."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import Any, Final

from ipsecfd.kernel.queue_health import Health, health
from ipsecfd.lab import Host, Lab, Probe
from ipsecfd.lab.daemon import Daemon

HTTP = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:80")
SSH = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:22")
PING_OUT = Probe.parse("ping 192.0.2.10 -> 203.0.113.66")


def passing(lab: Lab, *probes: Probe) -> list[bool]:
    """Which of these pass now."""
    return [seen.passed for seen in lab.probe(*probes, patience=0.5)]


def answered(daemon: Daemon, *words: str) -> Any:
    """What a command answers with --json."""
    return json.loads(daemon.cli(*words, "--json").stdout)


def status(daemon: Daemon) -> dict[str, Any]:
    """`ipsecfd status --json`."""
    found: dict[str, Any] = answered(daemon, "status")
    return found


def wait_until_judged(guard: Host, processes: int = 1) -> None:
    """Wait until no packet waits for its verdict; none may have found its queue full."""
    deadline = time.monotonic() + 10
    for queue in range(FIRST_QUEUE, FIRST_QUEUE + processes):
        while (found := health_of(guard, queue)) is None or found.waiting:
            assert time.monotonic() < deadline, found
            time.sleep(0.005)
        assert not found.dropped_full


def health_of(guard: Host, queue: int) -> Health | None:
    """What the guard's kernel says of a queue."""
    return guard.call(partial(health, queue, _QUEUES))


FIRST_QUEUE: Final = 88
_QUEUES: Final = Path("/proc/thread-self/net/netfilter/nfnetlink_queue")
