"""Whether this host routes packets of others."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FORWARDING: Final = (
    Path("/proc/sys/net/ipv4/ip_forward"),
    Path("/proc/sys/net/ipv6/conf/all/forwarding"),
)


def forwarding() -> bool:
    """Whether this host routes packets of others, of either family."""
    for path in FORWARDING:
        try:
            if path.read_text().strip() != "0":
                return True
        except OSError:
            continue
    return False
