"""The commands of the systemd unit, each loaded without all the others."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from ipsecfd.cli import alone
from ipsecfd.cli.main import app, main


@pytest.mark.parametrize("command", ["run", "after-stop"])
def test_is_loaded_without_the_commands_of_windows(command: str) -> None:
    """What the host waits for, closed, takes no longer than it has to."""
    loads = f"import sys; from ipsecfd.cli.alone import program; program([{command!r}, '--help'])"
    shows = "print([name for name in sys.modules if name.startswith('ipsecfd.')])"
    done = subprocess.run(
        [sys.executable, "-c", f"{loads}; {shows}"], capture_output=True, text=True, check=True
    )
    assert f"ipsecfd.cli.{command.replace('-', '_')}" in done.stdout
    assert "ipsecfd.cli.main" not in done.stdout
    assert "netsh" not in done.stdout


@pytest.mark.parametrize("command", ["run", "after-stop"])
@pytest.mark.parametrize("rest", ["--help", "--nonsense"])
def test_says_what_it_says_among_the_others(command: str, rest: str) -> None:
    """Help and mistakes read the same, wherever the command was loaded."""
    runner = CliRunner()
    one = alone._with_one(command, alone._FUNCTIONS[command])
    expected, found = (runner.invoke(each, [command, rest]) for each in (app, one))
    assert (expected.exit_code, expected.output) == (found.exit_code, found.output)


@pytest.mark.parametrize("words", [[], ["status"], ["--help"]])
def test_other_commands_are_loaded_all_together(words: list[str]) -> None:
    """Only what the unit runs is worth a way of its own."""
    assert alone.program(words) is main
