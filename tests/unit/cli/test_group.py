"""Wrong usage and help, as every command has them."""

from __future__ import annotations

import re

import pytest

from tests.unit.cli.fake_daemon import ipsecfd

QUOTES = "what has blanks needs quotes"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["status", "--nonsense"], "no such option: --nonsense (see `ipsecfd status --help`)"),
        (["status", "now", "x"], "now x: expected nothing more (see `ipsecfd status --help`)"),
        (
            ["explain", "in", "tcp", "1.2.3.4:1", "-"],
            f"tcp 1.2.3.4:1 -: expected nothing more; {QUOTES} (see `ipsecfd explain --help`)",
        ),
        (["apply"], "missing argument 'FILE' (see `ipsecfd apply --help`)"),
        (["nonsense\n"], r"no such command 'nonsense\n' (see `ipsecfd --help`)"),
        (["stats", "--top", "0"], "--top 0: expected a number of 1 or more"),
        (["log", "-n", "x"], "--lines x: expected a number of 0 or more"),
        (["export", "--format", "pdf"], "--format pdf: expected toml, netsh or ipseccmd"),
    ],
)
def test_wrong_usage_is_told_in_one_line(words: list[str], told: str) -> None:
    """As every other error is, with exit status 2."""
    done = ipsecfd(*words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == f"ipsecfd: {told}\n"


@pytest.mark.parametrize("words", [[], ["policy"], ["domain"], ["lab"]])
def test_a_group_alone_shows_its_help(words: list[str]) -> None:
    """Who types nothing more wants to know what there is."""
    done = ipsecfd(*words)
    assert done.exit_code == 2
    assert "Usage: ipsecfd" in done.output
    assert done.stderr == ""


@pytest.mark.parametrize(
    "words", [["mode"], ["netsh"], ["shadow"], ["policy", "diff"], ["policy"], ["run"], []]
)
def test_help_does_not_tell_types(words: list[str]) -> None:
    """A switch is no <bool> and a file no <path> to whoever types them."""
    assert not re.search(r"<\w+|<=|None", ipsecfd(*words, "--help").output)


@pytest.mark.parametrize("name", ["COLUMNS", "LINES"])
@pytest.mark.parametrize("size", ["0", "-5", "", "x", "²", "100000", "9" * 20, "9" * 5000])
@pytest.mark.parametrize("words", [[], ["apply"]])
def test_help_at_an_odd_size(
    words: list[str], size: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Is that of a terminal that says nothing."""
    monkeypatch.delenv(name, raising=False)
    usual = ipsecfd(*words, "--help").output
    monkeypatch.setenv(name, size)
    assert ipsecfd(*words, "--help").output == usual


@pytest.mark.parametrize("words", [[], ["policy"], ["domain"], ["lab"]])
def test_a_list_of_commands_has_a_line_for_each(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At 80 columns, so that an eye finds one."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = ipsecfd(*words, "--help").output.splitlines()
    assert [line for line in shown if re.match(r"│ {6,}\S", line)] == []
    assert max(map(len, shown)) <= 80
