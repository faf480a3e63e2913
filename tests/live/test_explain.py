"""`ipsecfd explain` without a policy says what the running service does with a packet."""

from __future__ import annotations

import os

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import IPSECFD
from tests.live.asking import SSH, answered, passing
from tests.live.test_agent import WEB

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

PACKET = "in tcp 203.0.113.66:40000 -> 192.0.2.10:22"


def test_says_what_happens(lab: Lab) -> None:
    """By the policy that is in force now, in the mode that is: the verdict that packets meet."""
    daemon = lab.start_daemon(WEB)
    assert passing(lab, SSH) == [False]
    found = answered(daemon, "explain", PACKET)
    assert (found["verdict"], found["policy"]) == ("block", "Web server")
    daemon.cli("mode", "PERMIT")
    assert passing(lab, SSH) == [True]
    found = answered(daemon, "explain", PACKET)
    assert (found["verdict"], found["reason"]) == ("permit", "mode")
    daemon.stop()
    done = lab["guard"].run([*IPSECFD, "explain", PACKET])
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody says what is in force: " in done.stderr
    assert "nothing is filtered" in done.stderr
