"""What every command of the program has, and the program itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

import ipsecfd as program
from ipsecfd.cli.main import app
from tests.unit.cli.fake_daemon import ipsecfd


def commands(group: Any, *path: str) -> Iterator[tuple[str, ...]]:
    """The words of every command and group, the hidden ones too."""
    yield path
    for name, command in getattr(group, "commands", {}).items():
        yield from commands(command, *path, name)


EVERY = list(commands(typer.main.get_command(app)))


@pytest.mark.parametrize("words", EVERY, ids=" ".join)
def test_h_is_short_for_help(words: tuple[str, ...]) -> None:
    """Every command shows the same for -h and --help, and names both."""
    short, long = (ipsecfd(*words, option) for option in ("-h", "--help"))
    assert (short.exit_code, short.output) == (long.exit_code, long.output)
    assert short.exit_code == 0
    assert "--help" in short.output
    assert "-h" in short.output.replace("--help", "")


def test_version() -> None:
    """--version prints the name and the version, and does nothing else."""
    done = ipsecfd("--version")
    assert (done.exit_code, done.output) == (0, f"ipsecfd {program.__version__}\n")
