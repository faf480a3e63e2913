"""The installed package on a booted Debian: as systemd, its users and another machine see it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.package.debian import Debian, Shelf, missing
from tests.package.stream import FORBIDDEN, POLICY, Stream
from tests.systemd.nodes import Flow, Guard

pytestmark = [pytest.mark.live, pytest.mark.skipif(missing() is not None, reason=str(missing()))]

Client = Callable[[], Flow]
POLICY_FILE = "/etc/ipsecfd/one-port.toml"
BOTH_PORTS = f"{POLICY}\n[[rule]]\naction = 'permit'\nfilters = ['any <-> me:{FORBIDDEN} udp']\n"
WRONG = 'name = "Wrong"\n[[rule]]\naction = "{action}"\nfilters = []\n'
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
    yield guard.override
    guard.override("")


@pytest.fixture
def edit(guard: Guard) -> Iterator[Callable[[str], None]]:
    """Edits the policy until the end of the test, and has systemd reload the service."""

    def change(text: str) -> None:
        guard.write(POLICY_FILE, text)
        guard.run("systemctl", "reload", "ipsecfd")

    yield change
    guard.write(POLICY_FILE, POLICY)
    guard.run("ipsecfd", "reload")


@pytest.fixture
def stream(guard: Guard) -> Iterator[Stream]:
    """Datagrams to both ports, what is permitted learnt; who served the ports waits meanwhile."""
    guard.run("systemctl", "stop", "echo")
    stream = Stream(guard)
    stream.wait_until_learnt()
    yield stream
    guard.run("systemctl", "start", "echo")


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
    guard.run("systemctl", "stop", "ipsecfd")
    assert not guard.has_rules()
    override("[Service]\nExecStartPost=/bin/sh -c 'nft list ruleset >/run/ipsecfd/rules'\n")
    guard.run("systemctl", "start", "ipsecfd")
    assert client().answered()
    assert "queue_in" in guard.run("cat", "/run/ipsecfd/rules")
    assert guard.property("Type") == "notify"
    guard.wait_for("StatusText", lambda text: text == 'secure mode, "One port"')


def test_changing_over_disturbs_no_flow(
    guard: Guard, stream: Stream, edit: Callable[[str], None]
) -> None:
    """In a reload and a restart nothing forbidden comes, and nothing of a learnt flow is lost."""
    edit(POLICY.replace("One port", "The same port"))
    guard.wait_until_said('policies reloaded: "The same port"')
    stream.wait_until_learnt()
    guard.run("systemctl", "restart", "ipsecfd")
    seen = stream.stop()
    assert seen.sent > 100
    assert (seen.permitted, seen.forbidden) == (seen.sent, 0)


def test_reload_takes_an_edit_or_leaves_it(
    guard: Guard, client: Client, edit: Callable[[str], None]
) -> None:
    """Another policy means another verdict; after one with a mistake the verdicts stay."""
    flow = client()
    assert not flow.answered(FORBIDDEN, seconds=0.3)
    edit(BOTH_PORTS)
    flow.wait_until_answered(FORBIDDEN)
    edit(WRONG.format(action="deny"))
    guard.wait_until_said(
        f'reload refused, the old policies stay: {POLICY_FILE}: rule[1].action: "deny"'
    )
    assert flow.answered(FORBIDDEN)
    assert flow.answered()


def test_stop_opens_until_the_next_start(guard: Guard, client: Client) -> None:
    """Who was forbidden something is answered once the service is stopped, and no more after."""
    flow = client()
    guard.run("systemctl", "stop", "ipsecfd")
    assert flow.answered(FORBIDDEN)
    guard.run("systemctl", "start", "ipsecfd")
    assert not flow.answered(FORBIDDEN, seconds=0.3)
    assert flow.answered()


def test_watchdog_ends_what_hangs(
    guard: Guard, client: Client, override: Callable[[str], None]
) -> None:
    """While all its processes are stopped no new flow passes; systemd starts it anew by itself."""
    override("[Service]\nWatchdogSec=3s\n")
    guard.run("systemctl", "restart", "ipsecfd")
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
    """What it did, a line each, a refused policy and its mistake among it, never a traceback."""
    (since,) = guard.run("date", "+%s.%N").split()
    new = f"{POLICY_FILE}.new"
    guard.write(new, WRONG.format(action="reject"))
    guard.run("ipsecfd", "reload")
    mistake = f'{new}: rule[1].action: "reject": unknown action; known: permit, block, negotiate'
    assert mistake in guard.run("ipsecfd", "policy", "assign", new, ok=False)
    guard.run("systemctl", "restart", "ipsecfd")
    guard.run("systemctl", "stop", "ipsecfd")
    guard.run("systemctl", "start", "ipsecfd")
    told = [one["MESSAGE"] for one in guard.said("--unit=ipsecfd", f"--since=@{since}")]
    assert "ipsecfd: the service was stopped: nothing is filtered any more" in told
    assert "ipsecfd: a start follows: the rules stay, closed until then" in told
    assert 'ipsecfd: policies reloaded: "One port"' in told
    assert f"ipsecfd: assignment refused, the old policies stay: {mistake}" in told
    everything = guard.run("journalctl", "--boot", "--unit=ipsecfd*", "--output=cat")
    assert "Traceback" not in everything
