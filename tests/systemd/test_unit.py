"""The unit file: right in systemd's eyes, and confined."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "ipsecfd.service"
MOST_EXPOSURE = 25
"""In tenths of `systemd-analyze security`, whose scale ends at 10."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing"
)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_unit_has_no_mistakes(tmp_path: Path) -> None:
    """All keys and values are known to systemd; only the programs are not installed here."""
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/usr/local/bin/ipsecfd", "/bin/true"))
    result = analyze("verify", "--man=no", "--recursive-errors=no", str(unit))
    assert (result.returncode, result.stderr) == (0, "")


def test_unit_is_confined() -> None:
    """The exposure level is 2.5 or better."""
    result = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", str(UNIT))
    assert result.returncode == 0, result.stdout
