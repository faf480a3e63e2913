"""No lock-out: what cuts a real connection is told before, and taken back unless confirmed."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator

import pytest

from ipsecfd.lab import Lab
from ipsecfd.lab.daemon import IPSECFD, Daemon

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

OPEN, CLOSED = "/run/lab/open.toml", "/run/lab/closed.toml"
BLOCK_ALL = """
name = "Closed"
[[rule]]
name = "Block everything"
action = "block"
filters = ["me <-> any"]
"""
WITH_SSH = f"""{BLOCK_ALL}
[[rule]]
name = "Operators"
action = "permit"
filters = ["203.0.113.66 <-> me:22 tcp"]
"""
SECONDS = 6
"""How long changes are on trial here."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two hosts on a wire; the daemon goes on the one called guard."""
    with Lab() as lab:
        (lab["guard"].path("/run") / "lab").mkdir(exist_ok=True)
        lab["guard"].path(OPEN).write_text(WITH_SSH)
        lab["guard"].path(CLOSED).write_text(BLOCK_ALL)
        yield lab


class Session:
    """An operator's TCP connection to port 22 of the guard, as ssh's would be."""

    def __init__(self, lab: Lab, server: socket.socket) -> None:
        self.peer = lab["peer"].socket(socket.AF_INET, socket.SOCK_STREAM)
        self.peer.settimeout(10)
        self.peer.bind(("203.0.113.66", 0))
        self.peer.connect(server.getsockname())
        self.guard, _ = server.accept()
        self._said = 0

    def lives(self, seconds: float) -> bool:
        """Whether the next word arrives within some seconds; it is sent in any case."""
        self._said += 1
        word = b"%d\n" % self._said
        self.peer.sendall(word)
        self.guard.settimeout(seconds)
        deadline = time.monotonic() + seconds
        heard = b""
        while not heard.endswith(word):
            if time.monotonic() > deadline:
                return False
            try:
                heard += self.guard.recv(1024)
            except TimeoutError:
                return False
        return True

    @property
    def variable(self) -> str:
        """What sshd would put into the environment of the shell."""
        (client, port), (server, server_port) = self.peer.getsockname(), self.peer.getpeername()
        return f"SSH_CONNECTION={client} {port} {server} {server_port}"

    def close(self) -> None:
        self.peer.close()
        self.guard.close()


@pytest.fixture
def server(lab: Lab) -> Iterator[socket.socket]:
    """What listens on the guard."""
    with lab["guard"].socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("192.0.2.10", 22))
        server.listen()
        yield server


@pytest.fixture
def session(lab: Lab, server: socket.socket) -> Iterator[Session]:
    """The operator's connection, made before anything is filtered."""
    session = Session(lab, server)
    yield session
    session.close()


def assigned(lab: Lab) -> Daemon:
    """A daemon whose assigned policy lets the operator in."""
    daemon = lab.start_daemon()
    daemon.cli("policy", "assign", OPEN)
    return daemon


def test_unconfirmed_policy_is_taken_back(lab: Lab, session: Session) -> None:
    """The connection is dead while the candidate is in force, and lives on afterwards."""
    daemon = assigned(lab)
    assert session.lives(5)
    began = time.monotonic()
    daemon.cli("apply", CLOSED, "--confirm", str(SECONDS))
    assert not session.lives(1)
    assert "is taken back in" in daemon.cli("status").stdout
    assert session.lives(30)
    assert time.monotonic() - began > SECONDS - 1
    assert OPEN in daemon.cli("policy", "list").stdout
    assert daemon.cli("confirm", "--status").stdout == "nothing is on trial\n"
    assert any("not confirmed in time" in str(one) for one in daemon.records())


def test_confirmed_policy_stays(lab: Lab, session: Session) -> None:
    """Nothing comes back when the time is over."""
    daemon = assigned(lab)
    daemon.cli("apply", CLOSED, "--confirm", "3")
    daemon.cli("confirm")
    time.sleep(4)
    assert not session.lives(1)
    assert CLOSED in daemon.cli("policy", "list").stdout


def test_edited_policy_is_taken_back(lab: Lab, session: Session) -> None:
    """The assigned file itself was edited and applied: what it said before is in force again."""
    daemon = assigned(lab)
    lab["guard"].path(OPEN).write_text(BLOCK_ALL)
    daemon.cli("apply", OPEN, "--confirm", "3")
    assert not session.lives(1)
    assert session.lives(30)
    daemon.cli("reload")
    assert session.lives(5)


def test_killed_agent_takes_it_back_all_the_same(lab: Lab, session: Session) -> None:
    """SIGKILL in between: the next run keeps the candidate for the rest of the time only."""
    daemon = assigned(lab)
    began = time.monotonic()
    daemon.cli("apply", CLOSED, "--confirm", str(SECONDS))
    daemon.stop(signal.SIGKILL)
    daemon = lab.start_daemon()
    if time.monotonic() - began < SECONDS - 1.5:
        assert CLOSED in daemon.cli("policy", "list").stdout
        assert not session.lives(0.5)
    assert session.lives(30)
    assert OPEN in daemon.cli("policy", "list").stdout


