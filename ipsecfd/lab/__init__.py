"""Hosts in network namespaces, and scenarios played on them.

`Lab` builds the hosts and starts a daemon on one, `Probe` says what to try, `Seen` what became of
it. Tests use these; scenario files use the same through `ipsecfd lab`.
"""

from __future__ import annotations

from ipsecfd.lab.daemon import Daemon
from ipsecfd.lab.hosts import Host, HostSpec
from ipsecfd.lab.lab import GUARD, PEER, Lab
from ipsecfd.lab.namespaces import LabError, Namespace
from ipsecfd.lab.probes import Outcome, Probe, Record, Seen

__all__ = [
    "GUARD",
    "PEER",
    "Daemon",
    "Host",
    "HostSpec",
    "Lab",
    "LabError",
    "Namespace",
    "Outcome",
    "Probe",
    "Record",
    "Seen",
]
