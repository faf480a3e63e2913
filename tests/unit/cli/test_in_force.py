"""Packets judged as the daemon does: what `explain` and `replay` ask it for."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from ipsecfd.agent.client import ClientError, NotRunningError
from ipsecfd.agent.report import ExactPolicy, InForce
from ipsecfd.policy import exact
from ipsecfd.policy.model import Connection
from tests.builders import policy, rule
from tests.unit.cli.fake_daemon import FakeDaemon, ipsecfd

ME = ("--address", "192.0.2.10/24")
PACKET = "in tcp 10.0.0.9:4000 -> 192.0.2.10:22"


def explain(*arguments: str) -> Result:
    return ipsecfd("explain", *arguments)


def in_force(mode: str = "secure", **changes: Any) -> dict[str, Any]:
    """A daemon's answers: a policy that blocks is in force."""
    blocks = exact.render(policy("block me <-> any", name="Closed"))
    found = InForce(
        profile="linux",
        exempt=3,
        natt_exempt=False,
        inbound_mcast_exempt=False,
        forward=False,
        dialup_interfaces=["wan*"],
        boot_exemptions=["tcp:0:2222:inbound"],
        policies=[ExactPolicy("local", blocks)],
    )
    return {"GetPolicies": replace(found, **changes), "GetMode": mode}


def test_without_a_policy_the_daemon_is_asked(daemon: FakeDaemon) -> None:
    """What it has in force decides, in its mode, and that is said."""
    daemon.answers |= in_force()
    result = explain(PACKET, *ME, "--json", "--socket", "/tmp/x")
    answer = json.loads(result.stdout)
    assert (answer["verdict"], answer["policy"]) == ("block", "Closed")
    assert result.stderr == (
        "note: no --policy: judged by what the daemon has in force, in secure mode\n"
    )
    assert {socket for socket, _, _ in daemon.asked} == {Path("/tmp/x")}


def test_the_daemon_knows_its_mode_and_configuration(daemon: FakeDaemon) -> None:
    """Mode, profile, exemptions and dial-up interfaces are its own, where no option says other."""

    def reason(*options: str, packet: str = PACKET) -> str:
        return str(json.loads(explain(packet, *ME, *options, "--json").stdout)["reason"])

    daemon.answers |= in_force("block")
    assert reason() == "mode"
    assert reason("--mode", "secure") == "filter"
    daemon.answers |= in_force(exempt=0)
    kerberos = "in tcp 10.0.0.9:88 -> 192.0.2.10:22"
    assert reason(packet=kerberos) == "exemption"
    assert reason("--exempt", "3", packet=kerberos) == "filter"
    through_nat = "in udp 10.0.0.9:4500 -> 192.0.2.10:4500"
    assert reason(packet=through_nat) == "filter"
    daemon.answers |= in_force(natt_exempt=True)
    assert reason(packet=through_nat) == "exemption"
    dialup = exact.render(policy(rule("block", "me <-> any", connection=Connection.DIALUP)))
    daemon.answers |= in_force(policies=[ExactPolicy("local", dialup)])
    assert reason("--interface", "wan0") == "filter"
    assert reason("--interface", "ppp0") == "no-filter"


def test_the_daemon_knows_its_boot_exemptions(daemon: FakeDaemon) -> None:
    """In start-up modes its own pass, not those of an untouched configuration."""
    daemon.answers |= in_force("startup-block")
    for port, verdict in ((2222, "permit"), (22, "block")):
        packet = f"in tcp 10.0.0.9:4000 -> 192.0.2.10:{port}"
        assert json.loads(explain(packet, *ME, "--json").stdout)["verdict"] == verdict


def test_routed_packets_where_they_are_not_judged(daemon: FakeDaemon) -> None:
    """The verdict would be true for nobody: that is said."""
    daemon.answers |= in_force()
    packet = "forward tcp 10.0.0.9:4000 -> 10.9.9.9:22"
    assert "forward is off here" in explain(packet, *ME).stderr
    daemon.answers |= in_force(forward=True)
    assert "forward" not in explain(packet, *ME).stderr


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NotRunningError("gone"), "gone"),
        (ClientError("permission denied"), "nobody says what is in force: permission denied"),
        ("starting", "the daemon starts"),
    ],
)
def test_without_policy_and_daemon_there_is_no_verdict(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, answer: object, said: str
) -> None:
    """An answer would be true for nobody."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)  # root is told more
    daemon.answers |= in_force() | {"GetMode": answer}
    for command in ("explain", PACKET), ("explain", PACKET, "--mode", "secure"), ("replay", "x"):
        result = ipsecfd(*command, *ME)
        assert (result.exit_code, result.stdout) == (1, "")
        assert str(result.exception).startswith("no --policy is given, and ")
        assert said in str(result.exception)


@pytest.mark.parametrize("mode", ["permit", "block", "startup-permit", "stateful"])
def test_where_no_policy_counts_none_is_needed(daemon: FakeDaemon, mode: str) -> None:
    """Only in secure mode do policies decide."""
    assert explain(PACKET, *ME, "--mode", mode).exit_code == 0
    assert daemon.asked == []
