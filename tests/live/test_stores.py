"""Stores, dynamic rules and domain policies of a running service, on real packets (spec 1.5)."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator

import pytest

from ipsecfd.lab import Lab, Probe
from ipsecfd.lab.daemon import Daemon
from tests.live.asking import HTTP, PING_OUT, SSH, passing, status

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

STATE = "/run/lab/state"
BLOCK = """
name = "{name}"
[[rule]]
name = "Block"
action = "block"
filters = ["{filter}"]
"""
SMB = Probe.parse("tcp 203.0.113.66 -> 192.0.2.10:445")
SQL = Probe.parse("udp 203.0.113.66 -> 192.0.2.10:1434")


def in_force(daemon: Daemon) -> list[str]:
    """The names of the policies in force."""
    return [policy["name"] for policy in status(daemon)["policies"]]


def netsh(daemon: Daemon, script: str) -> None:
    """Run a netsh script of contexts and commands; every line must succeed."""
    path = "/run/lab/script.txt"
    daemon.host.path(path).write_text(script)
    daemon.cli("netsh", "-f", path)


def blocking(policy: str, protocol: str, port: int, *, store: str = "local") -> str:
    """A script that makes and assigns a policy which blocks one port inbound."""
    return f"""ipsec static
set store location={store}
add policy name={policy} assign=yes
add filter filterlist={policy} srcaddr=any dstaddr=me protocol={protocol} dstport={port}
add filteraction name={policy} action=block
add rule name=r policy={policy} filterlist={policy} filteraction={policy}
"""


# --- local and persistent ---


def test_assigning_another_policy_unassigns_the_first(lab: Lab) -> None:
    """Spec 1.7 and T5: only the policy assigned last filters, and it does so at once."""
    daemon = lab.start_daemon()
    slammer = ("-w", "REG", "-p", "SLAM", "-r", "r", "-f", "*=0:1434:UDP", "-n", "BLOCK", "-x")
    daemon.cli("ipsecpol", *slammer)
    assert passing(lab, SQL, HTTP) == [False, True]
    web = ("-w", "REG", "-p", "B", "-r", "r", "-f", "*=0:80:TCP", "-n", "BLOCK", "-x")
    daemon.cli("ipsecpol", *web)
    assert passing(lab, SQL, HTTP) == [True, False]
    daemon.cli("policy", "assign", "SLAM")
    assert passing(lab, SQL, HTTP) == [False, True]
    daemon.cli("policy", "unassign")
    assert passing(lab, SQL, HTTP) == [True, True]


def test_persistent_policy_adds_and_stays(lab: Lab) -> None:
    """It is in force beside the local policy, and back after a restart of the service."""
    daemon = lab.start_daemon()
    netsh(daemon, blocking("always", "TCP", 445, store="persistent"))
    netsh(daemon, blocking("mine", "TCP", 80))
    assert passing(lab, SMB, HTTP, SSH) == [False, False, True]
    daemon.stop()
    assert passing(lab, SMB, HTTP) == [True, True]
    daemon = lab.start_daemon()
    assert in_force(daemon) == ["always", "mine"]
    assert passing(lab, SMB, HTTP, SSH) == [False, False, True]


def test_damaged_persistent_store_closes_the_host(lab: Lab) -> None:
    """Persistent present but fails: operational block until it is mended (spec 6.5)."""
    daemon = lab.start_daemon()
    netsh(daemon, blocking("always", "TCP", 445, store="persistent"))
    daemon.stop()
    file = lab["guard"].path(f"{STATE}/stores/persistent.toml")
    good = file.read_text()
    file.write_text(good[: len(good) // 2])
    daemon = lab.start_daemon()
    assert status(daemon)["mode"] == "block"
    assert passing(lab, HTTP, PING_OUT) == [False, False]
    assert daemon.cli("reload", check=False).returncode == 1
    file.write_text(good)
    daemon.cli("reload")
    assert passing(lab, SMB, HTTP, PING_OUT) == [False, True, True]


def test_lost_state_directory_closes_the_host(lab: Lab) -> None:
    """A policy was assigned in this boot, and nobody knows which: operational block until an
    administrator says what is to be (spec 6.5)."""
    daemon = lab.start_daemon()
    policy = "/run/lab/assigned.toml"
    daemon.host.path(policy).write_text(BLOCK.format(name="mine", filter="any <-> me:445 tcp"))
    daemon.cli("policy", "assign", policy)
    daemon.stop()
    shutil.rmtree(lab["guard"].path(STATE))
    daemon = lab.start_daemon()
    assert (found := status(daemon))["mode"] == "block"
    assert found["trouble"].startswith(f"{STATE}: lost: ")
    assert passing(lab, SMB, HTTP, PING_OUT) == [False, False, False]
    assert daemon.cli("reload", check=False).returncode == 1
    daemon.cli("policy", "assign", policy)
    assert passing(lab, SMB, HTTP, PING_OUT) == [False, True, True]


def test_commands_without_a_service(lab: Lab) -> None:
    """Only the files change; the next start enforces them."""
    guard = lab["guard"]
    daemon = lab.start_daemon()
    daemon.stop()
    config = "/run/lab/ipsecfd.toml"
    rule = ("-w", "REG", "-p", "B", "-r", "r", "-f", "*=0:80:TCP", "-n", "BLOCK", "-x")
    daemon.cli("ipseccmd", "--config", config, *rule)
    assert guard.path(f"{STATE}/stores/local.toml").exists()
    lab.start_daemon()
    assert passing(lab, HTTP, SSH) == [False, True]


# --- dynamic ---


def test_dynamic_rules_add_and_go_with_the_service(lab: Lab) -> None:
    """T6: replies are dropped too; they add to the local policy, and a restart forgets them."""
    daemon = lab.start_daemon()
    netsh(daemon, blocking("mine", "TCP", 80))
    rule = "add rule any any mm actioninbound=block actionoutbound=permit"
    netsh(daemon, f"ipsec dynamic\nadd mmpolicy mm\n{rule}\n")
    assert passing(lab, HTTP, SSH, PING_OUT) == [False, False, False]
    daemon.cli("netsh", "ipsec", "dynamic", "delete", "all")
    assert passing(lab, HTTP, SSH, PING_OUT) == [False, True, True]
    daemon.cli("ipseccmd", "-f", "[*=0:22:TCP]")
    assert passing(lab, HTTP, SSH) == [False, False]
    daemon.stop()
    daemon = lab.start_daemon()
    assert in_force(daemon) == ["mine"]
    assert passing(lab, HTTP, SSH) == [False, True]


def test_ten_thousand_dynamic_rules(lab: Lab) -> None:
    """They are handed over whole, and packets are judged meanwhile."""
    daemon = lab.start_daemon()
    rules = "".join(
        f"add rule 10.{n // 250}.{n % 250}.1 me mm dstport=80 protocol=TCP actioninb=block"
        " actionoutb=permit\n"
        for n in range(10_000)
    )
    started = time.monotonic()
    netsh(daemon, f"ipsec dynamic\nadd mmpolicy mm\n{rules}")
    assert time.monotonic() - started < 20
    assert status(daemon)["dynamic_rules"] == 10_000
    assert passing(lab, HTTP) == [True]


# --- domain ---


@pytest.fixture
def server(lab: Lab) -> Iterator[str]:
    """A web server on the peer, which serves /run/web; its URL."""
    peer = lab["peer"]
    peer.path("/run/web").mkdir()
    process = peer.popen(
        ["python3", "-m", "http.server", "--directory", "/run/web", "--bind", "192.0.2.1", "8000"]
    )
    try:
        yield "http://192.0.2.1:8000/policy.toml"
    finally:
        process.kill()
        process.wait()


def publish(lab: Lab, name: str, one: str) -> None:
    """Have the server give this policy, which blocks one filter."""
    path = lab["peer"].path("/run/web/policy.toml")
    path.write_text(BLOCK.format(name=name, filter=one))


def refreshed(daemon: Daemon) -> None:
    """Refresh the domain policy, as soon as its server answers."""
    deadline = time.monotonic() + 10
    while (done := daemon.cli("domain", "refresh", check=False)).returncode:
        assert time.monotonic() < deadline, done.stderr
        time.sleep(0.1)


def test_domain_policy_replaces_the_local_one(lab: Lab, server: str) -> None:
    """Spec 1.7: local blocks TCP 80, domain blocks UDP 1434: 80 passes, 1434 does not."""
    publish(lab, "domain", "any -> me:1434 udp")
    daemon = lab.start_daemon(config={"domain": {"source": server}})
    netsh(daemon, blocking("mine", "TCP", 80))
    refreshed(daemon)
    assert in_force(daemon) == ["domain"]
    assert passing(lab, HTTP, SQL) == [True, False]
    publish(lab, "other", "any -> me:22 tcp")
    daemon.cli("secedit", "/refreshpolicy", "machine_policy")
    assert passing(lab, SSH, SQL) == [False, True]
    assert daemon.cli("domain", "refresh").stdout == "the domain policy has not changed\n"
    assert "last error    none" in daemon.cli("domain", "status").stdout


def test_domain_policy_is_kept_for_when_the_server_is_away(lab: Lab, server: str) -> None:
    """The copy counts from the start, with Windows' events for it (5458, 5457)."""
    publish(lab, "domain", "any -> me:1434 udp")
    config = {"domain": {"source": server}}
    refreshed(lab.start_daemon(config=config))
    assert lab.daemon is not None
    lab.daemon.stop()
    lab["peer"].path("/run/web/policy.toml").unlink()
    daemon = lab.start_daemon(config=config)
    assert passing(lab, SQL) == [False]
    failed = daemon.cli("domain", "refresh", check=False)
    assert (failed.returncode, "answered 404" in failed.stderr) == (1, True)
    assert passing(lab, SQL) == [False]
    shown = status(daemon)["domain"]
    assert (shown["copy"], shown["known"], shown["policy"]) == (True, True, "domain")
    assert {5458, 5457} <= {record["event"] for record in daemon.records()}


