"""How packets come to their process on a stock kernel, and how soon it is run."""

from __future__ import annotations

import shlex

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


GRANTED = """
import os
os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
processors = os.sched_getaffinity(0)
for one in processors:
    os.sched_setaffinity(0, {one})
os.sched_setaffinity(0, processors)
os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
print("ordinary:", os.sched_getscheduler(0) == os.SCHED_OTHER, os.getpriority(os.PRIO_PROCESS, 0))
"""
GRANTS = ("LimitRTPRIO=", "Nice=", "SystemCall", "CapabilityBoundingSet=")


def test_packet_processes_may_move_and_be_ordinary_ones_again(lab: Machines) -> None:
    """What the unit grants is enough to go to another processor, and, in a flood, for the way back
    to the nice value it has."""
    unit = lab.guard.run("systemctl cat ipsecfd")
    grants = [line for line in unit.splitlines() if line.startswith(GRANTS)]
    assert {one.split("=")[0] + "=" for one in grants} > {*GRANTS} - {"SystemCall"}
    granted = " ".join(f"-p {shlex.quote(one)}" for one in grants)
    command = f"systemd-run --quiet --wait --pipe {granted} python3 -c {shlex.quote(GRANTED)}"
    assert "ordinary: True -5" in lab.guard.run(command)
