"""Going before all ordinary processes, but not in a flood."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipsecfd.agent.precedence import WINDOW, Precedence

SECOND = 1_000_000_000


class Scheduler:
    """A kernel that tells how long the process wanted to run, and notes what it is asked for."""

    def __init__(self, *, permits: bool = True) -> None:
        self.wanted_ns = 5 * SECOND
        self.changes: list[bool] = []
        self._permits = permits

    def wanted(self) -> int:
        return self.wanted_ns

    def go_first(self, first: bool) -> None:
        if not self._permits:
            raise PermissionError
        self.changes.append(first)


@pytest.mark.parametrize("accounts", ["whole", "only idle time"])
def test_first_while_it_leaves_time_to_others(accounts: str) -> None:
    """It goes first from the start, is an ordinary one in a flood, and goes first after it; also
    where the kernel accounts for half of its time only."""
    kernel = Scheduler()
    precedence = Precedence(100, kernel.wanted, kernel.go_first)
    assert kernel.changes == [True]
    for second, (share, first) in enumerate(
        [(0.0, True), (0.75, True), (0.85, False), (1.0, False), (0.85, False), (0.75, True)], 101
    ):
        kernel.wanted_ns += int(share * SECOND * (1 if accounts == "whole" else 0.5))
        precedence.idled(1 if accounts == "whole" else 1 - share)
        precedence.look(second)
        assert kernel.changes[-1] is first, share
    assert kernel.changes == [True, False, True]


def test_a_moment_of_work_is_no_flood() -> None:
    """It is judged by a whole window, however often it looks, and by nothing before it."""
    kernel = Scheduler()
    precedence = Precedence(100, kernel.wanted, kernel.go_first)
    for tick in range(1, 8):
        kernel.wanted_ns += SECOND // 20  # busy for 0.35 s
        precedence.look(100 + tick / 20)
    precedence.idled(0.15)
    precedence.look(100 + WINDOW)
    assert kernel.changes == [True]
    precedence.look(100 + 2 * WINDOW)
    assert kernel.changes == [True, False]


def test_without_permission_it_is_an_ordinary_process() -> None:
    """Who may not go first judges packets all the same."""
    kernel = Scheduler(permits=False)
    precedence = Precedence(100, kernel.wanted, kernel.go_first)
    precedence.look(101)
    precedence.idled(1)
    precedence.look(102)
    assert kernel.changes == []


def test_without_accounts_it_is_an_ordinary_process(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Where the kernel does not count, a flood could not be told from nothing to do."""
    for accounts in ("0 0 0\n", None):
        path = tmp_path / "schedstat"
        path.unlink(missing_ok=True)
        if accounts is not None:
            path.write_text(accounts)
        monkeypatch.setattr("ipsecfd.agent.precedence._SCHEDSTAT", path)
        kernel = Scheduler()
        precedence = Precedence(100, go_first=kernel.go_first)
        precedence.idled(1)
        precedence.look(101)
        assert kernel.changes == []


def test_accounts_that_end_make_it_an_ordinary_process() -> None:
    """It goes first no longer than a flood could be told."""
    kernel = Scheduler()

    def wanted() -> int:
        if kernel.changes:
            raise OSError("too many open files")
        return kernel.wanted()

    precedence = Precedence(100, wanted, kernel.go_first)
    precedence.idled(1)
    precedence.look(101)
    assert kernel.changes == [True, False]


_CHILD = """
import os
from ipsecfd.agent.precedence import Precedence

precedence = Precedence(100)
print(os.sched_getscheduler(0))
precedence.look(101)
print(os.sched_getscheduler(0))
precedence.idled(10)
precedence.look(111)
print(os.sched_getscheduler(0))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_this_kernel() -> None:
    """The kernel takes what is asked of it, and keeps accounts."""
    done = subprocess.run(
        [sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True, timeout=60
    )
    first, ordinary = str(os.SCHED_FIFO), str(os.SCHED_OTHER)
    assert done.stdout.split() == [first, ordinary, first]
