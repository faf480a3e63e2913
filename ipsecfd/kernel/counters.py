"""The counters of what the kernel decided by itself: exact, whatever became of single flows.

They begin anew whenever the table is installed, and outlast a change of generation.
"""

from __future__ import annotations

from typing import NamedTuple

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.kernel import cache, nfnetlink
from ipsecfd.kernel.rules import TABLE


class Counters(NamedTuple):
    """What our table counts."""

    packets: int = 0
    octets: int = 0
    """Packets of learnt flows and their bytes; none of these was judged."""
    refused: int = 0
    """Packets, judged, whose flow was not learnt because it found no room."""


def read() -> Counters:
    """The counters as they are; 0 where there is none. Raises KernelError."""
    with nfnetlink.connect() as netlink:
        found = {name: volume for name, *volume in nfnetlink.dump_counters(netlink, TABLE)}
    decided = [
        found.get(cache.decided(direction, verdict), [0, 0])
        for direction in Direction
        for verdict in Verdict
    ]
    return Counters(
        packets=sum(packets for packets, _ in decided),
        octets=sum(octets for _, octets in decided),
        refused=sum(found.get(cache.refused(one), [0, 0])[0] for one in Direction),
    )
