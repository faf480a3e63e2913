"""The lab's answer to "which filter would pass this" is the driver's own."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from typing import Any

import pytest

from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import Mode
from ipsecfd.lab.oracle import decide
from ipsecfd.lab.probes import Probe
from ipsecfd.policy.model import ServerKind
from ipsecfd.policy.names import Names
from ipsecfd.policy.tomlfile import parse_policy

GUARD = Host.from_interfaces(
    [ipaddress.ip_interface("192.0.2.10/24"), ipaddress.ip_interface("2001:db8::10/64")],
    {ServerKind.GATEWAY: frozenset({ipaddress.ip_address("192.0.2.1")})},
)
POLICY = parse_policy(
    """
    name = "p"
    [[rule]]
    name = "All"
    action = "block"
    filters = ["me <-> any"]
    [[rule]]
    name = "Web"
    action = "permit"
    filters = ["any <-> me:80 tcp"]
    [[rule]]
    name = "Router"
    action = "permit"
    filters = ["me <-> gateway icmp"]
    """,
    "p.toml",
    Names(),
).policy


@pytest.mark.parametrize(
    ("text", "config", "mode", "expected"),
    [
        ("tcp 203.0.113.66:1 -> 192.0.2.10:80", {}, Mode.SECURE, "Web"),
        ("tcp 192.0.2.10:80 -> 203.0.113.66:1", {}, Mode.SECURE, "Web"),
        ("tcp [2001:db8::77]:1 -> [2001:db8::10]:81", {}, Mode.SECURE, "All"),
        ("ping 192.0.2.1 -> 192.0.2.10", {}, Mode.SECURE, "Router"),
        ("udp 203.0.113.66:88 -> 192.0.2.10:7", {"exempt": 0}, Mode.SECURE, "EX:KRB"),
        ("udp 203.0.113.66:88 -> 192.0.2.10:7", {"exempt": 3}, Mode.SECURE, "All"),
        ("udp 192.0.2.77:7 -> 192.0.2.255:7", {}, Mode.SECURE, "All"),
        ("udp 192.0.2.77:7 -> 192.0.2.255:7", {"profile": "win2003"}, Mode.SECURE, "EX:BCAST-IN"),
        ("udp 192.0.2.77:7 -> 192.0.2.255:7", {"inbound_mcast_exempt": True}, Mode.SECURE, "EX:BC"),
        ("udp 203.0.113.66:4500 -> 192.0.2.10:4500", {"natt_exempt": True}, Mode.SECURE, "EX:NATT"),
        ("46 192.0.2.10 -> 192.0.2.77", {}, Mode.PERMIT, "mode"),
    ],
)
def test_decide(text: str, config: dict[str, Any], mode: Mode, expected: str) -> None:
    """Rule, exemption or mode, by the scenario's configuration."""
    decision = decide(Probe.parse(text), GUARD, POLICY, config, mode)
    assert decision is not None
    assert (decision.rule or decision.exemption or decision.reason.value).startswith(expected)


def test_forged_source() -> None:
    """What the guard sends leaves it, whatever its source is."""
    probe = replace(Probe.parse("tcp 203.0.113.66:80 -> 198.51.100.7:1"), sender="guard")
    decision = decide(probe, replace(GUARD, delivered=True), POLICY, {}, Mode.SECURE)
    assert decision is not None
    assert (decision.rule, decision.mirrored) == ("Web", True)


@pytest.mark.parametrize("mode", [Mode.SECURE, Mode.BLOCK])
def test_packets_between_others(mode: Mode) -> None:
    """They do not come to the guard, so nothing decides about them."""
    between = Probe.parse("tcp 192.0.2.77:1 -> 192.0.2.78:80")
    assert decide(between, GUARD, POLICY, {}, mode) is None
