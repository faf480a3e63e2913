"""The lock of the only instance."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecfd.agent.lock import LockError, only_instance, runs_in_network


def test_second_instance_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Who runs already is named; afterwards the lock is free again."""
    socket = tmp_path / "run" / "control.sock"
    refused = pytest.raises(LockError, match=f"pid {os.getpid()},")
    with only_instance(socket), refused, only_instance(socket):
        pass
    with only_instance(socket):
        pass


def test_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """The refusal names the file and the key to change."""
    (tmp_path / "file").write_text("")
    socket = tmp_path / "file" / "control.sock"
    with pytest.raises(LockError, match=r"control\.sock\.lock: .*socket"), only_instance(socket):
        pass


def test_commands_can_tell_that_an_agent_runs(tmp_path: Path) -> None:
    """Whatever its socket is, and without disturbing it."""
    with only_instance(tmp_path / "control.sock"):
        assert runs_in_network()
