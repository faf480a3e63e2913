"""The commands that talk to the daemon: what they print, and how they fail."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ipsecfd.agent import client
from ipsecfd.agent.config import DEFAULT_SOCKET
from ipsecfd.agent.report import TrialReport
from ipsecfd.cli import live
from ipsecfd.cli.main import main
from ipsecfd.cli.status import status_lines
from ipsecfd.errors import IpsecfdError
from tests.unit.cli.fake_daemon import STATUS, FakeDaemon, ipsecfd

COMMANDS = [
    (["status"], "Status"),
    (["mode"], "GetMode"),
    (["reload"], "Reload"),
    (["stats"], "Stats"),
    (["stats", "filters"], "FilterStats"),
    (["flows"], "ListFlows"),
    (["shadow"], "GetShadow"),
    (["shadow", "/x.toml"], "StartShadow"),
    (["shadow", "off"], "StopShadow"),
    (["policy", "list"], "ListPolicies"),
    (["policy", "show"], "ShowPolicy"),
    (["apply", "/x.toml"], "Foresee AssignPolicy"),
    (["policy", "assign", "/x.toml"], "Foresee AssignPolicy"),
    (["policy", "assign", "Web server"], "Foresee AssignStored"),
    (["policy", "unassign"], "Foresee UnassignPolicy"),
    (["confirm"], "Confirm"),
    (["confirm", "--status"], "GetTrial"),
    (["rollback"], "Rollback"),
    (["policy", "resolve"], "ResolveNames"),
]


@pytest.mark.parametrize(("command", "methods"), COMMANDS)
def test_each_command_asks_and_prints(daemon: FakeDaemon, command: list[str], methods: str) -> None:
    """Exit status 0, something on stdout, and with --json something to parse."""
    for extra in ([], ["--json"], ["--socket", "/tmp/x"]):
        done = ipsecfd(*command, *extra)
        assert done.exit_code == 0, done.output
        assert done.stdout.strip()
        if "--json" in extra:
            json.loads(done.stdout)
    asked = methods.split()
    assert daemon.methods == asked * 3
    sockets = [DEFAULT_SOCKET, DEFAULT_SOCKET, Path("/tmp/x")]
    assert [one[0] for one in daemon.asked] == [one for one in sockets for _ in asked]


@pytest.mark.parametrize(
    ("command", "methods"), [one for one in COMMANDS if one[0] != ["policy", "list"]]
)
def test_each_refusal_is_exit_status_1(
    daemon: FakeDaemon,
    command: list[str],
    methods: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The reason is on stderr, line by line, and nothing on stdout: `policy list` alone has
    something to show all the same."""
    daemon.answers[methods.rsplit(maxsplit=1)[-1]] = client.ClientError(
        "first mistake\nsecond mistake"
    )
    monkeypatch.setattr("sys.argv", ["ipsecfd", *command])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 1
    assert capsys.readouterr() == ("", "ipsecfd: first mistake\nipsecfd: second mistake\n")


