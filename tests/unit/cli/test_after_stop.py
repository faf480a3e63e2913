"""What becomes of the rules when the service has ended."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.agent.noted import Noted
from ipsecfd.cli.after_stop import Action, what_to_do
from ipsecfd.cli.main import app
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel import boot, rules
from ipsecfd.kernel.expected import Expected

UNIT = "ipsecfd.service"


@pytest.mark.parametrize(
    ("event", "job", "system", "result", "action"),
    [
        ("systemctl stop", "stop", "running", "success", Action.REMOVE),
        ("systemctl stop, other units failed", "stop", "degraded", "success", Action.REMOVE),
        ("systemctl stop while the machine boots", "stop", "starting", "success", Action.REMOVE),
        ("systemctl stop, and it had to be killed", "stop", "running", "timeout", Action.REMOVE),
        ("systemctl restart", "restart", "running", "success", Action.KEEP),
        ("systemctl stop, start at once", "start", "running", "success", Action.KEEP),
        ("kill PID: Restart=always starts it again", None, "running", "success", Action.KEEP),
        ("poweroff or reboot", "stop", "stopping", "success", Action.KEEP),
        ("systemctl stop in rescue mode", "stop", "maintenance", "success", Action.REMOVE),
        ("systemd does not answer sensibly", "stop", "", "success", Action.KEEP),
        ("a job nobody has heard of", "verify-active", "running", "success", Action.KEEP),
        ("kill -9", None, "running", "signal", Action.CLOSE),
        ("the watchdog bit", None, "running", "watchdog", Action.CLOSE),
        ("a start that fails", "start", "running", "exit-code", Action.CLOSE),
        ("a start that fails at boot", "start", "starting", "exit-code", Action.CLOSE),
        ("the same before basic.target", "start", "initializing", "exit-code", Action.CLOSE),
    ],
)
def test_only_a_stop_for_its_own_sake_opens(
    event: str, job: str | None, system: str, result: str, action: Action
) -> None:
    """The rules go with a stop that is no restart, shutdown or failure; doubt leaves them."""
    found, _ = what_to_do(job, system, result, "block", ever_assigned=True)
    assert action is found, event


@pytest.mark.parametrize(("job", "result"), [(None, "signal"), ("start", "exit-code")])
def test_failure_opens_where_the_configuration_says_so(job: str | None, result: str) -> None:
    """With on_failure = "permit" a failure removes the rules, a restart still does not."""
    action, _ = what_to_do(job, "running", result, "permit", ever_assigned=True)
    assert Action.REMOVE is action
    action, _ = what_to_do("restart", "running", "success", "permit", ever_assigned=True)
    assert Action.KEEP is action


def test_failure_before_any_policy_closes_nothing() -> None:
    """A first start that fails does not lock an administrator out of a host without a policy."""
    action, _ = what_to_do("start", "running", "exit-code", "block", ever_assigned=False)
    assert Action.KEEP is action


class Edges:
    """Stands in for systemctl and the kernel's rules."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.present = False
        self.booted: Mode | None = None
        self.config = tmp_path / "ipsecfd.toml"
        self.state_dir = tmp_path / "state"
        self.state_dir.mkdir()
        self.config.write_text(f'state_dir = "{self.state_dir}"\n')
        self._programs = tmp_path / "bin"
        self._programs.mkdir()
        self._monkeypatch = monkeypatch
        monkeypatch.setenv("PATH", f"{self._programs}:{os.environ['PATH']}")
        monkeypatch.setattr(rules, "present", lambda: self.present)
        monkeypatch.setattr(boot, "loaded", lambda: self.booted)
        monkeypatch.setattr(rules, "remove", lambda: self.done.append("remove"))
        self.place: Path | None = None
        monkeypatch.setattr(Noted, "place", lambda _: self.place)
        monkeypatch.setattr(Expected, "left", lambda _: None)
        monkeypatch.setattr(Expected, "ended", lambda _: self.done.append("expect"))
        monkeypatch.setattr(Expected, "forget", lambda _: self.done.append("forget"))
        monkeypatch.setattr(
            rules,
            "close",
            lambda config: self.done.append("close, routed too" if config.forward else "close"),
        )

    def systemctl(self, script: str) -> None:
        program = self._programs / "systemctl"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    def after_stop(self, result: str) -> str:
        self._monkeypatch.setenv("SERVICE_RESULT", result)
        outcome = CliRunner().invoke(app, ["after-stop", UNIT, "--config", str(self.config)])
        assert outcome.exit_code == 0, outcome.output
        return outcome.stderr


@pytest.fixture
def edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edges:
    return Edges(tmp_path, monkeypatch)


