"""Before a change: what it would cut is told, and the own session is not cut by accident."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ipsecfd.agent.report import CutReport, Foresight
from ipsecfd.cli import foresight
from ipsecfd.errors import IpsecfdError
from tests.unit.cli.fake_daemon import FakeDaemon, ipsecfd

SSH = CutReport(
    "192.0.2.10:22 <- 203.0.113.66:50412",
    own=True,
    direction="in",
    reason="filter",
    rule="Block everything",
    filter="me <-> any",
    mirrored=True,
    detail=None,
)
WEB = CutReport(
    "192.0.2.10:80 <- 198.51.100.7:4000", False, "in", "mode", None, None, False, "block"
)
COMMANDS = [
    (["apply", "/x.toml"], "AssignPolicy"),
    (["policy", "assign", "/x.toml"], "AssignPolicy"),
    (["policy", "assign", "Web server"], "AssignStored"),
    (["policy", "unassign"], "UnassignPolicy"),
    (["mode", "block"], "SetMode"),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sits there."""
    monkeypatch.setattr(foresight, "at_terminal", lambda: True)


def cutting(daemon: FakeDaemon, *cuts: CutReport) -> None:
    """The change would cut these."""
    daemon.answers["Foresee"] = Foresight(5, len(cuts), list(cuts))


@pytest.mark.parametrize(("command", "method"), COMMANDS)
def test_connections_of_others_are_told(
    daemon: FakeDaemon, command: list[str], method: str
) -> None:
    """On stderr, before the change, which is made."""
    cutting(daemon, WEB)
    done = ipsecfd(*command)
    assert done.exit_code == 0
    assert done.stderr.startswith(
        "This cuts 1 of 5 established connections:\n"
        "  192.0.2.10:80 <- 198.51.100.7:4000\n"
        "      blocked in: mode block\n"
    )
    assert daemon.methods[:2] == ["Foresee", method]


@pytest.mark.parametrize(("command", "method"), COMMANDS)
def test_own_session_is_not_cut_by_a_script(
    daemon: FakeDaemon, command: list[str], method: str
) -> None:
    """Without a terminal to ask at nothing is changed, and the way out is named."""
    cutting(daemon, SSH, WEB)
    done = ipsecfd(*command)
    assert isinstance(done.exception, IpsecfdError)
    assert "--confirm" in str(done.exception)
    assert done.stderr == (
        "This cuts 2 of 5 established connections:\n"
        "  192.0.2.10:22 <- 203.0.113.66:50412  <-- your own ssh session\n"
        '      blocked in by filter "me <-> any (its mirror)" of rule "Block everything"\n'
        "  192.0.2.10:80 <- 198.51.100.7:4000\n"
        "      blocked in: mode block\n"
    )
    assert daemon.methods == ["Foresee"]


@pytest.mark.parametrize(("command", "method"), COMMANDS)
@pytest.mark.parametrize("sure", [["--yes"], ["-y"], ["--confirm", "60"]])
def test_own_session_is_cut_by_whoever_is_sure(
    daemon: FakeDaemon, command: list[str], method: str, sure: list[str]
) -> None:
    """The list is told all the same."""
    cutting(daemon, SSH)
    done = ipsecfd(*command, *sure)
    assert done.exit_code == 0
    assert "your own ssh session" in done.stderr
    assert daemon.methods[:2] == ["Foresee", method]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize(
    ("typed", "changed"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("n\n", False), ("", False)],
)
def test_a_terminal_is_asked(daemon: FakeDaemon, typed: str, changed: bool) -> None:
    """Only a plain yes cuts the own session."""
    cutting(daemon, SSH, WEB)
    done = ipsecfd("apply", "/x.toml", typed=typed)
    assert "Cut these 2 connections? [y/N] " in done.stderr
    assert changed == (daemon.methods == ["Foresee", "AssignPolicy"])
    assert changed == (done.exit_code == 0)


def test_very_many_are_counted() -> None:
    """The own session first, then some, then a number; nothing is wider than 80 columns."""
    found = Foresight(1234, 1200, [SSH, *[WEB] * 1199])
    lines = list(foresight.foresight_lines(found, 80, 10))
    assert lines[0] == "This cuts 1,200 of 1,234 established connections:"
    assert lines[-1] == "  and 1,190 more; 2>FILE lists them"
    assert len(lines) == 2 + 2 * 10
    assert max(map(len, lines)) <= 80


def test_a_file_gets_all_of_them(daemon: FakeDaemon) -> None:
    """Where nobody has to be asked afterwards, each connection is told."""
    cutting(daemon, *[WEB] * 30)
    done = ipsecfd("apply", "/x.toml")
    assert done.stderr.count("198.51.100.7:4000") == 30
    assert "more" not in done.stderr


# --- whose session ---


def process(proc: Path, name: str, parent: int, environment: bytes) -> None:
    """A process as /proc shows it."""
    (proc / name).mkdir(parents=True)
    (proc / name / "environ").write_bytes(environment)
    (proc / name / "stat").write_text(f"{name} (a ) b) S {parent} 1 1 0")


def test_session_of_a_shell_below_sudo(tmp_path: Path) -> None:
    """Sudo has emptied the environment; the shell before it still has the variable."""
    process(tmp_path, "self", 30, b"PATH=/bin\0")
    process(tmp_path, "30", 20, b"")
    process(tmp_path, "20", 1, b"A=b\0SSH_CONNECTION=203.0.113.66 4000 192.0.2.10 22\0C=d\0")
    process(tmp_path, "1", 0, b"SSH_CONNECTION=nobody's\0")
    assert foresight.ssh_session(tmp_path) == "203.0.113.66 4000 192.0.2.10 22"


def test_no_session(tmp_path: Path) -> None:
    """A console, a job of cron, and a /proc that shows nothing."""
    process(tmp_path, "self", 1, b"PATH=/bin\0")
    process(tmp_path, "1", 0, b"")
    assert foresight.ssh_session(tmp_path) == ""
    assert foresight.ssh_session(tmp_path / "none") == ""


def test_session_of_a_real_process() -> None:
    """Through a process that has dropped its environment."""
    ask = "from ipsecfd.cli.foresight import ssh_session; print(ssh_session())"
    done = subprocess.run(
        ["sh", "-c", f"env -i '{sys.executable}' -c '{ask}'; true"],
        env={**os.environ, "SSH_CONNECTION": "203.0.113.66 4000 192.0.2.10 22"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "203.0.113.66 4000 192.0.2.10 22\n"
