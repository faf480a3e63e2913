"""The service under a real systemd: what opens the host and what does not."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from ipsecfd.agent.systemd import NO_OTHER_TRY
from tests.systemd.machine import HERE, PEER, Machine, missing

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

PORT = 9007
POLICY = f"""
name = "Ping and a connection"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["me <-> {PEER} icmp", "{PEER} <-> me:{PORT} tcp"]
"""
CONFIG = "/etc/ipsecfd/ipsecfd.toml"


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A machine with the policy assigned and in force."""
    machine = Machine()
    try:
        machine.write("/etc/ipsecfd/ping.toml", POLICY)
        machine.run("systemctl", "start", "ipsecfd")
        machine.run("ipsecfd", "policy", "assign", "/etc/ipsecfd/ping.toml")
        yield machine
    finally:
        machine.close()


def test_policy_is_in_force_as_long_as_the_service_runs(machine: Machine) -> None:
    """A restart and a reload open nothing, a stop opens the host (M15)."""
    for command, judged in (
        ("restart", True),
        ("reload", True),
        ("stop", False),
        ("start", True),
        ("try-restart", True),
    ):
        machine.run("systemctl", command, "ipsecfd")
        assert machine.has_rules() is judged, command
        assert machine.reaches_peer("icmp"), command
        assert machine.reaches_peer("udp") is not judged, command


def test_emptied_state_directory_closes_the_host(machine: Machine) -> None:
    """Whether it is emptied while the service runs or after a stop: the policy that was assigned
    since the boot is lost, which is not the same as none."""
    for ways in (("restart",), ("stop", "start")):
        machine.run("find", "/var/lib/ipsecfd", "-mindepth", "1", "-delete")
        for command in ways:
            machine.run("systemctl", command, "ipsecfd")
        assert not machine.reaches_peer("icmp")
        assert "/var/lib/ipsecfd: lost: " in machine.run("ipsecfd", "status")
        machine.run("ipsecfd", "policy", "assign", "/etc/ipsecfd/ping.toml")
        assert machine.reaches_peer("icmp")


ECHO = f"""
import socket
with socket.create_server(("{HERE}", {PORT})) as server:
    print("listening", flush=True)
    connection, _ = server.accept()
    connection.settimeout(60)
    while data := connection.recv(100):
        connection.sendall(data)
"""
TALK = f"""
import socket, sys
with socket.create_connection(("{HERE}", {PORT}), 20) as connection:
    for line in sys.stdin:
        connection.sendall(line.encode())
        print(connection.recv(100).decode(), end="", flush=True)
"""


@contextmanager
def connection(machine: Machine) -> Iterator[Callable[[str], str]]:
    """A TCP connection from the peer: what it sends, it hears again."""

    def python(command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    interpreter = ("/usr/bin/python3", "-c")
    with python(machine.inside(*interpreter, ECHO)) as echo:
        assert echo.stdout is not None
        assert echo.stdout.readline() == "listening\n"
        with python(machine.beside(*interpreter, TALK)) as talk:

            def say(line: str) -> str:
                assert talk.stdin is not None
                assert talk.stdout is not None
                talk.stdin.write(f"{line}\n")
                return talk.stdout.readline().strip()

            yield say


def test_killed_service_leaves_the_host_closed_and_comes_back(machine: Machine) -> None:
    """Nothing new passes while nobody judges; systemd starts it again by itself, and it takes over
    without breaking a connection."""
    machine.override("[Service]\nRestartSec=3s\n")
    with connection(machine) as say:
        for number in range(5):
            assert say(f"before {number}") == f"before {number}"
        machine.run("systemctl", "kill", "--signal=KILL", "ipsecfd")
        assert machine.has_rules()
        assert say("between") == "between"
        assert machine.state() != "active"
        assert not machine.reaches_peer("icmp")
        machine.wait_until("active")
        assert say("after") == "after"
        assert machine.reaches_peer("icmp")
        assert not machine.reaches_peer("udp")
        machine.run("systemctl", "restart", "ipsecfd")
        assert say("again") == "again"
    assert "was killed or crashed" in machine.journal()


def test_no_number_of_starts_and_crashes_ends_it(machine: Machine) -> None:
    """Whoever restarts it by hand, and whatever kills it: it comes back every time."""
    machine.override("[Service]\nRestartSec=0\n")
    for _ in range(3):
        machine.run("systemctl", "restart", "ipsecfd")
    for number in ("1", "2", "3"):
        machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "ipsecfd")
        machine.wait_for("NRestarts", number.__eq__)
        machine.wait_until("active")
    assert machine.reaches_peer("icmp")
    assert not machine.reaches_peer("udp")


