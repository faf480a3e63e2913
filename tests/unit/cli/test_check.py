"""`ipsecfd check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.cli.main import app

GOOD = 'name = "Good"\n[[rule]]\naction = "block"\nfilters = ["me <-> any"]\n'
DOUBTFUL = GOOD.replace("me <-> any", "me <-> me").replace("Good", "Doubtful")
BAD = 'name = "Bad"\n[[rule]]\naction = "blok"\nfilters = ["any <-> me:80"]\n'


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three policies in the current directory."""
    monkeypatch.chdir(tmp_path)
    for name, text in (("good", GOOD), ("doubtful", DOUBTFUL), ("bad", BAD)):
        Path(f"{name}.toml").write_text(text)


def check(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["check", *arguments])


def test_a_clean_file_is_summed_up() -> None:
    """One line on stdout, nothing on stderr, exit status 0."""
    result = check("good.toml")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "good.toml: Good: 1 rule, 1 filter, 4 specific filters\n"


def test_warnings_do_not_fail() -> None:
    """They stand on stderr; the file is still summed up."""
    result = check("doubtful.toml")
    assert result.exit_code == 0
    assert result.stdout.startswith("doubtful.toml: Doubtful: ")
    assert result.stderr.startswith('warning: doubtful.toml: rule[1].filters[1]: "me <-> me": ')


def test_every_mistake_of_every_file() -> None:
    """A bad file, a missing one and a directory hide nothing of the others; exit status 1."""
    Path("directory").mkdir()
    result = check("bad.toml", "none.toml", "directory", "good.toml")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        'bad.toml: rule[1].filters[1]: "any <-> me:80": a port needs protocol tcp or udp',
        'bad.toml: rule[1].action: "blok": unknown action; did you mean "block"?',
        "none.toml: cannot be read: No such file or directory",
        "directory: cannot be read: Is a directory",
    ]
    assert result.stdout.splitlines() == ["good.toml: Good: 1 rule, 1 filter, 4 specific filters"]


def test_inactive_rules_are_told_apart() -> None:
    """Their filters are not counted, since they filter nothing."""
    Path("off.toml").write_text(GOOD + "active = false\n")
    result = check("off.toml")
    assert result.stdout == "off.toml: Good: 1 rule (1 inactive), 0 filters, 0 specific filters\n"


def test_json_is_one_object_a_file() -> None:
    """Everything that is printed otherwise, for programs; stderr stays empty."""
    result = check("--json", "good.toml", "doubtful.toml", "bad.toml")
    assert (result.exit_code, result.stderr) == (1, "")
    good, doubtful, bad = map(json.loads, result.stdout.splitlines())
    assert good == {
        "file": "good.toml",
        "valid": True,
        "policy": "Good",
        "rules": 1,
        "inactive": 0,
        "filters": 1,
        "specific_filters": 4,
        "mistakes": [],
        "warnings": [],
    }
    assert (
        doubtful["valid"],
        [warning["place"] for warning in doubtful["warnings"]],
    ) == (True, ["rule[1].filters[1]"])
    assert {"file", "valid", "mistakes", "warnings"} == set(bad)
    assert bad["mistakes"][1] == {
        "file": "bad.toml",
        "place": "rule[1].action",
        "text": "blok",
        "expected": 'unknown action; did you mean "block"?',
    }


def test_without_a_file_it_is_a_usage_error() -> None:
    """Exit status 2."""
    assert check().exit_code == 2


def test_hostile_names_stay_on_one_line() -> None:
    """A control character in a file's name or text never reaches the terminal."""
    good, bad = "odd\x1b[2J\n.toml", "bad\x1b[2J\n.toml"
    Path(good).write_text(GOOD)
    Path(bad).write_text(GOOD.replace("Good", "\\u001b[2J"))
    result = check(good, bad)
    assert result.stdout.startswith("odd\\x1b[2J\\n.toml: Good: ")
    assert result.stderr.startswith('bad\\x1b[2J\\n.toml: name: "\\x1b[2J": expected')
    assert "\x1b" not in result.output
    assert len(result.output.splitlines()) == 2
