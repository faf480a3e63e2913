"""`ipsecfd lab` without root: what it lists and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.cli.lab import DEMO, app
from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.scenario import ScenarioError

runner = CliRunner()


def test_list() -> None:
    """Every built-in scenario is a line, the demo's among them."""
    result = runner.invoke(app, ["list"])
    assert result.exit_code == 0
    assert [DEMO, "Web", "server"] in [line.split() for line in result.stdout.splitlines()]


def test_all_scenarios_are_read_before_one_is_played(tmp_path: Path) -> None:
    """A wrong file among others is told before anything starts."""
    wrong = tmp_path / "wrong.toml"
    wrong.write_text('name = "n"\nstep = 5')
    result = runner.invoke(app, ["run", DEMO, str(wrong)])
    assert isinstance(result.exception, ScenarioError)
    assert result.stdout == ""


def test_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without root the lab says that it needs it, and nothing else."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = runner.invoke(app, ["demo"])
    assert isinstance(result.exception, LabError)
    assert "sudo" in str(result.exception)
