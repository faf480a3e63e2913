"""That a policy is assigned, noted outside of `state_dir`."""

from __future__ import annotations

from pathlib import Path

from ipsecfd.agent.noted import Noted


def test_note(tmp_path: Path) -> None:
    """It is there for others until it is forgotten, and says which directory knows more."""
    place = tmp_path / "state \xe9\udcff"
    Noted(tmp_path / "run").assigned(place)
    assert place == Noted(tmp_path / "run").place()
    Noted(tmp_path / "run").forget()
    Noted(tmp_path / "run").forget()
    assert Noted(tmp_path / "run").place() is None


def test_place_that_takes_no_note(tmp_path: Path) -> None:
    """Nothing depends on it but the knowledge."""
    (tmp_path / "file").write_text("")
    noted = Noted(tmp_path / "file")
    noted.assigned(tmp_path)
    noted.forget()
    assert noted.place() is None
