"""What the kernel says of a queue: packets that wait in it, and packets that it dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

QUEUES: Final = Path("/proc/net/netfilter/nfnetlink_queue")
"""The kernel's table of bound queues; missing where it has none to bind."""


class Health(NamedTuple):
    """What the kernel says of a queue."""

    waiting: int
    """Packets without a verdict."""
    dropped_full: int
    """Packets dropped because too many were waiting."""
    dropped_socket: int
    """Packets dropped because the socket's buffer was full."""


def health(number: int, table: Path = QUEUES) -> Health | None:
    """The state of a queue, or None when nobody is bound to it or the table cannot be read."""
    try:
        for line in table.read_text().splitlines():
            fields = line.split()
            if fields and int(fields[0]) == number:
                return Health(int(fields[2]), int(fields[5]), int(fields[6]))
    except (OSError, ValueError, IndexError):
        return None
    return None
