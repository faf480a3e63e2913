"""The unit files: right in systemd's eyes, and confined."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from ipsecfd.agent.systemd import NO_OTHER_TRY

UNITS = sorted((Path(__file__).parents[2] / "systemd").glob("*.service"))
MOST_EXPOSURE = 25
"""In tenths of `systemd-analyze security`, whose scale ends at 10."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is missing"
)


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False
    )


def test_units_have_no_mistakes(tmp_path: Path) -> None:
    """All keys and values are known to systemd; only the programs are not installed here."""
    for unit in UNITS:
        text = re.sub(r"(Exec\w+=[-+]?)/usr/local/\S+", r"\1/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(text)
    paths = [str(tmp_path / unit.name) for unit in UNITS]
    result = analyze("verify", "--man=no", "--recursive-errors=no", *paths)
    assert (result.returncode, result.stderr) == (0, "")


def test_only_a_wrong_configuration_is_not_tried_again() -> None:
    """The service's unit knows the exit status that says so, and has no other end of its tries."""
    (unit,) = (unit.read_text() for unit in UNITS if unit.name == "ipsecfd.service")
    (statuses,) = re.findall(r"(?m)^RestartPreventExitStatus=(.*)", unit)
    assert statuses == str(NO_OTHER_TRY)
    assert "\nRestart=always\n" in unit
    assert "\nStartLimitIntervalSec=0\n" in unit


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_unit_is_confined(unit: Path) -> None:
    """The exposure level is 2.5 or better."""
    result = analyze("security", "--offline=yes", f"--threshold={MOST_EXPOSURE}", str(unit))
    assert result.returncode == 0, result.stdout
