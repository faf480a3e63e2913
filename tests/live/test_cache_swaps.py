"""Policies and modes are swapped while packets of learnt flows are under way."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.modes import Mode
from ipsecfd.lab import Lab
from tests.live.asking import wait_until_judged
from tests.live.random_flows import driver_of, random_packet, random_policy
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

FLOWS, RATE = 150, 3000
MOST = 30_000
"""Packets between two looks; each has a number of 16 bits."""


class Flood:
    """Numbered packets of some flows, one after the other; `order` has which of them was sent under
    which number, from the moment before it is."""

    def __init__(
        self, witness: Witness, flows: list[tuple[bytes, Direction]], random_: random.Random
    ) -> None:
        self._witness, self._flows, self._random = witness, flows, random_
        self.order: list[int] = []

    @contextmanager
    def sending(self) -> Iterator[None]:
        """Send while the block lasts."""
        over = threading.Event()
        thread = threading.Thread(target=self._send, args=(over.is_set,))
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()

    def _send(self, over: Callable[[], bool]) -> None:
        while not over() and len(self.order) < MOST:
            flow = self._random.randrange(len(self._flows))
            self.order.append(flow)
            data, direction = self._flows[flow]
            self._witness.send(numbered(data, len(self.order)), direction)
            time.sleep(1 / RATE)


@pytest.mark.parametrize(
    "config",
    [{}, {"diagnostics": {"level": 0}, "queue": {"processes": 2}}],
    ids=["permitted", "blocked too, in two processes"],
)
def test_swaps_under_way(lab: Lab, config: dict[str, Any]) -> None:
    """Each packet meets the verdict of the settings before or after; from the moment that a command
    has returned that of the new ones only, whatever was learnt or was being learnt."""
    random_ = random.Random(20260102)
    flows = [random_packet(random_) for _ in range(FLOWS)]
    swaps = [(random_policy(random_), Mode.SECURE) for _ in range(3)]
    swaps[2:2] = [(swaps[1][0], Mode.BLOCK), (swaps[1][0], Mode.PERMIT), swaps[1]]
    guard = lab["guard"]
    guard.set_sysctl("net/ipv4/ip_forward", "1")
    guard.set_sysctl("net/ipv6/conf/all/forwarding", "1")
    queue = {"length": 65_536, **config.get("queue", {})}  # so that none is lost for want of room
    policy, mode = swaps[0]
    daemon = lab.start_daemon(policy, config | {"queue": queue, "forward": True, "exempt": 0})
    after, changed = verdicts(driver_of(policy, guard, mode), flows), 0
    with Witness(lab) as witness:
        for next_policy, next_mode in swaps[1:]:
            before = after
            after = verdicts(driver_of(next_policy, guard, next_mode), flows)
            flood = Flood(witness, flows, random_)
            with flood.sending():
                time.sleep(0.2)
                if next_policy != policy:
                    daemon.reload(next_policy)
                if next_mode is not mode:
                    daemon.cli("mode", str(next_mode))
                answered = len(flood.order)
                time.sleep(0.2)
            policy, mode = next_policy, next_mode
            witness.settle()
            wait_until_judged(guard, queue.get("processes", 1))
            for family in (4, 6):
                passed = witness.passed(family)
                for number in witness.seen(family):
                    flow = flood.order[number - 1]
                    allowed = {after[flow]} if number > answered else {before[flow], after[flow]}
                    assert (number in passed) in allowed, (number, answered, policy, flows[flow])
                    changed += number > answered and before[flow] is not after[flow]
            witness.forget()
    assert changed > FLOWS
    decided = guard.run(["nft", "list", "counters", "table", "inet", "ipsecfd"], check=True).stdout
    for direction in Direction:
        _, _, told = decided.partition(f"counter {direction}_permit {{")
        assert int(told.split()[1]) > FLOWS, direction


def verdicts(driver: Driver, flows: list[tuple[bytes, Direction]]) -> list[bool]:
    """Which of the flows may pass."""
    return [driver.decide(data, direction, "eth0").permits for data, direction in flows]
