"""What commands say when no daemon answers."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.agent.client import NotRunningError
from ipsecfd.cli import not_running
from ipsecfd.cli.main import app
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel import boot, rules, standing
from ipsecfd.kernel.errors import KernelError

SOCKET = Path("/run/nobody.sock")
OPEN = "nothing is filtered: start it with `systemctl start ipsecfd`"
CLOSED = (
    "this host is closed\n`systemctl start ipsecfd` has packets judged again,"
    " `systemctl stop ipsecfd` opens the host\n"
    "(`nft delete table inet ipsecfd` does where it was run by hand)"
)


def situation(
    monkeypatch: pytest.MonkeyPatch,
    *,
    root: bool,
    present: bool | KernelError,
    bypassed: bool = False,
    runs: bool = False,
    booted: Mode | None = None,
) -> None:
    """Make the host look like this, whatever it is."""

    def found() -> bool:
        if isinstance(present, KernelError):
            raise present
        return present

    monkeypatch.setattr(os, "geteuid", lambda: 0 if root else 1000)
    monkeypatch.setattr(rules, "present", found)
    monkeypatch.setattr(standing, "bypassed", lambda _table: bypassed)
    monkeypatch.setattr(boot, "loaded", lambda: booted if found() else None)
    monkeypatch.setattr(not_running, "runs_in_network", lambda: runs)


@pytest.mark.parametrize("command", [["status"], ["mode"], ["reload"], ["policy", "list"]])
@pytest.mark.parametrize(("present", "words"), [(True, CLOSED), (False, OPEN)])
def test_root_is_told_whether_the_host_is_closed(
    monkeypatch: pytest.MonkeyPatch, command: list[str], present: bool, words: str
) -> None:
    """After a crash the rules stay: that nobody answers and nothing passes belongs together."""
    situation(monkeypatch, root=True, present=present)
    error = CliRunner().invoke(app, [*command, "--socket", str(SOCKET)]).exception
    assert isinstance(error, NotRunningError)
    assert str(SOCKET) in str(error)
    assert words in str(error)


@pytest.mark.parametrize(
    ("root", "present"), [(False, True), (True, KernelError("the program nft is missing"))]
)
def test_who_cannot_know_is_told_how_to_start(
    monkeypatch: pytest.MonkeyPatch, root: bool, present: bool | KernelError
) -> None:
    """Without the right to ask the kernel, or nft to ask with, nothing is claimed."""
    situation(monkeypatch, root=root, present=present)
    error = CliRunner().invoke(app, ["status", "--socket", str(SOCKET)]).exception
    assert "not running" in str(error)
    assert "systemctl start ipsecfd" in str(error)
    assert "closed" not in str(error)


def test_rules_that_let_packets_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of on_failure = "permit" close nothing, whatever the configuration says by now."""
    situation(monkeypatch, root=True, present=True, bypassed=True)
    assert "let packets pass unjudged" in not_running.describe(SOCKET)


def test_start_up_rules_of_a_boot(monkeypatch: pytest.MonkeyPatch) -> None:
    """They close nothing for good, and are named."""
    situation(monkeypatch, root=True, present=True, booted=Mode.STARTUP_STATEFUL)
    said = not_running.describe(SOCKET)
    assert "start-up rules of the boot are in force: stateful mode" in said
    assert "closed" not in said


def test_a_daemon_with_another_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mistyped --socket says nothing about the host, whose rules are in use."""
    situation(monkeypatch, root=True, present=True, runs=True)
    said = not_running.describe(SOCKET)
    assert "closed" not in said
    assert "--socket" in said


def test_a_socket_whose_file_is_gone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Who serves it cannot be reached, and only another start makes it again."""
    situation(monkeypatch, root=True, present=True, runs=True)
    path = tmp_path / "a b.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))
        path.unlink()
        assert "removed" not in not_running.describe(path)
        one.listen()
        said = not_running.describe(path)
        assert f"serves {path}, but that file was removed" in said
        assert "`systemctl restart ipsecfd`" in said
        assert "removed" not in not_running.describe(tmp_path / "a")
