"""How wide the output is, and whether it has colours."""

from __future__ import annotations

import sys

import pytest

from ipsecfd.cli.terminal import colored, width


@pytest.mark.parametrize(
    ("columns", "most", "expected"), [(60, 100, 60), (240, 100, 100), (90, 80, 80)]
)
def test_width(columns: int, most: int, expected: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of the terminal, up to what can be read."""
    monkeypatch.setenv("COLUMNS", str(columns))
    assert width(most) == expected


@pytest.mark.parametrize(
    ("terminal", "variables", "expected"),
    [
        (True, {}, True),
        (True, {"NO_COLOR": ""}, True),
        (True, {"NO_COLOR": "1"}, False),
        (True, {"TERM": "dumb"}, False),
        (False, {}, False),
    ],
)
def test_colours(
    terminal: bool, variables: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For terminals that have them only, and NO_COLOR that is not empty turns them off
    (no-color.org)."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert colored() is expected
