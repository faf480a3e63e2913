"""The lock of the only instance."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ipsecfd.agent import lock
from ipsecfd.agent.lock import LockError, only_instance, runs_in_network

SQUATTER = """
import os, socket, sys
os.setuid(65534)
name = socket.socket(socket.AF_UNIX)
name.bind("\\0" + sys.argv[1])
if sys.argv[2:]:
    name.listen(1)
print("bound", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def own_name(monkeypatch: pytest.MonkeyPatch) -> str:
    """A name of this process' own: other tests may run agents in the same network."""
    name = f"ipsecfd-test-{os.getpid()}"
    monkeypatch.setattr(lock, "_NAME", f"\0{name}")
    return name


def test_second_instance_is_refused_with_the_first_ones_pid(tmp_path: Path) -> None:
    """Who runs already is named; afterwards the lock is free again."""
    socket = tmp_path / "run" / "control.sock"
    refused = pytest.raises(LockError, match=f"pid {os.getpid()},")
    with only_instance(socket), refused, only_instance(socket):
        pass
    with only_instance(socket):
        pass


def test_one_for_each_network(tmp_path: Path) -> None:
    """Another socket is not enough for two."""
    refused = pytest.raises(LockError, match="in this network, with another `socket`")
    with only_instance(tmp_path / "one.sock"), refused, only_instance(tmp_path / "other.sock"):
        pass
    with only_instance(tmp_path / "other.sock"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("words", [(), ("listen",)])
def test_no_other_user_keeps_an_agent_from_running(
    tmp_path: Path, own_name: str, words: tuple[str, ...]
) -> None:
    """Anybody may take a name; without the right to run an agent that is none."""
    with subprocess.Popen(
        [sys.executable, "-I", "-c", SQUATTER, own_name, *words],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as squatter:
        assert squatter.stdout is not None
        assert squatter.stdout.readline() == b"bound\n"
        assert not runs_in_network()
        with only_instance(tmp_path / "control.sock"):
            pass


def test_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """The refusal names the file and the key to change."""
    (tmp_path / "file").write_text("")
    socket = tmp_path / "file" / "control.sock"
    with pytest.raises(LockError, match=r"control\.sock\.lock: .*socket"), only_instance(socket):
        pass


def test_commands_can_tell_that_an_agent_runs(tmp_path: Path) -> None:
    """Whatever its socket is, and without disturbing it."""
    assert not runs_in_network()
    with only_instance(tmp_path / "control.sock"):
        assert all(runs_in_network() for _ in range(1000))


def test_who_asks_and_goes_is_in_nobodys_way(tmp_path: Path, own_name: str) -> None:
    """However many of them there were."""
    with only_instance(tmp_path / "control.sock"):
        for _ in range(5000):
            with socket.socket(socket.AF_UNIX) as stranger:
                stranger.connect(f"\0{own_name}")
        assert runs_in_network()
    assert not runs_in_network()
