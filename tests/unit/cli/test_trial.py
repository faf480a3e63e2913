"""Changes made with --confirm, and the commands that end them."""

from __future__ import annotations

import json

import pytest

from ipsecfd.agent.report import TrialReport
from tests.unit.cli.fake_daemon import FakeDaemon, ipsecfd


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("60", 60), ("60s", 60), ("2m", 120), ("1H", 3600), ("1", 1), ("1d", 86_400)],
)
def test_times(daemon: FakeDaemon, text: str, seconds: int) -> None:
    """Seconds, or with their unit."""
    done = ipsecfd("apply", "/x.toml", "--confirm", text)
    assert daemon.asked[-1][2] == {"file": "/x.toml", "confirm": seconds}
    assert done.stdout == "applied: /x.toml\n"
    assert done.stderr == (
        f"note: this is taken back in {seconds} s unless `ipsecfd confirm` is given\n"
    )


@pytest.mark.parametrize("text", ["", "0", "-5", "1.5", "60 s", "2d", "86401", "soon", "99999999"])
def test_odd_times(daemon: FakeDaemon, text: str) -> None:
    """A usage mistake, and the daemon is not asked."""
    done = ipsecfd("apply", "/x.toml", "--confirm", text)
    assert done.exit_code == 2
    assert daemon.asked == []


def test_mode_on_trial(daemon: FakeDaemon) -> None:
    """What is printed is the mode, as ever; the note goes to stderr."""
    done = ipsecfd("mode", "block", "--confirm", "2m")
    assert done.stdout == "block\n"
    assert "120 s" in done.stderr
    assert daemon.asked[1][1:] == ("SetMode", {"mode": "block", "confirm": 120})
    assert ipsecfd("mode", "--confirm", "60").exit_code == 2


@pytest.mark.parametrize(
    ("command", "method"),
    [(["policy", "assign", "mine"], "AssignStored"), (["policy", "unassign"], "UnassignPolicy")],
)
def test_assignments_on_trial(daemon: FakeDaemon, command: list[str], method: str) -> None:
    """By name as well."""
    done = ipsecfd(*command, "--confirm", "60", "--json")
    assert daemon.asked[-1][1] == method
    assert daemon.asked[-1][2]["confirm"] == 60
    assert "60 s" in json.loads(done.stdout)["notes"][0]


def test_ends(daemon: FakeDaemon) -> None:
    """What was confirmed or taken back is named."""
    assert ipsecfd("confirm").stdout == "confirmed: mode block\n"
    assert json.loads(ipsecfd("confirm", "--json").stdout) == {"confirmed": "mode block"}
    assert ipsecfd("rollback").stdout == "taken back: mode block\n"
    assert json.loads(ipsecfd("rollback", "--json").stdout) == {"taken_back": "mode block"}


def test_status_of_a_trial(daemon: FakeDaemon) -> None:
    """What waits and how long; looking confirms nothing."""
    assert ipsecfd("confirm", "--status").stdout == "nothing is on trial\n"
    assert json.loads(ipsecfd("confirm", "--status", "--json").stdout) is None
    daemon.answers["GetTrial"] = TrialReport('policy "mine"', 60, 12.3)
    assert ipsecfd("confirm", "--status").stdout == (
        'policy "mine" is taken back in 12 s unless `ipsecfd confirm` is given\n'
    )
    assert json.loads(ipsecfd("confirm", "--status", "--json").stdout)["left"] == 12.3
    assert set(daemon.methods) == {"GetTrial"}
