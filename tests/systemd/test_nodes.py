"""The installed package on a booted Debian: as systemd, its users and another machine see it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.package.debian import Debian, Shelf, missing
from tests.package.stream import FORBIDDEN
from tests.systemd.nodes import Flow, Guard

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

Client = Callable[[], Flow]
NOBODY = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
MEMBER = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=ipsecfd"]


@pytest.fixture(scope="module")
def guard(shelf: Shelf, filtering_layer: Path) -> Iterator[Guard]:
    """Booted with the policy of one port; every test leaves it in force."""
    with closing(Guard(shelf, filtering_layer)) as guard:
        yield guard


@pytest.fixture(scope="module")
def peer(shelf: Shelf, guard: Guard) -> Iterator[Debian]:
    """The node at the other end."""
    with closing(Debian(shelf.packages, shelf.debian, beside=guard)) as peer:
        yield peer


@pytest.fixture
def client(peer: Debian) -> Iterator[Client]:
    """Begins a new flow from the peer."""
    flows: list[Flow] = []

    def begin() -> Flow:
        flows.append(Flow(peer))
        return flows[-1]

    yield begin
    for flow in flows:
        flow.close()


@pytest.fixture
def override(guard: Guard) -> Iterator[Callable[[str], None]]:
    """Changes the unit until the end of the test."""

    def change(text: str) -> None:
        guard.override(text)
        guard.run("systemctl", "restart", "ipsecfd")

    yield change
    change("")


def test_boot_closes_before_it_connects(guard: Guard) -> None:
    """Start-up rules, then the agent with its policy, then interfaces, then those who wait for a
    network."""
    order = [
        guard.said("--unit=ipsecfd-boot", "--grep=until the policies are in force"),
        guard.said("--unit=ipsecfd", "--grep=packets come by"),
        guard.said("--unit=init.scope", "--grep=Started ipsecfd.service"),
        guard.said("--unit=systemd-networkd", "--grep=eth1: Link UP"),
        guard.said("--unit=init.scope", "--grep=Reached target network-online.target"),
        guard.said("--unit=init.scope", "--grep=Started echo.service"),
    ]
    times = [int(entries[0]["__MONOTONIC_TIMESTAMP"]) for entries in order]
    assert times == sorted(times)


def test_peer_sees_the_policy(client: Client) -> None:
    """One port answers and the other does not."""
    flow = client()
    assert flow.answered()
    assert not flow.answered(FORBIDDEN, seconds=0.3)


def test_systemd_is_told_when_it_is_ready(
    guard: Guard, client: Client, override: Callable[[str], None]
) -> None:
    """A start takes until packets are judged; what is judged stands in `systemctl status`."""
    override("[Service]\nExecStartPost=/bin/sh -c 'nft list ruleset >/run/ipsecfd/rules'\n")
    assert client().answered()
    assert "queue_in" in guard.run("cat", "/run/ipsecfd/rules")
    assert guard.property("Type") == "notify"
    guard.wait_for("StatusText", lambda text: text == 'secure mode, "One port"')


def test_watchdog_ends_what_hangs(
    guard: Guard, client: Client, override: Callable[[str], None]
) -> None:
    """While all its processes are stopped no new flow passes; systemd starts it anew by itself."""
    override("[Service]\nWatchdogSec=3s\n")
    before = int(guard.property("NRestarts"))
    guard.run("systemctl", "kill", "--signal=STOP", "ipsecfd")
    flow = client()
    assert not flow.answered(seconds=0.3)
    guard.wait_for("NRestarts", lambda restarts: int(restarts) > before)
    guard.wait_until("active")
    flow.wait_until_answered()
    assert not flow.answered(FORBIDDEN, seconds=0.3)
    assert guard.said("--unit=ipsecfd", "--grep=watchdog timeout", "--case-sensitive=no")


def test_kill_closes_all_but_what_the_kernel_has_learnt(
    guard: Guard, client: Client, override: Callable[[str], None]
) -> None:
    """An established flow goes on without anybody who judges, a new one begins once one does."""
    override("[Service]\nRestartSec=3s\n")
    learnt, new = client(), client()
    assert all(learnt.answered() for _ in range(5))
    assert "9001" in guard.run("ipsecfd", "flows")
    guard.run("systemctl", "kill", "--signal=KILL", "ipsecfd")
    assert learnt.answered()
    assert not new.answered(seconds=0.3)
    assert learnt.answered()
    assert guard.state() != "active"
    guard.wait_until("active")
    assert learnt.answered()
    assert new.answered()
    assert not new.answered(FORBIDDEN, seconds=0.3)


def test_socket_knows_its_users(guard: Guard) -> None:
    """Root may do everything, the group may look, everybody else may nothing."""
    status, change = ("ipsecfd", "status"), ("ipsecfd", "mode", "secure")
    assert guard.run("stat", "-c", "%U:%G %a", "/run/ipsecfd/control.sock") == "root:ipsecfd 660\n"
    assert "SECURE mode" in guard.run(*status)
    guard.run(*change)
    for looking in (status, ("ipsecfd", "flows"), ("ipsecfd", "policy", "list")):
        assert guard.succeeds(*MEMBER, *looking)
        assert "permission denied" in guard.run(*NOBODY, *looking, ok=False)
    for user in (MEMBER, NOBODY):
        assert "only root may change anything" in guard.run(*user, *change, ok=False)
        assert not guard.succeeds(*user, "ipsecfd", "log")


def test_journal_tells_a_life(guard: Guard) -> None:
    """What it did, a line each, a refused policy among it, and never a traceback."""
    (since,) = guard.run("date", "+%s.%N").split()
    guard.write("/etc/ipsecfd/one-port.toml.new", 'name = "Wrong"\n[[rule]]\nfilters = []\n')
    guard.run("ipsecfd", "reload")
    assert not guard.succeeds("ipsecfd", "policy", "assign", "/etc/ipsecfd/one-port.toml.new")
    guard.run("systemctl", "restart", "ipsecfd")
    guard.run("systemctl", "stop", "ipsecfd")
    guard.run("systemctl", "start", "ipsecfd")
    told = [one["MESSAGE"] for one in guard.said("--unit=ipsecfd", f"--since=@{since}")]
    assert "ipsecfd: the service was stopped: nothing is filtered any more" in told
    assert "ipsecfd: a start follows: the rules stay, closed until then" in told
    assert any(re.search("One port", line) for line in told)
    everything = guard.run("journalctl", "--boot", "--unit=ipsecfd*", "--output=cat")
    assert "Traceback" not in everything
