"""The kernel's forwarding switches."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.kernel import forwarding


@pytest.fixture
def switches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """The kernel's two forwarding switches."""
    both = tmp_path / "ipv4", tmp_path / "ipv6"
    monkeypatch.setattr(forwarding, "FORWARDING", both)
    return both


def test_forwarding_of_either_family(switches: tuple[Path, Path]) -> None:
    """One switch that is on is enough; a missing one is off."""
    ipv4, ipv6 = switches
    assert not forwarding.forwarding()
    ipv4.write_text("0\n")
    assert not forwarding.forwarding()
    ipv6.write_text("1\n")
    assert forwarding.forwarding()
