"""Several packet processes: flows stay together, and each of them may fail."""

from __future__ import annotations

import os
import signal
import socket
import time

import pytest

from ipsecfd.lab import Host, Lab
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import HTTP, SSH, passing, status
from tests.live.streams import Stream

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ALWAYS, NEVER = 7001, 7003
POLICY = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:80 tcp"]
"""


def pids(daemon: Daemon) -> list[int]:
    """The packet processes, by queue."""
    return [one["pid"] for one in status(daemon)["queues"]]


def replaced(daemon: Daemon, before: list[int], seconds: float) -> None:
    """Wait until one process of these is another one and all judge."""
    deadline = time.monotonic() + seconds
    while len(set(before) & set(now := pids(daemon))) != len(before) - 1 or 0 in now:
        assert time.monotonic() < deadline, (before, now)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_one_fails(lab: Lab, number: signal.Signals) -> None:
    """One that is killed, or stopped, is replaced; nothing that is blocked passes meanwhile, what
    is permitted goes on afterwards, and the log tells."""
    config = {"queue": {"processes": 3}, "cache": "off"}
    daemon = lab.start_daemon(POLICY, config)
    before = pids(daemon)
    assert len(set(before)) == 3
    with Stream(lab, ALWAYS, rate=200) as always, Stream(lab, NEVER, rate=200) as never:
        for inner in before:  # one after the other, so that the streams' own is among them
            now = pids(daemon)
            victim = now[before.index(inner)]
            lab["guard"].run(["kill", f"-{number.name.removeprefix('SIG')}", str(victim)])
            replaced(daemon, now, 15)
        time.sleep(0.5)
    assert never.arrived == []
    assert always.arrived[-1] == always.sent - 1
    assert status(daemon)["restarts"] == 3
    assert passing(lab, HTTP, SSH) == [True, False]
    assert sum("died" in one.get("message", "") for one in daemon.records()) == 3


def test_both_directions_go_to_one_queue(lab: Lab) -> None:
    """Packets of a flow and those of its way back are judged by the same process; other hosts'
    flows by others."""
    lab.start_daemon('name = "Nothing is filtered"\n', {"queue": {"processes": 4}, "cache": "off"})
    guard, peer = lab["guard"], lab["peer"]
    used = set()
    for interface in peer.interfaces:
        here = next(one.ip for one in guard.interfaces if one.version == interface.version)
        ends = [(str(here), 5000), (str(interface.ip), 6000)]
        sockets = []
        for host, end in zip((guard, peer), ends, strict=True):
            family = socket.AF_INET if interface.version == 4 else socket.AF_INET6
            sockets.append(host.socket(family, socket.SOCK_DGRAM))
            sockets[-1].bind(end)
            sockets[-1].settimeout(5)
        with sockets[0] as own, sockets[1] as other:
            before = queued(guard)
            for _ in range(20):
                other.sendto(b"in", ends[0])
                assert own.recv(10) == b"in"
            between = queued(guard)
            for _ in range(20):
                own.sendto(b"out", ends[1])
                assert other.recv(10) == b"out"
            after = queued(guard)
        ways = [
            {number for number in after if later[number] - earlier[number] >= 20}
            for earlier, later in ((before, between), (between, after))
        ]
        assert len(ways[0]) == 1
        assert ways[0] == ways[1]
        used |= ways[0]
    assert len(used) > 1


def queued(guard: Host) -> dict[int, int]:
    """How many packets came to each queue so far."""
    table = guard.run(["cat", "/proc/net/netfilter/nfnetlink_queue"], check=True).stdout
    rows = [line.split() for line in table.splitlines()]
    return {int(row[0]): int(row[7]) for row in rows}


def test_failure_by_choice_is_open(lab: Lab) -> None:
    """on_failure = "permit": while a queue has no process its packets pass, and they do until the
    next one has its table, which takes a while when it is large."""
    many = ", ".join(f'"10.{one >> 8}.{one & 255}.9 <-> me:80 tcp"' for one in range(20_000))
    large = f'{POLICY}[[rule]]\naction = "permit"\nfilters = [{many}]\n'
    daemon = lab.start_daemon(large, {"on_failure": "permit", "cache": "off"})
    with Stream(lab, NEVER) as never, Stream(lab, ALWAYS) as always:
        time.sleep(0.3)
        (before,) = pids(daemon)
        lab["guard"].run(["kill", "-KILL", str(before)])
        replaced(daemon, [before], 10)
        time.sleep(0.3)
    assert 0 < len(never.arrived) < never.sent / 2
    lost = set(range(always.sent)) - set(always.arrived)
    assert len(lost) < 50, len(lost)  # what waited in the queue when its process died
