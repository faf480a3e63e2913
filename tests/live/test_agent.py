"""The running service: what it is after crashes, stops, restarts, refusals and commands."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ipsecfd.lab import Lab, LabError
from ipsecfd.lab.daemon import CONFIG, IPSECFD, LOG, OUTPUT, POLICY, Daemon
from tests.live.asking import HTTP, PING_OUT, SSH, passing, status

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

WEB = """
name = "Web server"
[[rule]]
name = "Block everything"
action = "block"
filters = ["me <-> any"]
[[rule]]
name = "Web"
action = "permit"
filters = ["any <-> me:80 tcp"]
"""
BLOCK_ALL = WEB.partition('[[rule]]\nname = "Web"')[0]
MISTAKES = WEB.replace("me <-> any", "me <-> anybody else").replace('"permit"', '"allow"')


def rules(lab: Lab) -> bool:
    """Whether our table is there."""
    return "ipsecfd" in lab["guard"].run(["nft", "list", "tables"], check=True).stdout


def kill_packet_process(daemon: Daemon) -> None:
    """Kill the packet process, and not the agent."""
    daemon.host.run(["pkill", "-KILL", "-f", "ipsecfd.agent.packet_process"], check=True)


def fails(lab: Lab, *arguments: str) -> str:
    """The one line on stderr of a command that must fail."""
    done = lab["guard"].run([*IPSECFD, *arguments])
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


# --- ends and beginnings ---


def test_killed_agent_leaves_the_host_closed(lab: Lab) -> None:
    """on_failure = "block": nobody judges, nothing passes; the next start takes over."""
    daemon = lab.start_daemon(WEB)
    assert passing(lab, HTTP, SSH) == [True, False]
    daemon.stop(signal.SIGKILL)
    assert passing(lab, HTTP, SSH, PING_OUT) == [False, False, False]
    assert "this host is closed" in fails(lab, "status")
    lab.start_daemon(WEB)
    assert passing(lab, HTTP, SSH) == [True, False]


def test_killed_agent_leaves_the_host_open_by_choice(lab: Lab) -> None:
    """on_failure = "permit": nobody judges, everything passes."""
    daemon = lab.start_daemon(WEB, {"on_failure": "permit"})
    assert passing(lab, HTTP, SSH) == [True, False]
    daemon.stop(signal.SIGKILL)
    daemon.log_path.write_text("")
    assert passing(lab, PING_OUT) == [True]
    assert "let packets pass unjudged" in fails(lab, "status")


def test_interrupted_start_is_quiet(lab: Lab) -> None:
    """Ctrl-C goes to the whole process group at any moment of a start: no rules, no tracebacks."""
    for moment in ("the policy agent starts", "nothing is filtered yet"):
        daemon = lab.start_daemon(BLOCK_ALL, ready=0)
        deadline = time.monotonic() + 20
        while moment not in daemon.output and time.monotonic() < deadline:
            time.sleep(0.005)
        agent = daemon.pid
        os.killpg(daemon.process.pid, signal.SIGINT)
        while Path(f"/proc/{agent}").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        assert daemon.output.endswith("ipsecfd: the policy agent stopped: nothing is filtered\n")
        assert "Traceback" not in daemon.output
        assert not rules(lab)
        lab["guard"].path(OUTPUT).unlink()


def test_stop_opens_the_host(lab: Lab) -> None:
    """M15: service stopped, nothing is filtered, and nothing of ours stays in the kernel."""
    daemon = lab.start_daemon(BLOCK_ALL)
    assert passing(lab, PING_OUT) == [False]
    assert daemon.stop() == 0
    assert not rules(lab)
    lab.daemon = None
    assert passing(lab, PING_OUT) == [True]
    assert not lab["guard"].path("/run/ipsecfd/control.sock").exists()


def test_restart_under_systemd_never_opens(lab: Lab) -> None:
    """The rules stay after a stop that systemd ordered; every packet until the next start drops."""
    guard = lab["guard"]
    command = f"SYSTEMD_EXEC_PID=$$ exec {' '.join(IPSECFD)} run --config {CONFIG}"
    guard.path(POLICY).parent.mkdir(exist_ok=True)
    guard.path(POLICY).write_text(BLOCK_ALL)
    shell = ["sh", "-c", f"{command} --policy {POLICY}"]
    daemon = lab.start_daemon(command=shell)
    flood = guard.popen(["ping", "-q", "-i", "0.005", "203.0.113.66"], stdout=subprocess.PIPE)
    assert daemon.stop() == 0
    assert rules(lab)
    time.sleep(0.2)
    lab.start_daemon(command=shell)
    guard.send_signal(flood, signal.SIGINT)
    said, _ = flood.communicate(timeout=10)
    assert b" 0 received" in said


def test_failing_start_leaves_what_a_crash_left(lab: Lab) -> None:
    """A start that fails never opens what should be closed."""
    lab.start_daemon(WEB).stop(signal.SIGKILL)
    lab["guard"].path(POLICY).write_text(MISTAKES)
    lines = fails(lab, "run", "--config", CONFIG, "--policy", POLICY).splitlines()
    assert rules(lab)
    assert any("anybody" in line for line in lines)
    assert any("allow" in line for line in lines)
    assert passing(lab, HTTP, PING_OUT) == [False, False]


def test_failing_first_start_changes_nothing(lab: Lab) -> None:
    """A mistyped policy on a host that had none locks nobody out."""
    with pytest.raises(LabError, match="anybody"):
        lab.start_daemon(MISTAKES)
    assert not rules(lab)


def test_dead_packet_process_is_replaced(lab: Lab) -> None:
    """The host is closed for a moment, then judged as before; status and log tell."""
    daemon = lab.start_daemon(WEB)
    kill_packet_process(daemon)
    deadline = time.monotonic() + 5
    while not passing(lab, HTTP)[0]:
        assert time.monotonic() < deadline
    assert passing(lab, SSH) == [False]
    assert status(daemon)["restarts"] == 1
    assert any(record["event"] == 4288 for record in daemon.records())


@pytest.mark.parametrize("flush", ["flush ruleset", "flush table inet ipsecfd"])
def test_flushed_rules_come_back(lab: Lab, flush: str) -> None:
    """`nft flush ruleset`, which starting other firewalls does, opens the host for seconds only;
    so does emptying the table and leaving it there."""
    lab.start_daemon(BLOCK_ALL)
    lab["guard"].run(["nft", *flush.split()], check=True)
    deadline = time.monotonic() + 10
    while passing(lab, HTTP, PING_OUT) != [False, False]:
        assert time.monotonic() < deadline
    assert rules(lab)


# --- commands ---


def test_modes_change_live(lab: Lab) -> None:
    """Each mode means on the wire what spec 6 says."""
    daemon = lab.start_daemon(BLOCK_ALL, {"startup": {"exemptions": ["tcp:0:22:inbound"]}})
    for mode, expected in (
        ("secure", [False, False, False]),
        ("permit", [True, True, True]),
        ("block", [False, False, False]),
        ("stateful", [False, True, True]),  # port 22 is a boot exemption
        ("secure", [False, False, False]),
    ):
        assert daemon.cli("mode", mode).stdout == f"{mode}\n"
        assert passing(lab, HTTP, SSH, PING_OUT) == expected, mode
    assert [one["event"] for one in daemon.records() if "mode" in one][-5:] == [
        4294,
        4293,
        4292,
        4291,
        4294,
    ]


def test_reload_of_a_bad_policy_keeps_the_old_one(lab: Lab) -> None:
    """Refused with its mistakes, one line each, and logged; SIGHUP as well."""
    daemon = lab.start_daemon(WEB)
    lab["guard"].path(POLICY).write_text(MISTAKES)
    assert len(fails(lab, "reload").splitlines()) == 2
    daemon.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 5
    while sum(record["event"] == 5461 for record in daemon.records()) < 2:
        assert time.monotonic() < deadline
    assert passing(lab, HTTP, SSH) == [True, False]
    daemon.reload(BLOCK_ALL)
    assert passing(lab, HTTP) == [False]


def test_big_reload_holds_no_command_up(lab: Lab) -> None:
    """10,000 filters are compiled beside the work, not in its way."""
    rows = "".join(
        f'  "10.{number >> 8}.{number & 255}.0/24 -> me:{number % 999 + 1} tcp",\n'
        for number in range(10_000)
    )
    daemon = lab.start_daemon(WEB)
    big = f'{WEB}[[rule]]\nname = "Many"\naction = "block"\nfilters = [\n{rows}]\n'
    lab["guard"].path(POLICY).write_text(big)
    reload = lab["guard"].popen([*IPSECFD, "reload"], stdout=subprocess.DEVNULL)
    longest = 0.0
    while reload.poll() is None:
        began = time.monotonic()
        daemon.cli("mode")
        longest = max(longest, time.monotonic() - began)
    assert reload.returncode == 0
    assert status(daemon)["version"] == 2
    assert longest < 5


def test_reloads_under_traffic_lose_and_open_nothing(lab: Lab, tmp_path: Path) -> None:
    """What both policies permit is never lost, what both block never passes."""
    pings = 'name = "Pings"\naction = "permit"\nfilters = ["203.0.113.66 <-> me icmp"]'
    policy = f"{BLOCK_ALL}[[rule]]\n{pings}\n"
    daemon = lab.start_daemon(policy)
    command = ["ping", "-n", "-i", "0.002", "192.0.2.10", "-I"]
    answers = {source: tmp_path / source for source in ("203.0.113.66", "198.51.100.7")}
    children = []
    for source, path in answers.items():
        with path.open("w") as told:
            children.append(lab["peer"].popen([*command, source], stdout=told))
    for number in range(5):
        daemon.reload(f'{policy}[[rule]]\nname = "{number}"\naction = "block"\nfilters = []\n')
        daemon.cli("mode", "secure")
    lab["guard"].add_address("192.0.2.98/24")
    good, bad = answers.values()
    before, deadline = good.stat().st_size, time.monotonic() + 5
    time.sleep(0.2)
    while good.stat().st_size < before + 10_000:
        assert time.monotonic() < deadline, "no answers after all changes"
        time.sleep(0.05)
    for child in children:
        lab["peer"].send_signal(child, signal.SIGINT)
        child.wait()
    answered = [int(one) for one in re.findall(r"icmp_seq=(\d+)", good.read_text())]
    assert sorted(answered) == list(range(1, max(answered) + 1))  # later ones were on their way
    assert " 0 received" in bad.read_text()


def test_assigned_policy_survives_a_restart(lab: Lab) -> None:
    """assign, restart, unassign; a policy that vanished meanwhile is operational block."""
    guard = lab["guard"]
    daemon = lab.start_daemon()
    assert passing(lab, SSH) == [True]
    guard.path(POLICY).write_text(WEB)
    daemon.cli("policy", "assign", POLICY)
    assert passing(lab, HTTP, SSH) == [True, False]
    daemon.stop()

    daemon = lab.start_daemon()
    assert "Web server" in daemon.cli("policy", "list").stdout
    assert "any <-> me:80 tcp" in daemon.cli("policy", "show", "Web server").stdout
    assert passing(lab, HTTP, SSH) == [True, False]
    daemon.stop()

    guard.path(POLICY).unlink()
    daemon = lab.start_daemon()
    assert passing(lab, HTTP, PING_OUT) == [False, False]
    assert status(daemon)["mode"] == "block"
    assert POLICY in fails(lab, "mode", "secure")
    daemon.cli("policy", "unassign")
    assert passing(lab, SSH) == [True]


def test_status_follows_the_host(lab: Lab) -> None:
    """Addresses, servers, counts and the hook are what they are."""
    daemon = lab.start_daemon(WEB)
    lab["guard"].add_address("192.0.2.99/24")
    assert passing(lab, HTTP, SSH) == [True, False]
    found = status(daemon)
    assert {"192.0.2.10", "192.0.2.99", "2001:db8::10"} <= set(found["addresses"])
    assert found["servers"] == {"gateway": ["192.0.2.1", "2001:db8::1"]}
    assert found["hook"] in ("nft queue", "iptables NFQUEUE target")
    assert {(one["verdict"], one["reason"]) for one in found["packets"]} >= {
        ("permit", "filter"),
        ("block", "filter"),
    }
    assert passing(lab, SSH) == [False]
    assert "Block everything" in daemon.cli("stats", "--json").stdout


def test_several_packet_processes(lab: Lab) -> None:
    """Each queue has a process; both directions of a flow meet the same one."""
    daemon = lab.start_daemon(WEB, {"queue": {"processes": 3}})
    assert passing(lab, *[HTTP] * 6, SSH) == [True] * 6 + [False]
    assert len({one["pid"] for one in status(daemon)["queues"]}) == 3
    daemon.cli("mode", "stateful")
    assert passing(lab, PING_OUT, HTTP) == [True, False]


DAEMON = f"{' '.join(IPSECFD)} run --config {CONFIG} --policy {POLICY}"

# --- what is refused ---


def test_second_instance(lab: Lab) -> None:
    """The line names the first one's pid; the first one is not disturbed."""
    lab.start_daemon(WEB)
    assert "already running (pid " in fails(lab, "run", "--config", CONFIG)
    assert passing(lab, HTTP, SSH) == [True, False]


