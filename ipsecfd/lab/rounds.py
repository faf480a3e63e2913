"""One round of probes: all are sent, then sockets and the drop log tell what became of each.

A drop shows by silence, which takes long to be sure of; the daemon's log usually names the packet
much earlier. Such a packet is given a moment more, so that one which is logged and yet arrives
counts as what it is: arrived.
"""

from __future__ import annotations

import selectors
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

from ipsecfd.lab.attempts import Attempt
from ipsecfd.lab.daemon import Daemon
from ipsecfd.lab.ears import Ears
from ipsecfd.lab.hosts import Host
from ipsecfd.lab.probes import Probe, Seen

PATIENCE: Final = 3.0
"""Seconds without any sign after which a packet counts as dropped."""
GRACE: Final = 0.1
"""Seconds in which a packet may still arrive after it was logged as dropped."""

_POLL: Final = 0.01


def play_round(
    hosts: Mapping[str, Host],
    probes: Sequence[Probe],
    daemon: Daemon | None,
    *,
    patience: float = PATIENCE,
    grace: float = GRACE,
) -> list[Seen]:
    """Send the probes at the same time; what became of each, in their order.

    `patience` and `grace` are seconds, as for `Attempt.settled`.
    Raises LabError where a probe cannot belong to these hosts.
    """
    with ExitStack() as stack:
        attempts = [Attempt(hosts, probe, stack) for probe in probes]
        selector = stack.enter_context(selectors.DefaultSelector())
        ears = Ears(stack, selector, attempts)
        for attempt in attempts:
            ears.listen(attempt)
        log = daemon.log() if daemon else None
        for attempt in attempts:
            attempt.send(selector, exact=daemon is None or attempt.sender is not daemon.host)
        while not all(attempt.settled(patience, grace) for attempt in attempts):
            for key, _ in selector.select(_POLL):
                key.data(key.fileobj)
            if daemon and log:
                for record in log.new():
                    for attempt in attempts:
                        attempt.note(record, daemon.host)
        return [attempt.seen() for attempt in attempts]
