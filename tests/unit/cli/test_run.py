"""`ipsecfd run --check`: would the service start with this configuration?"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.agent import service
from ipsecfd.agent.systemd import NO_OTHER_TRY
from ipsecfd.cli.main import app
from ipsecfd.errors import ConfigurationError


def test_right_configuration(tmp_path: Path) -> None:
    """It says so, and starts nothing."""
    config = tmp_path / "ipsecfd.toml"
    config.write_text(f'state_dir = "{tmp_path}"\n')
    result = CliRunner().invoke(app, ["run", "--check", "--config", str(config)])
    assert (result.exit_code, result.output) == (0, "the configuration has no mistakes\n")


def test_mistakes(tmp_path: Path) -> None:
    """All of them, as a start tells them."""
    config = tmp_path / "ipsecfd.toml"
    config.write_text("forward = 1\n[queue]\nnumber = -1\n")
    error = CliRunner().invoke(app, ["run", "--check", "--config", str(config)]).exception
    assert isinstance(error, ConfigurationError)
    assert str(error).splitlines() == [
        f'{config}: forward: "1": expected true or false',
        f'{config}: queue.number: "-1": expected a number from 0 to 65535',
    ]


@pytest.mark.parametrize(
    ("words", "manager", "status"),
    [([], True, NO_OTHER_TRY), ([], False, 1), (["--check"], True, 1)],
)
def test_only_systemd_is_told_that_no_other_try_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], manager: bool, status: int
) -> None:
    """For everybody else a refused start is 1, as all that is refused."""
    config = tmp_path / "ipsecfd.toml"
    config.write_text("forward = 1\n")
    monkeypatch.setattr(service, "_check_privileges", lambda: None)
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    monkeypatch.setenv("SYSTEMD_EXEC_PID", str(os.getpid()) if manager else "1")
    error = CliRunner().invoke(app, ["run", *words, "--config", str(config)]).exception
    assert isinstance(error, ConfigurationError)
    assert error.status == status


def test_policies_are_checked_by_another_command() -> None:
    """Exit status 2, and nobody takes them for checked."""
    result = CliRunner().invoke(app, ["run", "--check", "--policy", "web.toml"])
    assert result.exit_code == 2
    assert "ipsecfd check FILE" in result.stderr
