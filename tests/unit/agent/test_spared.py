"""What counts of a configuration with mistakes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecfd.agent import spared
from ipsecfd.agent.config import Config, parse


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ('on_failure = "permit"\nprofile = 5', 'on_failure = "permit"'),
        ('profile = "win2000"\nexempt = 3', 'profile = "win2000"'),
        ("forward = true\nnonsense = 1\nqueue = 88", "forward = true"),
        ("[queue]\nnumber = 90\nlength = 1\n[diagnostics]\nlevel = 6", "[diagnostics]\nlevel = 6"),
        ("forward = 'no'\ncache = 'off'", "forward = true\ncache = 'off'"),
        ("on_failure = 'permit", "forward = true"),
        ("on_failure = 'permit'", "on_failure = 'permit'"),
    ],
)
def test_what_is_right_counts(tmp_path: Path, text: str, right: str) -> None:
    """A mistake takes its own key along, or its table; what is in doubt closes."""
    file = tmp_path / "ipsecfd.toml"
    file.write_text(text)
    assert parse(right, "right") == spared.load(file)


def test_nothing_is_known_of_a_file_that_is_not_there(tmp_path: Path) -> None:
    """The defaults, and the closed side."""
    assert Config(forward=True) == spared.load(tmp_path / "gone.toml")


def test_nothing_is_known_of_a_pipe(tmp_path: Path) -> None:
    """Nobody waits for what may be written to it."""
    pipe = tmp_path / "ipsecfd.toml"
    os.mkfifo(pipe)
    assert Config(forward=True) == spared.load(pipe)
