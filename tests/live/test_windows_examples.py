"""Windows' own scripts and commands, given to a running daemon, as live packets see them."""

from __future__ import annotations

import os

import pytest

from ipsecfd.lab.daemon import Daemon
from ipsecfd.lab.lab import Lab
from ipsecfd.lab.probes import Outcome, Probe, Seen
from ipsecfd.lab.scenario import Scenario, Try, builtin_scenarios, load_scenario

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

EXAMPLES = [name for name in builtin_scenarios() if name.startswith("windows-")]
SCRIPT = "/run/lab/script.bat"

SLAMMER_IN = Probe.parse("udp 203.0.113.66:5000 -> 192.0.2.10:1434")
SLAMMER_OUT = Probe.parse("udp 192.0.2.10:5000 -> 198.51.100.7:1434")
WEB_IN = Probe.parse("tcp 198.51.100.7 -> 192.0.2.10:80")
WEB_OUT = Probe.parse("tcp 192.0.2.10 -> 198.51.100.7:80")


def passing(lab: Lab, *probes: Probe) -> list[bool]:
    """Whether each probe, sent now, arrives."""
    seen = lab.probe(*probes)
    assert all(one.outcome in (Outcome.PASS, Outcome.DROP) for one in seen), seen
    return [one.passed for one in seen]


def netsh(daemon: Daemon, *words: str) -> str:
    return daemon.cli("netsh", "ipsec", *words).stdout


def tries(lab: Lab, scenario: Scenario) -> list[tuple[str, Outcome, str]]:
    """What was tried, what became of it, and for a drop the rule that the log gives."""
    steps = [step for step in scenario.steps if isinstance(step, Try)]
    found: list[Seen] = [one for step in steps for one in lab.probe(step.probe)]
    return [
        (step.words, one.outcome, one.records[0]["rule"] if one.records else "")
        for step, one in zip(steps, found, strict=True)
    ]


@pytest.mark.parametrize("name", EXAMPLES)
def test_published_script_imported(name: str) -> None:
    """Imported into the local store the script is in force at once, and after a restart."""
    scenario = load_scenario(name)
    assert scenario.policy is not None
    expected = [
        (step.words, step.expect, step.by if step.expect is Outcome.DROP else "")
        for step in scenario.steps
        if isinstance(step, Try)
    ]
    with Lab(*scenario.hosts) as lab:
        daemon = lab.start_daemon()
        lab["guard"].path(SCRIPT).write_bytes(scenario.policy)
        daemon.cli("import", SCRIPT)
        assert tries(lab, scenario) == expected
        daemon.stop()
        lab.start_daemon()
        assert tries(lab, scenario) == expected


def test_knowledge_base_article(lab: Lab) -> None:
    """KB 813878 as typed: block in, block out, another policy, un-assign, delete (T5)."""
    daemon = lab.start_daemon()
    udp = ("-w", "REG", "-p", "Block UDP 1434 Filter")
    inbound = ("-r", "Block Inbound UDP 1434 Rule", "-f", "*=0:1434:UDP", "-n", "BLOCK")
    outbound = ("-r", "Block Outbound UDP 1434 Rule", "-f", "0=*:1434:UDP", "-n", "BLOCK")
    daemon.cli("ipseccmd", *udp, *inbound, "-x")
    assert passing(lab, SLAMMER_IN, SLAMMER_OUT) == [False, True]
    daemon.cli("ipseccmd", *udp, *outbound)
    assert passing(lab, SLAMMER_IN, SLAMMER_OUT, WEB_IN) == [False, False, True]
    web = ("-p", "Block TCP 80 Filter", "-r", "Block Inbound TCP 80 Rule", "-f", "*=0:80:TCP")
    daemon.cli("ipsecpol", "-w", "REG", *web, "-n", "BLOCK", "-x")
    assert passing(lab, SLAMMER_IN, WEB_IN, WEB_OUT) == [True, False, True]
    daemon.cli("ipseccmd", *udp, "-x")
    assert passing(lab, SLAMMER_IN, WEB_IN) == [False, True]
    daemon.cli("ipseccmd", *udp, "-y")
    assert passing(lab, SLAMMER_IN, SLAMMER_OUT) == [True, True]
    daemon.cli("ipseccmd", *udp, "-r", inbound[1], "-r", outbound[1], "-o")
    assert "UDP 1434" not in daemon.cli("policy", "list").stdout