def test_no_reason_reaches_the_terminal_raw(
    daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a terminal would obey is escaped, also where a file's name is the reason."""
    daemon.answers["Reload"] = client.ClientError("/x\x1b[31m.toml: \rcannot be read")
    monkeypatch.setattr("sys.argv", ["ipsecfd", "reload"])
    with pytest.raises(SystemExit):
        main()
    assert capsys.readouterr().err == "ipsecfd: /x\\x1b[31m.toml: \\rcannot be read\n"


def test_mode_is_set_then_shown(daemon: FakeDaemon) -> None:
    """What is printed is what the daemon says afterwards."""
    assert ipsecfd("mode", "block").stdout == "block\n"
    assert [one[1:] for one in daemon.asked] == [
        ("Foresee", {"file": None, "name": None, "mode": "block", "session": ""}),
        ("SetMode", {"mode": "block", "confirm": None}),
        ("GetMode", {}),
    ]


def test_unknown_mode_is_a_usage_mistake(daemon: FakeDaemon) -> None:
    """Exit status 2, and the daemon is not asked."""
    assert ipsecfd("mode", "open").exit_code == 2
    assert daemon.asked == []


def test_assign_sends_an_absolute_path(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The daemon has another working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "web.toml").write_text("")
    ipsecfd("policy", "assign", "web.toml")
    assert daemon.asked[-1][2] == {"file": str(tmp_path / "web.toml"), "confirm": None}


def test_assign_says_what_the_service_cannot_see(
    daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that is there, and hidden from the service, gets a hint; no other one does."""
    path = tmp_path / "web.toml"
    path.write_text("")
    daemon.answers["AssignPolicy"] = client.ClientError(f"{path}: cannot be read: No such file")
    for hidden, hinted in ((tmp_path, True), (tmp_path / "other", False)):
        monkeypatch.setattr(live, "_HIDDEN", (str(hidden),))
        error = str(ipsecfd("policy", "assign", str(path)).exception)
        assert ("/etc/ipsecfd" in error) is hinted


def test_notes_go_to_stderr(daemon: FakeDaemon) -> None:
    """Scripts see "reloaded" on stdout; people see the notes as well."""
    done = ipsecfd("reload")
    assert done.stdout == "reloaded\n"
    assert done.stderr.startswith("note: exempt changed")


def test_status_fits_and_ends_with_the_warnings() -> None:
    """80 columns, and what matters most is where the eye ends."""
    lines = status_lines(STATUS, 80)
    assert max(map(len, lines)) <= 80
    assert lines[0] == "ipsecfd 0.1.0 is in SECURE mode"
    assert lines[-1] == "  ! and more"
    text = "\n".join(lines)
    for words in (
        "Web server",
        "1,234 filters",
        "1,234,567",
        "and 29 more",
        "12 when full",
        "nobody judges its packets",
        "14,312 drops not written",
        "policies: local 3, dynamic 1 rule",
        "domain       https://policies.example/web.toml",
        "last looked at 2026-01-02",
        "cache        on, 321 flows learnt",
        "8,765,432 packets (12.3 GB) decided by the kernel alone",
        "2 packets queued for want of room in a set",
        "2 warnings",
    ):
        assert words in text


@pytest.mark.parametrize(
    ("started_in", "words"),
    [
        ("permit", "this start was in permit mode, the next will be in stateful mode"),
        (None, "this start was closed by rules that were there, the next will be in stateful mode"),
    ],
)
def test_status_tells_this_start_from_the_next(started_in: str | None, words: str) -> None:
    """The start-up mode that was is not the one that will be."""
    lines = status_lines(replace(STATUS, started_in=started_in), 80)
    assert words in " ".join(" ".join(lines).split())


def test_slow_daemon(daemon: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits without a word; whoever is answered in time hears none."""
    assert ipsecfd("mode").stderr == ""
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 0.05)

    def slow() -> Iterator[str]:
        time.sleep(0.5)
        yield "secure"

    daemon.answers["GetMode"] = slow()
    done = ipsecfd("mode")
    assert "has not answered for 0.05 s: it is busy, or it hangs" in done.stderr
    assert done.stdout == "secure\n"


def test_status_says_why_the_mode_is_not_secure() -> None:
    """The reason stands right below the mode."""
    by_hand = replace(STATUS, mode="block", mode_reason="set by hand, until the next start")
    assert status_lines(by_hand, 80)[:2] == [
        "ipsecfd 0.1.0 is in BLOCK mode",
        "  set by hand, until the next start",
    ]


@pytest.mark.parametrize("reason", ["web.toml: mistake", "set by hand"])
def test_status_says_what_to_do_about_trouble(reason: str) -> None:
    """That what is assigned cannot be applied stands there in any mode, once, with a way out."""
    trouble = "web.toml: mistake"
    blocked = replace(STATUS, mode="block", mode_reason=reason, trouble=trouble, policies=[])
    lines = status_lines(blocked, 80)
    assert lines.count("  web.toml: mistake") == 1
    page = " ".join(" ".join(lines).split())
    assert "what is assigned cannot be applied: web.toml: mistake mend it" in page
    assert "unless a store is damaged, `ipsecfd policy assign` takes another policy" in page
    assert "`ipsecfd policy unassign` does without" in page
    assert "`ipsecfd mode permit` opens this host" in page  # a damaged store refuses all others
    assert "none: what is assigned cannot be applied" in page
    assert ("set by hand" in page) == (reason == "set by hand")


@pytest.mark.parametrize(
    ("started_in", "words"),
    [
        (None, "ipsecfd 0.1.0 is STARTING: until the policies are read, what held before does"),
        ("stateful", "ipsecfd 0.1.0 is in STATEFUL mode until the policies are read"),
    ],
)
def test_status_during_a_start(started_in: str | None, words: str) -> None:
    """It claims nothing that is not known yet."""
    found = replace(STATUS, starting=True, started_in=started_in, mode="stateful", policies=[])
    lines = status_lines(found, 80)
    assert lines[0] == words
    assert "nothing is filtered" not in " ".join(lines)
    assert "this start was" not in " ".join(lines)


@pytest.mark.parametrize(
    ("interval", "problem", "words"),
    [
        (0, None, "level 7, written at once, nothing lost"),
        (60, None, "level 7, written every 60 s, nothing lost"),
        (0, "Is a directory", "level 7, not written at present, nothing lost yet"),
        (60, "Is a directory", "level 7, not written at present, nothing lost yet"),
    ],
)
def test_status_says_how_the_log_is_written(interval: int, problem: str | None, words: str) -> None:
    """And never that it is while it cannot be."""
    log = replace(STATUS.log, interval=interval, problem=problem, lost_drops=0)
    assert f"log          {words}" in status_lines(replace(STATUS, log=log), 80)


def test_status_says_what_is_on_trial() -> None:
    """And for how long, where nobody misses it."""
    found = replace(STATUS, trial=TrialReport("mode block", 60, 41.7))
    assert status_lines(found, 80)[1] == (
        "  mode block is taken back in 42 s unless `ipsecfd confirm` is given"
    )


def test_policy_show_prints_rules_and_filters(daemon: FakeDaemon) -> None:
    """Filters as written, and what is special about a rule."""
    shown = ipsecfd("policy", "show").stdout
    assert "  Block: block, lan connections only, not active\n    as always\n" in shown
    assert "    me <-> any # all\n" in shown


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_policy_list_beside_a_damaged_store(daemon: FakeDaemon, options: list[str]) -> None:
    """Those in force are shown all the same: whoever mends it has to know them."""
    daemon.answers["ListPolicies"] = IpsecfdError("local.toml: damaged")
    done = ipsecfd("policy", "list", *options)
    assert "Web server" in done.stdout
    assert (str(done.exception), done.exit_code) == ("local.toml: damaged", 1)
    daemon.answers["ShowPolicy"] = client.ClientError("no daemon")
    assert ipsecfd("policy", "list", *options).stdout == ""