def test_killed_agent_that_starts_too_late(lab: Lab, session: Session) -> None:
    """The candidate is not in force again: the previous policy is, from the start on."""
    daemon = assigned(lab)
    daemon.cli("apply", CLOSED, "--confirm", "1")
    daemon.stop(signal.SIGKILL)
    time.sleep(1.5)
    daemon = lab.start_daemon()
    assert OPEN in daemon.cli("policy", "list").stdout
    assert session.lives(30)
    assert CLOSED not in daemon.cli("policy", "list").stdout


def test_read_only_disk_locks_nobody_out(lab: Lab, session: Session) -> None:
    """The connection lives on in time, and the disk says why as soon as it can be written."""
    guard, state = lab["guard"], "/run/lab/state"
    guard.path(state).mkdir()
    guard.run(["mount", "-t", "tmpfs", "tmpfs", state], check=True)
    daemon = assigned(lab)
    daemon.cli("apply", CLOSED, "--confirm", str(SECONDS))
    guard.run(["mount", "-o", "remount,ro", state], check=True)
    assert not session.lives(1)
    assert session.lives(30)
    assert "cannot be written down" in " ".join(daemon.cli("status").stdout.split())
    assert guard.path(f"{state}/trial.json").exists()
    assert "must be written down first" in daemon.cli("reload", check=False).stderr
    assert session.lives(1)
    guard.run(["mount", "-o", "remount,rw", state], check=True)
    deadline = time.monotonic() + 30
    while guard.path(f"{state}/trial.json").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not guard.path(f"{state}/trial.json").exists()
    assert "cannot be written down" not in " ".join(daemon.cli("status").stdout.split())
    assert OPEN in guard.path(f"{state}/assigned.json").read_text()


def test_mode_is_taken_back(lab: Lab, session: Session) -> None:
    """Nobody confirms from a host that lets nothing pass; `rollback` is for who need not wait."""
    daemon = assigned(lab)
    daemon.cli("mode", "block", "--confirm", "3")
    assert not session.lives(1)
    assert session.lives(30)
    assert daemon.cli("mode").stdout == "secure\n"
    daemon.cli("mode", "block", "--confirm", "600")
    assert not session.lives(1)
    assert daemon.cli("rollback").stdout == "taken back: mode block\n"
    assert session.lives(30)


def test_own_session_is_told_and_spared(lab: Lab, server: socket.socket, session: Session) -> None:
    """Every connection the candidate cuts is listed, the caller's own first; a script that would
    cut that one is refused, and nothing has happened."""
    daemon = assigned(lab)
    guard = lab["guard"]
    other = Session(lab, server)
    for command in (["apply", CLOSED], ["policy", "unassign"], ["mode", "block"]):
        done = guard.run(["env", session.variable, *IPSECFD, *command])
        if command[-1] == "unassign":  # opens the host
            assert (done.returncode, done.stderr) == (0, "")
            daemon.cli("policy", "assign", OPEN)
            continue
        lines = done.stderr.splitlines()
        assert done.returncode == 1, lines
        assert lines[0] == "This cuts 2 of 2 established connections:"
        port = session.peer.getsockname()[1]
        assert lines[1] == f"  192.0.2.10:22 <- 203.0.113.66:{port}  <-- your own ssh session"
        assert lines[3].startswith("  192.0.2.10:22 <- 203.0.113.66:")
        assert "nothing is changed" in lines[-1]
        assert session.lives(5)
    done = guard.run(["env", session.variable, *IPSECFD, "apply", CLOSED, "--yes"], check=True)
    assert "your own ssh session" in done.stderr
    assert not session.lives(1)
    other.close()


def test_nothing_is_cut(lab: Lab, session: Session) -> None:
    """A candidate that leaves the connections alone is applied without a word."""
    daemon = assigned(lab)
    done = lab["guard"].run(["env", session.variable, *IPSECFD, "apply", OPEN], check=True)
    assert (done.stdout, done.stderr) == (f"applied: {OPEN}\n", "")
    assert session.lives(5)
    assert daemon.cli("confirm", check=False).returncode == 1


def test_candidate_is_compared_with_what_is_in_force(lab: Lab) -> None:
    """Not with what a file says by now; members of the group could ask as well."""
    daemon = assigned(lab)
    lab["guard"].path(OPEN).write_text(BLOCK_ALL)
    done = daemon.cli("policy", "diff", CLOSED)
    assert "  - permit    203.0.113.66 <-> me:22 tcp [Operators]\n" in done.stdout
    assert "  in tcp 203.0.113.66:40000 -> 192.0.2.10:22\n" in done.stdout
    assert "2001:db8::10" in done.stdout