STOP_JOB = f"""
case $1 in
  is-system-running) echo running ;;
  list-jobs) echo '85 other.service restart running'; echo '86 {UNIT} stop running' ;;
esac"""
NO_JOB = "[ $1 = list-jobs ] || { echo degraded; exit 1; }"


def test_stop_job_of_this_unit_removes(edges: Edges) -> None:
    """The unit's own line of `systemctl list-jobs` counts."""
    edges.systemctl(STOP_JOB)
    assert "nothing is filtered" in edges.after_stop("success")
    assert edges.done == ["remove", "forget"]


def test_crash_with_rules_in_place_changes_nothing(edges: Edges) -> None:
    """The queueing rules of a crashed daemon drop everything already."""
    edges.systemctl(NO_JOB)
    edges.present = True
    (edges.state_dir / "assigned.json").write_text('{"assigned": "/etc/ipsecfd/web.toml"}')
    said = edges.after_stop("signal")
    assert "closed until ipsecfd runs again; to open the host: systemctl stop ipsecfd\n" in said
    assert edges.done == []


def test_failed_start_at_a_boot_closes(edges: Edges) -> None:
    """The start-up rules let packets pass that nobody judges: on_failure has the last word."""
    edges.systemctl(NO_JOB)
    edges.present, edges.booted = True, Mode.STARTUP_STATEFUL
    (edges.state_dir / "assigned.json").write_text('{"assigned": null}')
    edges.after_stop("exit-code")
    assert edges.done == ["close", "expect"]


def test_failed_start_closes_what_is_judged(edges: Edges) -> None:
    """Routed packets, too, where they are judged."""
    edges.systemctl(NO_JOB)
    edges.config.write_text(f'state_dir = "{edges.state_dir}"\nforward = true\n')
    (edges.state_dir / "assigned.json").write_text('{"assigned": null}')
    edges.after_stop("exit-code")
    assert edges.done == ["close, routed too", "expect"]


@pytest.mark.parametrize("memory", ['{"assigned": null}', "damaged"])
def test_failed_start_after_any_policy_closes(edges: Edges, memory: str) -> None:
    """Where no rules are left but a policy was once assigned, or may have been, all is dropped."""
    edges.systemctl(NO_JOB)
    (edges.state_dir / "assigned.json").write_text(memory)
    edges.after_stop("exit-code")
    assert edges.done == ["close", "expect"]


def test_failed_start_after_a_loss_closes(edges: Edges) -> None:
    """A state directory that lost what was assigned in this boot opens nothing."""
    edges.systemctl(NO_JOB)
    edges.place = edges.state_dir
    edges.after_stop("exit-code")
    assert edges.done == ["close", "expect"]


@pytest.mark.parametrize("text", ["profile = 5", "[[["])
def test_broken_configuration_counts_as_block(edges: Edges, text: str) -> None:
    """A configuration that says nothing of it opens nothing."""
    edges.systemctl(NO_JOB)
    edges.config.write_text(text)
    said = edges.after_stop("exit-code")
    assert "nothing is filtered" not in said
    assert "remove" not in edges.done


@pytest.mark.parametrize(
    ("text", "done"),
    [
        ('on_failure = "permit"', ["remove", "forget"]),
        ("forward = false", ["close", "expect"]),
        ("forward = 'yes'", ["close, routed too", "expect"]),
    ],
)
def test_rest_of_a_wrong_configuration_counts(edges: Edges, text: str, done: list[str]) -> None:
    """A mistake changes what the host is by no other key than its own."""
    edges.systemctl(NO_JOB)
    edges.config.write_text(f'profile = 5\nstate_dir = "{edges.state_dir}"\n{text}\n')
    (edges.state_dir / "assigned.json").write_text('{"assigned": null}')
    edges.after_stop("exit-code")
    assert edges.done == done


@pytest.mark.parametrize("script", ["echo 'Failed to connect to bus' >&2; exit 1", "sleep 9"])
def test_systemd_that_cannot_be_asked_leaves_the_rules(
    edges: Edges, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """No answer from systemd is doubt: the rules stay, and the journal is told how to open."""
    monkeypatch.setattr("ipsecfd.cli.after_stop._SYSTEMCTL_SECONDS", 0.2)
    edges.systemctl(script)
    said = edges.after_stop("success")
    assert "systemctl stop ipsecfd, or if that fails: nft delete table inet ipsecfd" in said
    assert edges.done == []


def test_no_systemctl_at_all_leaves_the_rules(
    edges: Edges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing systemctl is doubt, too."""

    def run(*_: object, **__: object) -> None:
        raise FileNotFoundError("systemctl")

    monkeypatch.setattr(subprocess, "run", run)
    edges.after_stop("success")
    assert edges.done == []