def test_taken_queue(lab: Lab) -> None:
    """The line names the queue, and the host is left as it was."""
    guard = lab["guard"]
    holder = guard.popen([sys.executable, "-c", HOLDER], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "bound\n"
    (guard.path("/run") / "lab").mkdir(exist_ok=True)
    guard.path("/run/lab/own.toml").write_text(
        f'state_dir = "/run/lab/own"\n[control]\nsocket = "/run/lab/own.sock"\n'
        f'[diagnostics]\nlog = "{LOG}.own"\n'
    )
    assert "queue 88 " in fails(lab, "run", "--config", "/run/lab/own.toml")
    assert passing(lab, HTTP, SSH) == [True, True]
    guard.send_signal(holder, signal.SIGKILL)
    holder.communicate()


HOLDER = """
from netfilterqueue import NetfilterQueue
queue = NetfilterQueue()
queue.bind(88, lambda packet: packet.accept())
print("bound", flush=True)
queue.run()
"""


def test_second_instance_with_its_own_socket(lab: Lab) -> None:
    """Two agents in one network would take each other's rules for leftovers: the second is
    refused, and the first one's rules stay."""
    lab.start_daemon(WEB)
    lab["guard"].path("/run/lab/other.toml").write_text(
        f'state_dir = "/run/lab/other"\n[control]\nsocket = "/run/lab/other.sock"\n'
        f'[queue]\nnumber = 90\n[diagnostics]\nlog = "{LOG}.other"\n'
    )
    assert "already running" in fails(lab, "run", "--config", "/run/lab/other.toml")
    assert passing(lab, HTTP, SSH) == [True, False]


def test_closed_terminal(lab: Lab) -> None:
    """A daemon whose terminal is gone still answers, changes mode and filters."""
    daemon = lab.start_daemon(WEB, command=["sh", "-c", f"{DAEMON} 2>&1 | head -n 1"])
    daemon.cli("mode", "block")
    assert passing(lab, HTTP) == [False]
    daemon.cli("reload")


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ("profile = 5\n", "profile"),
        ('[diagnostics]\nlog = "/proc/nowhere/log"\n', "/proc/nowhere/log"),
        ('state_dir = "/proc/nowhere"\n', "/proc/nowhere"),
        ('[control]\nsocket = "/proc/nowhere/sock"\n', "/proc/nowhere/sock"),
    ],
)
def test_bad_configuration(lab: Lab, config: str, line: str) -> None:
    """One clear line, and nothing is done to the host."""
    guard = lab["guard"]
    guard.path(POLICY).parent.mkdir(exist_ok=True)
    guard.path(CONFIG).write_text(config)
    guard.path(POLICY).write_text(WEB)
    assert line in fails(lab, "run", "--config", CONFIG, "--policy", POLICY)
    assert not rules(lab)


def test_missing_files(lab: Lab) -> None:
    """A configuration or policy that was named and is missing is a mistake."""
    assert "/nowhere.toml: cannot be read" in fails(lab, "run", "--config", "/nowhere.toml")
    assert "/nowhere.toml: cannot be read" in fails(lab, "run", "--policy", "/nowhere.toml")


def test_no_privileges(lab: Lab) -> None:
    """Without CAP_NET_ADMIN the line says so."""
    done = lab["guard"].run(["setpriv", "--bounding-set=-net_admin", *IPSECFD, "run"])
    assert done.returncode == 1
    assert "CAP_NET_ADMIN" in done.stderr


def test_commands_without_a_daemon(lab: Lab) -> None:
    """Every live command says that nobody serves the socket, and how to start it."""
    for command in (["status"], ["mode"], ["reload"], ["stats"], ["policy", "list"]):
        assert "not running" in (said := fails(lab, *command))
        assert "nothing is filtered" in said