def failed_by_its_configuration(machine: Machine, mistake: str) -> None:
    """Restart the service with a mistake, which it says once, and does not try again."""
    machine.write(CONFIG, mistake)
    assert not machine.succeeds("systemctl", "restart", "ipsecfd")
    assert machine.state() == "failed"
    assert machine.property("ExecMainStatus") == str(NO_OTHER_TRY)
    assert machine.property("NRestarts") == "0"
    assert machine.journal().count(f'{CONFIG}: profile: "windows 95": expected one of') == 1


def test_mistake_in_the_configuration_closes_the_host(machine: Machine) -> None:
    """At once and for good; mended, it judges again."""
    failed_by_its_configuration(machine, "profile = 'windows 95'\n")
    assert machine.has_rules()
    assert not machine.reaches_peer("icmp")
    machine.write(CONFIG, "")
    machine.run("systemctl", "start", "ipsecfd")
    assert machine.reaches_peer("icmp")
    assert not machine.reaches_peer("udp")


def test_mistake_in_the_configuration_opens_where_asked(machine: Machine) -> None:
    """With on_failure = "permit", which counts although another key is wrong."""
    failed_by_its_configuration(machine, "profile = 'windows 95'\non_failure = 'permit'\n")
    assert not machine.has_rules()
    assert machine.reaches_peer("udp")


NO_LOG = "[diagnostics]\nlog = '/proc/no.log'\n"


@pytest.mark.parametrize(("on_failure", "tries"), [("block", 2), ("permit", 1)])
def test_start_that_fails_otherwise_is_tried_again(
    machine: Machine, on_failure: str, tries: int
) -> None:
    """What may pass is waited for, closed or open as `on_failure` says, and by itself it runs."""
    machine.override("[Service]\nRestartSec=0\n")
    machine.write(CONFIG, f"on_failure = '{on_failure}'\n{NO_LOG}")
    machine.run("systemctl", "restart", "ipsecfd", ok=False)
    machine.wait_for("NRestarts", lambda restarts: int(restarts) >= tries)
    assert machine.state() == "activating"
    assert machine.reaches_peer("udp") is (on_failure == "permit")
    machine.write(CONFIG, "")
    machine.wait_until("active")
    assert machine.reaches_peer("icmp")
    assert not machine.reaches_peer("udp")


def test_stop_opens_while_nothing_runs(machine: Machine) -> None:
    """A stop is one in every state: waiting for the next try after a crash, and failed for good."""
    machine.override("[Service]\nRestartSec=60s\n")
    machine.run("systemctl", "kill", "--signal=KILL", "--kill-who=main", "ipsecfd")
    machine.wait_until("activating")
    assert machine.has_rules()
    machine.run("systemctl", "stop", "ipsecfd")
    machine.wait_until_open()

    machine.run("systemctl", "start", "ipsecfd")
    failed_by_its_configuration(machine, "profile = 'windows 95'\n")
    assert machine.has_rules()
    machine.run("systemctl", "stop", "ipsecfd", "ipsecfd-stop")
    assert not machine.has_rules()


RESCUE = "[Unit]\nAllowIsolate=yes\nRequires=systemd-journald.service\n"


def test_rescue_mode_opens_nothing_but_a_stop_there_does(machine: Machine) -> None:
    """Whoever isolates a target wants services to end, and no open host; `systemctl stop` means it,
    whatever the state of the system."""
    machine.write("/etc/systemd/system/rescue.target", RESCUE)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "isolate", "rescue.target")
    assert machine.run("systemctl", "is-system-running", ok=False) == "maintenance\n"
    assert machine.state() == "active"
    assert machine.reaches_peer("icmp")
    assert not machine.reaches_peer("udp")
    machine.run("systemctl", "stop", "ipsecfd")
    machine.wait_until_open()

    # And where only the start-up rules are there, which come behind an opening under way.
    for _ in range(3):
        machine.run("systemctl", "restart", "ipsecfd-boot")
        machine.run("systemctl", "stop", "ipsecfd")
    machine.run("systemctl", "restart", "ipsecfd-boot")
    assert machine.property("ActiveState") == "inactive"
    assert machine.has_rules()
    machine.run("systemctl", "stop", "ipsecfd")
    machine.wait_until_open()


def test_shutdown_opens_nothing(machine: Machine) -> None:
    """The rules outlive the service while the machine goes down."""
    assert "inet ipsecfd" in machine.power_off()