def test_unreachable_domain_without_a_copy(lab: Lab) -> None:
    """Secure mode with persistent policy and dynamic rules; the local policy does not count."""
    daemon = lab.start_daemon(config={"domain": {"source": "http://192.0.2.1:9/x"}})
    netsh(daemon, blocking("mine", "TCP", 80))
    netsh(daemon, blocking("always", "TCP", 445, store="persistent"))
    assert status(daemon)["mode"] == "secure"
    assert passing(lab, HTTP, SMB) == [True, False]
    listed = daemon.cli("policy", "list").stdout
    assert "local policy, 1 rule, 1 filter, not in force" in listed


def test_domain_policy_from_a_file_is_there_at_the_start(lab: Lab) -> None:
    """A path is read before secure mode, so nothing passes that the policy blocks."""
    lab["guard"].path("/run/lab").mkdir(exist_ok=True)
    lab["guard"].path("/run/lab/domain.bat").write_text(
        "@echo off\nset P=Batch\nnetsh ipsec static add policy name=%P%\n"
        "netsh ipsec static add filter filterlist=l srcaddr=any dstaddr=me proto=TCP dstport=80\n"
        "netsh ipsec static add filteraction name=b action=block\n"
        "netsh ipsec static add rule name=r policy=%P% filterlist=l filteraction=b\n"
        "netsh ipsec static set policy name=%P% assign=y\n"
    )
    daemon = lab.start_daemon(config={"domain": {"source": "/run/lab/domain.bat"}})
    assert in_force(daemon) == ["Batch"]
    assert passing(lab, HTTP, SSH) == [False, True]


# --- properties ---


def test_properties_take_effect_at_the_next_start(lab: Lab) -> None:
    """T16: the old value until the restart, with a warning, then the new one."""
    daemon = lab.start_daemon()
    kerberos = Probe.parse("tcp 203.0.113.66:88 -> 192.0.2.10:80")
    netsh(daemon, blocking("mine", "TCP", 80))
    daemon.cli("netsh", "ipsec", "dynamic", "set", "config", "ipsecexempt", "value=0")
    assert passing(lab, kerberos) == [False]
    assert any("exempt changed" in one for one in status(daemon)["warnings"])
    daemon.stop()
    daemon = lab.start_daemon()
    assert status(daemon)["exempt"] == 0
    assert passing(lab, kerberos, HTTP) == [True, False]
