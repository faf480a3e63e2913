"""How the lab starts a daemon, and the configuration that it writes for it."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

from ipsecfd.lab.daemon import IPSECFD, merged, toml_text


def test_merged_goes_key_by_key() -> None:
    """Changes replace single keys of a table and leave the others."""
    base = {"profile": "linux", "diagnostics": {"log": "/a", "level": 7}}
    changes = {"exempt": 0, "diagnostics": {"level": 2}}
    assert merged(base, changes) == {
        "profile": "linux",
        "exempt": 0,
        "diagnostics": {"log": "/a", "level": 2},
    }
    assert base["diagnostics"] == {"log": "/a", "level": 7}


def test_toml_text_reads_back() -> None:
    """What is written is TOML of the same values, whatever the order of its keys."""
    config = {
        "control": {"socket": "/run/x"},
        "exempt": 3,
        "forward": False,
        "startup": {"exemptions": ["tcp:0:22:inbound", 'with "quotes"']},
    }
    assert tomllib.loads(toml_text(config)) == config


def test_modules_come_from_the_installation(tmp_path: Path) -> None:
    """A directory with modules of the same names is not asked, wherever the command is given."""
    for name in ("ipsecfd", "json"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a module of the directory')")
    done = subprocess.run(
        [*IPSECFD, "lab", "list"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
