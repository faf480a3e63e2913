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
    ("terminal", "no_color", "expected"),
    [(True, None, True), (True, "", True), (True, "1", False), (False, None, False)],
)
def test_colours(
    terminal: bool, no_color: str | None, expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For terminals only, and NO_COLOR that is not empty turns them off (no-color.org)."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    monkeypatch.delenv("NO_COLOR", raising=False)
    if no_color is not None:
        monkeypatch.setenv("NO_COLOR", no_color)
    assert colored() is expected
