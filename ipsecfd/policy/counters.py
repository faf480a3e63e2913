"""What the driver counts of its own, for `show stats` (spec 7.3)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Counters:
    """Packets since the service started."""

    permitted_in: int = 0
    permitted_out: int = 0
    blocked_in: int = 0
    blocked_out: int = 0
    exempted: int = 0
    """Permitted because no filter may stop them (spec 4)."""
    no_filter: int = 0
    """Permitted because no filter matches them."""
    fragments_dropped: int = 0
    """Dropped because they are fragments (spec 5)."""
