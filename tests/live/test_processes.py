"""Several packet processes: flows stay together, and each of them may fail."""

from __future__ import annotations

import os
import signal
import time

import pytest

from ipsecfd.lab import Lab
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


def test_failure_by_choice_is_open(lab: Lab) -> None:
    """on_failure = "permit": while a queue has no process its packets pass."""
    daemon = lab.start_daemon(POLICY, {"on_failure": "permit", "cache": "off"})
    with Stream(lab, NEVER) as stream:
        time.sleep(0.3)
        (before,) = pids(daemon)
        lab["guard"].run(["kill", "-KILL", str(before)])
        replaced(daemon, [before], 10)
        time.sleep(0.3)
    assert 0 < len(stream.arrived) < stream.sent / 2
