"""Several packet processes: flows stay together, and each of them may fail."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import pytest

from ipsecfd.lab import Host, Lab
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import HTTP, SSH, passing, status
from tests.live.streams import GUARD, PEER, Stream

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ALWAYS, NEVER, ALWAYS2, NEVER2 = 7001, 7003, 7005, 7007
POLICY = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:{ALWAYS2} udp", "any <-> me:80 tcp"]
"""


def pids(daemon: Daemon) -> list[int]:
    """The packet processes, by queue."""
    return [one["pid"] for one in status(daemon)["queues"]]


def replaced(daemon: Daemon, before: list[int], seconds: float) -> None:
    """Wait until one process of these is another one and all judge."""
    deadline = time.monotonic() + seconds
    while len(set(before) & set(now := pids(daemon))) != len(before) - 1 or 0 in now:
        assert time.monotonic() < deadline, (before, now)


def noticed(daemon: Daemon) -> None:
    """Wait until the log tells that a process died: a stopped one is ended within a second, and not
    only when it owes an answer for five."""
    deadline = time.monotonic() + 4
    while not any("died" in one.get("message", "") for one in daemon.records()):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def queue_of(lab: Lab, source: str) -> int:
    """The queue, counted from 0, that what the peer sends to the guard from here comes to."""
    before = queued(lab["guard"])
    with lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
        mouth.bind((source, 0))
        for _ in range(20):
            mouth.sendto(b"whose?", (GUARD, NEVER))  # logged drops are never learnt
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        after = queued(lab["guard"])
        for number in after:
            if after[number] - before[number] >= 20:
                return number - min(after)
    raise AssertionError((before, after))


def another_source(lab: Lab, taken: int) -> str:
    """An address of the peer's whose packets come to another queue; the kernel hashes them by
    chance."""
    for last in range(1, 50):
        source = f"10.0.13.{last}"
        lab["peer"].add_address(f"{source}/32")
        if queue_of(lab, source) != taken:
            return source
    raise AssertionError("all on one queue")


@pytest.mark.parametrize(
    ("number", "seconds", "cache"),
    [(signal.SIGKILL, 5, "off"), (signal.SIGKILL, 5, "on"), (signal.SIGSTOP, 7, "off")],
)
def test_one_fails(lab: Lab, number: signal.Signals, seconds: float, cache: str) -> None:
    """One that is killed, or stopped, is replaced; nothing that is blocked passes meanwhile, what
    is permitted goes on afterwards, or all the while if it was learnt, and the log tells. The
    queues of the others do not feel it."""
    daemon = lab.start_daemon(POLICY, {"queue": {"processes": 3}, "cache": cache})
    before = pids(daemon)
    assert len(set(before)) == 3
    own = queue_of(lab, PEER)
    elsewhere = another_source(lab, own)
    with (
        Stream(lab, ALWAYS, rate=200) as always,
        Stream(lab, NEVER, rate=200) as never,
        Stream(lab, ALWAYS2, rate=200, source=elsewhere) as other,
        Stream(lab, NEVER2, rate=200, source=elsewhere) as other_never,
    ):
        time.sleep(0.3)
        lab["guard"].run(["kill", f"-{number.name.removeprefix('SIG')}", str(before[own])])
        noticed(daemon)
        replaced(daemon, before, seconds)
        time.sleep(0.5)
    assert never.arrived == other_never.arrived == []
    assert sorted(other.arrived) == list(range(other.sent))
    lost = always.sent - len(always.arrived)
    assert (lost == 0) == (cache == "on"), lost
    assert always.arrived[-1] == always.sent - 1
    assert [one != two for one, two in zip(pids(daemon), before, strict=True)].index(True) == own
    assert status(daemon)["restarts"] == 1
    unreported = json.loads(daemon.cli("stats", "--json").stdout)["unreported"]
    assert unreported["deaths"] == 1
    assert unreported["since"] <= unreported["until"]
    assert passing(lab, HTTP, SSH) == [True, False]
    (told,) = (text for one in daemon.records() if "died" in (text := one.get("message", "")))
    stopped = number == signal.SIGSTOP
    assert ("stopped by a signal" if stopped else "ended with signal 9") in told


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
        deadline = time.monotonic() + 10
        while not never.arrived:
            assert time.monotonic() < deadline
            time.sleep(0.001)
        opened = always.sent  # what was sent before may have waited in the queue, and died with it
        replaced(daemon, [before], 10)
        time.sleep(0.3)
    assert len(never.arrived) < never.sent / 2
    lost = set(range(opened, always.sent)) - set(always.arrived)
    assert len(lost) < 50, len(lost)  # a queue that is just being bound drops


def test_nothing_to_do(lab: Lab) -> None:
    """Where nothing comes, hardly any processor is woken: a packet process sleeps, and the agent
    looks around a few times a second. The first drop is in the log at once all the same, and so are
    those after it."""
    guard = lab["guard"]
    with Daemon(guard, POLICY, {"queue": {"processes": 1}}) as daemon:
        (process,) = pids(daemon)

        def wake_ups() -> tuple[int, int]:
            asked = guard.run(["cat", f"/proc/{process}/status"], check=True).stdout
            return woken(Path(f"/proc/{daemon.pid}/status").read_text()), woken(asked)

        def in_five_seconds() -> tuple[int, int]:
            """As long as the longest pause between two looks: each of them is in there once."""
            before = wake_ups()
            time.sleep(5)
            agents, its_own = (now - then for now, then in zip(wake_ups(), before, strict=True))
            return agents, its_own

        time.sleep(1)
        agents, its_own = min(in_five_seconds() for _ in range(3))  # others may have held it up
        assert agents < 23
        assert its_own < 6  # the agent asks now and then
        tail = daemon.log()
        for number in range(3):
            with lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth:
                mouth.sendto(b"anybody?", (GUARD, NEVER))
            start, found = time.monotonic(), 0
            while not found:
                assert time.monotonic() < start + 0.4, number
                found = sum(one["event"] == 4289 for one in tail.new())


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors")
def test_where_it_runs(lab: Lab) -> None:
    """A packet process goes to the processor that packets come in on, wherever that is."""
    guard, peer = lab["guard"], lab["peer"]
    one, other = sorted(os.sched_getaffinity(0))[:2]
    with Daemon(guard, POLICY, {"queue": {"processes": 1}, "cache": "off"}) as daemon:
        (process,) = pids(daemon)
        for there in (one, other, one):
            ping = peer.popen(
                ["taskset", "-c", str(there), "ping", "-q", "-i", "0.001", "-w", "70", GUARD],
                stdout=subprocess.DEVNULL,
            )
            try:
                deadline = time.monotonic() + 60
                while runs_on(guard, process) != there:
                    assert time.monotonic() < deadline, there
                    time.sleep(0.05)
            finally:
                peer.send_signal(ping, signal.SIGKILL)
                ping.wait()


def runs_on(host: Host, process: int) -> int:
    """The processor that it ran on last, by its `stat` in /proc."""
    stat = host.run(["cat", f"/proc/{process}/stat"], check=True).stdout
    return int(stat.rpartition(")")[2].split()[36])


def woken(status: str) -> int:
    """How often a process was woken since it started, by its `status` in /proc."""
    (count,) = re.findall(r"^voluntary_ctxt_switches:\s*(\d+)$", status, re.MULTILINE)
    return int(count)
