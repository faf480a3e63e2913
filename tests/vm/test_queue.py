"""A stock kernel has nftables' own queue statement, and packets come by it."""

from __future__ import annotations

import pytest

from tests.vm.guests import GUARD, Machines

pytestmark = pytest.mark.needs_nft_queue

BLOCK_PING = """
name = "No ping"
[[rule]]
action = "block"
filters = ["me <-> any icmp"]
"""


def test_packets_come_by_the_queue_statement_of_nftables(lab: Machines) -> None:
    """The status names it, the rules contain it, and a verdict given through it holds."""
    guard = lab.guard
    assert guard.status()["hook"] == "nft queue"
    assert "queue to 88" in guard.run("nft list table inet ipsecfd")
    assert lab.peer.succeeds(f"ping -c1 -W3 {GUARD}")
    guard.assign(BLOCK_PING)
    assert not lab.peer.succeeds(f"ping -c2 -i0.5 -W1 {GUARD}")
    assert [drop["destination"] for drop in guard.drops()] == [GUARD, GUARD]


def test_packet_processes_go_before_all_others(lab: Machines) -> None:
    """The unit lets its packet process be a real-time one, which it is while little is queued."""
    (queue,) = lab.guard.status()["queues"]
    first = f"chrt --pid {queue['pid']} | grep SCHED_FIFO"
    lab.guard.run(f"timeout 60 sh -c 'until {first}; do sleep 0.5; done'")
