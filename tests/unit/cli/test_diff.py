"""`ipsecfd policy diff`: what is told of two policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.agent.report import ExactPolicy, InForce
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import exact
from tests.builders import policy
from tests.unit.cli.fake_daemon import FakeDaemon, ipsecfd

BEFORE = """
name = "Web"
[[rule]]
name = "All"
action = "block"
filters = ["me <-> any"]
[[rule]]
name = "Web"
action = "permit"
filters = ["any <-> me:80 tcp"]
"""
AFTER = BEFORE.replace("me:80 tcp", "me:443 tcp")
ADDRESS = ["--address", "192.0.2.10/24"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with both policies."""
    (tmp_path / "before.toml").write_text(BEFORE)
    (tmp_path / "after.toml").write_text(AFTER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_two_files() -> None:
    """Filters by rule and action, then one example for each two filters that decide."""
    done = ipsecfd("policy", "diff", "before.toml", "after.toml", *ADDRESS)
    assert done.exit_code == 0
    assert done.stdout == (
        "Filters: 1 removed, 1 added\n"
        "  - permit    any <-> me:80 tcp [Web]\n"
        "  + permit    any <-> me:443 tcp [Web]\n"
        "\n"
        "4 kinds of packets meet another verdict; examples (me is 192.0.2.10):\n"
        "\n"
        "  in tcp 203.0.113.66:40000 -> 192.0.2.10:80\n"
        "      before  permit  any <-> me:80 tcp [Web]\n"
        "      after   block   me <-> any (its mirror) [All]\n"
        "\n"
        "  in tcp 203.0.113.66:40000 -> 192.0.2.10:443\n"
        "      before  block   me <-> any (its mirror) [All]\n"
        "      after   permit  any <-> me:443 tcp [Web]\n"
        "\n"
        "  out tcp 192.0.2.10:80 -> 203.0.113.66:9999\n"
        "      before  permit  any <-> me:80 tcp (its mirror) [Web]\n"
        "      after   block   me <-> any [All]\n"
        "\n"
        "  out tcp 192.0.2.10:443 -> 203.0.113.66:9999\n"
        "      before  block   me <-> any [All]\n"
        "      after   permit  any <-> me:443 tcp (its mirror) [Web]\n"
    )


@pytest.mark.usefixtures("folder")
def test_equal_files() -> None:
    """Exit status 0 as well."""
    done = ipsecfd("policy", "diff", "before.toml", "before.toml", *ADDRESS)
    assert (done.exit_code, done.stdout) == (
        0,
        "Filters: the same\n\nNo packet meets another verdict (me is 192.0.2.10).\n",
    )


@pytest.mark.usefixtures("folder")
def test_examples_are_for_explain() -> None:
    """Each packet, given to `explain` with either policy, meets the verdict that was told."""
    done = ipsecfd("policy", "diff", "before.toml", "after.toml", *ADDRESS, "--json")
    found = json.loads(done.stdout)
    assert found["complete"]
    assert [one["filter"] for one in found["added"]] == ["any <-> me:443 tcp"]
    assert len(found["changes"]) == 4
    for change in found["changes"]:
        for side in ("before", "after"):
            told = explained(change["packet"], f"{side}.toml")
            assert {key: told[key] for key in change[side]} == change[side]


def explained(packet: str, file: str) -> dict[str, Any]:
    """What `explain` says."""
    done = ipsecfd("explain", packet, "--policy", file, *ADDRESS, "--json")
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.usefixtures("folder")
def test_routed_packets() -> None:
    """Only when asked for."""
    Path("routed.toml").write_text(BEFORE.replace("any <-> me:80", "10.0.0.1 <-> 10.0.0.2:80"))
    plain = ipsecfd("policy", "diff", "before.toml", "routed.toml", *ADDRESS, "--json")
    assert "forward" not in plain.stdout
    routed = ipsecfd("policy", "diff", "routed.toml", "after.toml", *ADDRESS, "--forward")
    assert "forward tcp" not in routed.stdout  # permitted before and after
    Path("routed.toml").write_text(
        BEFORE.replace("any <-> me:80", "10.0.0.1 <-> 10.0.0.2:80").replace("permit", "block")
    )
    routed = ipsecfd("policy", "diff", "routed.toml", "after.toml", *ADDRESS, "--forward")
    assert "  forward tcp 10.0.0.1:40000 -> 10.0.0.2:80\n" in routed.stdout


# --- with what is in force ---


def in_force(*stores: str) -> InForce:
    """A daemon with a policy in each of these stores."""
    return InForce(
        "linux",
        3,
        False,
        False,
        False,
        ["ppp*"],
        [],
        [
            ExactPolicy(
                store,
                exact.render(policy("block me <-> any", "permit any <-> me:80 tcp", name=store)),
            )
            for store in stores
        ],
    )


@pytest.mark.usefixtures("folder")
def test_with_the_daemon(daemon: FakeDaemon) -> None:
    """One file is compared as if it were assigned: in the place of the local policy."""
    daemon.answers["GetPolicies"] = in_force("local")
    done = ipsecfd("policy", "diff", "after.toml", "--json")
    found = json.loads(done.stdout)
    assert [one["filter"] for one in found["added"]] == ["me <-> any", "any <-> me:443 tcp"]
    assert daemon.methods == ["GetPolicies", "GetMode"]
    assert "note: the daemon is in block mode; compared is what the policies say" in done.stderr
    daemon.answers["GetMode"] = "secure"
    assert ipsecfd("policy", "diff", "after.toml").stderr == ""


@pytest.mark.usefixtures("folder")
def test_other_stores_stay(daemon: FakeDaemon) -> None:
    """The persistent policy adds to any local one, and nothing of it is removed."""
    daemon.answers["GetPolicies"] = in_force("persistent")
    done = ipsecfd("policy", "diff", "before.toml")
    assert done.stdout.startswith("Filters: 0 removed, 2 added\n")
    assert "No packet meets another verdict" in done.stdout


@pytest.mark.usefixtures("folder")
def test_domain_policy(daemon: FakeDaemon) -> None:
    """It replaces the local one, so assigning the file would change nothing: that is said."""
    daemon.answers["GetPolicies"] = in_force("domain")
    done = ipsecfd("policy", "diff", "after.toml")
    assert done.stderr.startswith("note: a domain policy is in force")
    assert done.stdout.startswith("Filters: 2 removed, 2 added\n")


@pytest.mark.usefixtures("folder")
def test_mistakes(daemon: FakeDaemon) -> None:
    """Of all files at once; and options that the daemon knows better are a usage mistake."""
    Path("wrong.toml").write_text(BEFORE.replace('"permit"', '"allow"'))
    done = ipsecfd("policy", "diff", "wrong.toml", "missing.toml")
    assert isinstance(done.exception, IpsecfdError)
    assert "allow" in str(done.exception)
    assert "missing.toml" in str(done.exception)
    assert ipsecfd("policy", "diff", "after.toml", *ADDRESS).exit_code == 2
    assert ipsecfd("policy", "diff", "after.toml", "--forward").exit_code == 2
    assert daemon.asked == []
