"""From start-up rules to the agent, under traffic: each phase passes what it permits and no more
(spec 6.4, 6.5)."""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from pathlib import Path

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import CONFIG
from tests.live.streams import GUARD, PEER, Stream, Traffic

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

SCRIPT = Path(__file__).parents[2] / "systemd/ipsecfd-boot"
ALWAYS, AT_BOOT, IN_FORCE, NEVER = 7001, 7002, 7003, 7004
"""Ports of the guard, by when something permits UDP to them."""
KEPT, CUT = 7005, 7006
"""Ports of the peer that the guard speaks to: the policy permits it or not."""
POLICY = f"""
name = "Four ports"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{ALWAYS} udp", "any <-> me:{IN_FORCE} udp", "me <-> any:{KEPT} udp"]
"""
STARTUP = {
    "startup": {"exemptions": [f"udp:0:{port}:inbound" for port in (ALWAYS, AT_BOOT)]},
}


class Talk(Traffic):
    """Numbered questions of the guard to a port of the peer, which were answered, and how many
    within so many seconds were not; the next one is asked after that."""

    def __init__(self, lab: Lab, port: int, patience: float = 0.05) -> None:
        self.asked = self.unanswered = 0
        self.answered: list[int] = []
        self._mouth = lab["guard"].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._mouth.bind((GUARD, 0))
        self._mouth.connect((PEER, port))
        self._mouth.settimeout(patience)
        self._other = lab["peer"].socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._other.bind((PEER, port))
        self._other.settimeout(0.05)
        super().__init__((self._mouth, self._other), self._ask, self._answer)

    def _ask(self) -> None:
        while not self._over.is_set():
            self.asked += 1
            try:
                self._mouth.send(self.asked.to_bytes(8, "big"))
                self.answered.append(int.from_bytes(self._mouth.recv(100), "big"))
            except (TimeoutError, PermissionError):  # dropped on the way in, or out
                self.unanswered += not self._over.is_set()
                time.sleep(0.002)

    def _answer(self) -> None:
        while not self._over.is_set():
            try:
                data, address = self._other.recvfrom(100)
                self._other.sendto(data, address)
            except TimeoutError:
                pass


def counted(lab: Lab, *chains: str) -> Counter[str]:
    """The packets that chains of the start-up rules have passed and dropped."""
    found: Counter[str] = Counter()
    for chain in chains:
        command = ["nft", "-j", "list", "chain", "inet", "ipsecfd", chain]
        listed = json.loads(lab["guard"].run(command, check=True).stdout)["nftables"]
        for rule in (one["rule"]["expr"] for one in listed if "rule" in one):
            packets = sum(one["counter"]["packets"] for one in rule if "counter" in one)
            found["passed" if "accept" in rule[-1] else "dropped"] += packets
    return found


def test_each_phase_passes_what_it_permits(lab: Lab) -> None:
    """What both permit has no gap, what one permits passes in that phase only, what neither does
    never; the counters of each phase agree. While the kernel learns a flow, its packets may
    overtake those that still wait in the queue."""
    lab.start_daemon(POLICY, STARTUP).stop()  # it has kept the rules of the next boot
    lab["guard"].run([str(SCRIPT), "load", CONFIG], check=True)
    with (
        Stream(lab, ALWAYS) as always,
        Stream(lab, AT_BOOT) as at_boot,
        Stream(lab, IN_FORCE) as in_force,
        Stream(lab, NEVER) as never,
        Talk(lab, KEPT, patience=0.8) as kept,
        Talk(lab, CUT) as cut,
    ):
        time.sleep(1)
        streamed = [one.sent for one in (always, at_boot, in_force, never)]
        time.sleep(0.1)
        before = counted(lab, "stateful_in", "broken", "neighbours")
        heard = [len(one.arrived) for one in (in_force, never)]
        daemon = lab.start_daemon(POLICY, STARTUP)
        assert "stateful mode" in daemon.output
        time.sleep(1)
        judged = len(in_force.arrived)
        stats = json.loads(daemon.cli("stats", "--json").stdout)["counts"]
    assert sorted(always.arrived) == list(range(always.sent))
    assert at_boot.arrived == list(range(len(at_boot.arrived)))
    assert sorted(in_force.arrived) == list(range(min(in_force.arrived), in_force.sent))
    assert never.arrived == []
    assert heard == [0, 0]
    # Both streams change over in one moment, as far as they are in step.
    assert abs(min(in_force.arrived) - len(at_boot.arrived)) < in_force.sent / 10
    assert before["passed"] >= streamed[0] + streamed[1]  # and the answers of the peer
    assert before["dropped"] >= streamed[2] + streamed[3]
    by_verdict: Counter[str] = Counter()
    for one in stats:
        by_verdict[one["verdict"]] += one["packets"] if one["direction"] == "in" else 0
    assert by_verdict["permit"] > judged
    assert by_verdict["block"] > judged
    # Who was spoken to goes on answering, and does not where the policy says so.
    assert kept.answered == list(range(1, len(kept.answered) + 1))
    assert kept.unanswered == 0
    assert cut.answered == list(range(1, len(cut.answered) + 1))
    assert cut.answered
    assert cut.unanswered > 5


def test_conversations_end_with_the_start_up_mode(lab: Lab) -> None:
    """M14: an answer that stateful mode would let in is the policy's to judge, and nothing of the
    memory stays in the kernel (spec 6.4)."""
    blocking = POLICY.replace(f', "me <-> any:{KEPT} udp"', "")
    lab.start_daemon(blocking, STARTUP).stop()
    lab["guard"].run([str(SCRIPT), "load", CONFIG], check=True)
    with Talk(lab, KEPT) as talk:
        time.sleep(0.3)
    assert talk.answered
    lab.start_daemon(blocking, STARTUP)
    with Talk(lab, KEPT) as talk:
        time.sleep(0.3)
    assert talk.answered == []
    listed = lab["guard"].run(["nft", "list", "table", "inet", "ipsecfd"], check=True).stdout
    assert "answers4" not in listed
    assert "peers4" not in listed
