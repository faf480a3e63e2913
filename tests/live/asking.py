"""What live tests ask: which probes pass a lab now, and what the daemon says of itself."""

from __future__ import annotations

import json
from typing import Any

from ipsecfd.lab import Lab, Probe
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
