"""What one run leaves behind for the next to know of its rules."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecfd.kernel.expected import Expected, Left


def test_nothing_is_expected_before_any_run(tmp_path: Path) -> None:
    """Nor after the rules were taken away."""
    expected = Expected(tmp_path / "run")
    assert expected.left() is None
    expected.running()
    expected.forget()
    expected.forget()
    assert expected.left() is None


def test_end_in_order_and_end_without(tmp_path: Path) -> None:
    """Who still has its number there was killed, or crashed."""
    Expected(tmp_path).running()
    assert Expected(tmp_path).left() == Left(os.getpid())
    Expected(tmp_path).ended()
    assert Expected(tmp_path).left() == Left(0)


@pytest.mark.parametrize("damage", [b"\xff\n", b"-1\n", b"12 34\n"])
def test_what_nobody_wrote_is_rules_all_the_same(tmp_path: Path, damage: bytes) -> None:
    """Whoever has them."""
    Expected(tmp_path).running()
    (file,) = tmp_path.iterdir()
    file.write_bytes(damage)
    assert Expected(tmp_path).left() == Left(0)


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    """It ends nothing."""
    (tmp_path / "file").write_text("")
    expected = Expected(tmp_path / "file")
    expected.running()
    expected.forget()
    assert expected.left() is None