def test_dynamic_filter(lab: Lab) -> None:
    """A dynamic rule is in force at once, beside a static policy, until -u or a restart."""
    daemon = lab.start_daemon()
    daemon.cli("ipseccmd", "-w", "REG", "-p", "Web", "-r", "r", "-f", "*=0:80:TCP", "-n", "BLOCK")
    daemon.cli("ipseccmd", "-w", "REG", "-p", "Web", "-x")
    daemon.cli("ipseccmd", "-f", "[*=0:1434:UDP]")
    assert passing(lab, SLAMMER_IN, WEB_IN) == [False, False]
    daemon.cli("ipseccmd", "-u")
    assert passing(lab, SLAMMER_IN, WEB_IN) == [True, False]
    daemon.cli("ipseccmd", "-f", "[*=0:1434:UDP]")
    daemon.stop()
    lab.start_daemon()
    assert passing(lab, SLAMMER_IN, WEB_IN) == [True, False]


def test_netsh_dynamic_rule_by_direction(lab: Lab) -> None:
    """T6: block in, permit out; what comes in is dropped, answers too, what goes out passes."""
    daemon = lab.start_daemon()
    rule = ("srcaddr=any", "dstaddr=any", "actioninbound=block", "actionoutbound=permit")
    netsh(daemon, "dynamic", "add", "rule", *rule)
    datagram = Probe.parse("udp 192.0.2.10:4000 -> 198.51.100.7:53")
    assert passing(lab, datagram, WEB_IN, WEB_OUT) == [True, False, False]
    netsh(daemon, "dynamic", "delete", "all")
    assert passing(lab, datagram, WEB_IN, WEB_OUT) == [True, True, True]


def test_netsh_on_the_assigned_policy(lab: Lab) -> None:
    """T2, T10, T12: each command on an assigned policy counts at once, a refused one not at all."""
    daemon = lab.start_daemon()
    netsh(daemon, "static", "add", "policy", "name=p", "assign=yes")
    assert passing(lab, WEB_IN) == [True]
    netsh(daemon, "static", "add", "filter", "web", "any", "me", "proto=TCP", "dstport=80")
    netsh(daemon, "static", "add", "filteraction", "name=no", "action=block")
    netsh(daemon, "static", "add", "rule", "r", "p", "web", "no")
    assert passing(lab, WEB_IN) == [False]
    refused = daemon.cli("netsh", "ipsec", "static", "del", "filterl", "web", check=False)
    assert refused.returncode == 1
    assert refused.stdout.startswith("ERR IPsec [")
    assert passing(lab, WEB_IN) == [False]
    netsh(daemon, "static", "set", "rule", "name=r", "policy=p", "activate=no")
    assert passing(lab, WEB_IN) == [True]
    netsh(daemon, "static", "set", "rule", "name=r", "policy=p", "activate=y")
    assert passing(lab, WEB_IN) == [False]
    netsh(daemon, "static", "delete", "all")
    assert passing(lab, WEB_IN) == [True]


def test_exemptions_wait_for_a_restart(lab: Lab) -> None:
    """T16: ipsecexempt changed at run time says so, and counts after the next start."""
    daemon = lab.start_daemon()
    daemon.cli("ipseccmd", "-w", "REG", "-p", "All", "-r", "r", "-f", "0+*", "-n", "BLOCK", "-x")
    kerberos = Probe.parse("udp 203.0.113.66:88 -> 192.0.2.10:445")
    assert passing(lab, kerberos) == [False]
    answer = netsh(daemon, "dynamic", "set", "config", "ipsecexempt", "value=0")
    assert "takes effect" in answer
    assert passing(lab, kerberos) == [False]
    daemon.stop()
    lab.start_daemon()
    assert passing(lab, kerberos) == [True]
