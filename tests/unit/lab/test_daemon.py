"""The configuration that the lab writes for a daemon."""

from __future__ import annotations

import tomllib

from ipsecfd.lab.daemon import merged, toml_text


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
