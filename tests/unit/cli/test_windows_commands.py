"""netsh, ipseccmd, ipsecpol, netdiag, secedit and domain: what they keep, tell, print, return."""

from __future__ import annotations

import contextlib
import errno
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.agent import bootfile, client, dynamictext, state
from ipsecfd.agent.report import DeskReport, DomainReport, FileReport
from ipsecfd.agent.state import State
from ipsecfd.cli import administration, live
from ipsecfd.cli.administration import TURN_FILE, Administration
from ipsecfd.cli.domain import status_lines
from ipsecfd.cli.main import app
from ipsecfd.cli.netsh import Request, parse
from ipsecfd.cli.netsh_prompt import last_word
from ipsecfd.cli.usage import UsageError
from ipsecfd.kernel import boot
from ipsecfd.policy import durable
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores import properties
from ipsecfd.policy.stores.content import Content, StoredPolicy, new_guid
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.stores.host import Stores

SINCE = "2026-01-02T03:04:05+00:00"
DOMAIN = DomainReport("https://policies.example/x", "Web", True, True, None, None, SINCE, "")


class Host:
    """A host with its files in a directory; the service runs when `desk` is there."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.config = directory / "ipsecfd.toml"
        self.state_dir = directory / "state"
        self.config.write_text(
            f'state_dir = "{self.state_dir}"\n[control]\nsocket = "{directory}/sock"\n'
        )
        self.stores = Stores(self.state_dir)
        self.desk: DeskReport | None = None
        self.asked: list[str] = []
        self.notes: list[str] = []
        self.refusal: str | None = None

    def start(self) -> None:
        """From now on the service runs."""
        self.desk = DeskReport(
            str(self.state_dir),
            "linux",
            ["192.0.2.10"],
            *(7, 0, 3, "stateful", ["udp:0:68:inbound"]),
            *(1, 2, 3, 4, 5, 6, 7),
            100,
            dynamictext.render(DynamicContent()),
            [],
        )

    def call(self, _socket: Path, method: str, **parameters: Any) -> Any:
        """What the service answers."""
        if self.desk is None:
            raise client.NotRunningError("the daemon is not running")
        if method == "GetDesk":
            return self.desk
        self.asked.append(method)
        if self.refusal is not None:
            raise client.ClientError(self.refusal)
        if method == "SetDynamic":
            assert parameters["revision"] == self.desk.revision
            self.desk = replace(
                self.desk, revision=self.desk.revision + 1, dynamic=parameters["dynamic"]
            )
        return {
            "Netdiag": f"IP Security test, debug {parameters.get('debug')}",
            "RefreshDomain": "the domain policy is in force",
            "GetDomain": DOMAIN,
        }.get(method, self.notes)

    def run(self, command: str, *arguments: str, typed: str | None = None) -> Result:
        """Run a command; `typed` is its standard input."""
        options = ("--config", str(self.config)) if command in _CONFIGURED else ()
        return CliRunner().invoke(app, [command, *options, *arguments], input=typed)

    def static(self, *arguments: str) -> Result:
        """Run a netsh ipsec static command."""
        return self.run("netsh", "ipsec", "static", *arguments)

    @property
    def local(self) -> Content:
        """The local store."""
        return self.stores.read(Store.LOCAL)

    @property
    def dynamic(self) -> DynamicContent:
        """The service's dynamic rules."""
        assert self.desk is not None
        return dynamictext.parse(self.desk.dynamic)


_CONFIGURED = ("netsh", "ipseccmd", "ipsecpol")


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host on which no service runs."""
    host = Host(tmp_path)
    monkeypatch.setattr(client, "call", host.call)
    return host


# --- netsh: one command ---


def test_words_arrive_as_the_shell_split_them(host: Host) -> None:
    """Blanks, quote marks and Unicode in a value survive; blanks round = are allowed."""
    for words, name in (
        (["name=a b"], "a b"),
        (["name", "=", "c"], "c"),
        (["name=", "d e"], "d e"),
        (["f 'g'"], "f 'g'"),
        (["name=größe 漢字 — x"], "größe 漢字 — x"),
        (["name=" + "n" * 255], "n" * 255),
        (["--name"], "--name"),
    ):
        done = host.static("add", "policy", *words)
        assert (done.exit_code, done.output) == (0, ""), words
        assert name in [one.name for one in host.local.policies.values()]


def test_success_is_silent_and_kept(host: Host) -> None:
    """Without a service only the files change; nobody is told."""
    assert host.static("add", "policy", "name=x", "assign=y").output == ""
    assert host.local.assigned == "x"
    assert host.asked == []


@pytest.mark.parametrize("method", ["GetDesk", "StoresChanged"])
def test_a_slow_service(host: Host, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """Nobody waits for it without a word."""

    def slow(socket: Path, asked: str, **parameters: Any) -> Any:
        time.sleep(0.5 if asked == method else 0)
        return host.call(socket, asked, **parameters)

    host.start()
    monkeypatch.setattr(client, "call", slow)
    monkeypatch.setattr(live, "PATIENCE_SECONDS", 0.05)
    done = host.static("add", "policy", "name=x")
    assert (done.exit_code, done.stdout) == (0, "")
    assert "sock has not answered for 0.05 s: it is busy, or it hangs" in done.stderr


def test_failure_is_on_standard_output(host: Host) -> None:
    """Programs look for ERR in what netsh prints; the exit status is 1."""
    done = host.static("delete", "policy", "name=x")
    assert done.exit_code == 1
    assert done.stdout.startswith("ERR IPsec [05011] : ")
    assert done.stderr == ""


def test_running_service_is_told_of_a_change_only(host: Host) -> None:
    """A change is in force when the command returns; who only looks disturbs nobody."""
    host.start()
    host.notes = ["the domain policy replaces the local one"]
    done = host.static("add", "policy", "name=x")
    assert host.asked == ["StoresChanged"]
    assert (done.stdout, done.stderr) == (
        "",
        "note: the domain policy replaces the local one\n",
    )
    host.static("show", "policy", "all")
    host.static("add", "policy", "name=x")
    assert host.asked == ["StoresChanged"]


def test_notes_of_the_service_are_told_once(host: Host, capsys: pytest.CaptureFixture[str]) -> None:
    """At the prompt each line is a change of its own, and its note would come again and again."""
    host.start()
    administration = Administration(host.config)
    for notes in (["one"], ["one", "two"], ["one"]):
        host.notes = notes
        with administration.workspace() as workspace:
            workspace.stores[Store.LOCAL].add_policy(StoredPolicy(new_guid()))
    assert host.asked == ["StoresChanged"] * 3
    assert capsys.readouterr().err == "note: one\nnote: two\n"


def test_refusal_of_the_service_is_an_error(host: Host) -> None:
    """The store is changed, and the command says that it is not in force."""
    host.start()
    host.refusal = "persistent.toml: damaged"
    done = host.static("add", "policy", "name=x")
    assert done.exit_code == 1
    assert done.stdout.startswith("ERR IPsec [")
    assert done.stdout.endswith(
        " : What was changed is kept, but not in force: persistent.toml: damaged.\n"
    )
    assert list(host.local.policies) == ["x"]


def test_properties_are_set_whatever_is_wrong_with_policies(host: Host) -> None:
    """They are for the next start; what the service finds wrong elsewhere is a note."""
    host.start()
    host.refusal = "persistent.toml: damaged"
    done = host.run("netsh", "ipsec", "dynamic", "set", "config", "ipsecexempt", "value=0")
    assert done.exit_code == 0
    assert done.stdout == "The new value takes effect when ipsecfd is started again.\n"
    assert done.stderr == "note: persistent.toml: damaged\n"
    assert properties.read(host.state_dir).ipsecexempt == 0


def test_dynamic_rules_live_in_the_service(host: Host) -> None:
    """Without one they are refused with Windows' own number for that."""
    rule = ("add", "rule", "any", "me", "m", "actioninbound=block", "actionoutbound=permit")
    refused = host.run("netsh", "ipsec", "dynamic", *rule)
    assert (refused.exit_code, refused.stdout[:17]) == (1, "ERR Win32[01062] ")
    host.start()
    assert host.run("netsh", "ipsec", "dynamic", "add", "mmpolicy", "m").exit_code == 0
    assert host.run("netsh", "ipsec", "dynamic", *rule).output == ""
    assert [str(one.filter) for one in host.dynamic.rules.values()] == ["any <-> me"]
    assert host.asked == ["SetDynamic", "SetDynamic"]
    assert host.run("netsh", "ipsec", "dynamic", "delete", "all").exit_code == 0
    assert DynamicContent() == host.dynamic


def test_properties_are_kept_for_the_next_start(host: Host) -> None:
    """`set config` says when it takes effect, and the service can warn of it (T16)."""
    host.start()
    done = host.run("netsh", "ipsec", "dynamic", "set", "config", "ipsecexempt", "value=0")
    assert done.exit_code == 0
    assert "started again" in done.stdout
    assert properties.read(host.state_dir).ipsecexempt == 0
    assert host.asked == ["StoresChanged"]


def test_assignment_without_the_service_counts_for_the_next_start(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a policy was assigned, starts begin in stateful mode (spec 6.1), whoever assigned it."""
    monkeypatch.setattr(boot, "checked_ruleset", str)
    boot_file = host.state_dir / bootfile.FILE_NAME
    assert host.static("add", "policy", "p").output == ""
    assert not state.load(host.state_dir).ever_assigned
    assert not boot_file.exists()
    assert host.static("set", "policy", "p", "assign=yes").output == ""
    assert host.static("set", "policy", "p", "assign=no").output == ""
    assert state.load(host.state_dir) == State(ever_assigned=True, assigned=None)
    assert "stateful mode" in boot_file.read_text()


def test_boot_mode_without_the_service(host: Host) -> None:
    """Where none is set it is that of the next start, which remembers assignments (spec 6.1)."""

    def shown() -> str:
        lines = host.run("netsh", "ipsec", "dynamic", "show", "config").stdout.splitlines()
        return next(line.split()[-1] for line in lines if line.startswith("Boot Mode  "))

    assert shown() == "Permit"
    state.save(host.state_dir, None)
    assert shown() == "Stateful"
    host.config.write_text(f'{host.config.read_text()}[startup]\nmode = "block"\n')
    assert shown() == "Block"


def test_assigned_file_outlasts_an_assignment_without_the_service(host: Host) -> None:
    """What the service remembers of an assigned policy file is not overwritten."""
    state.save(host.state_dir, Path("/etc/ipsecfd/web.toml"))
    assert host.static("add", "policy", "p", "assign=yes").output == ""
    assert state.load(host.state_dir).assigned == Path("/etc/ipsecfd/web.toml")


def test_policy_of_a_file_is_shown(host: Host) -> None:
    """The service names the file, and the command reads it; one that went is an error."""
    host.start()
    assert host.desk is not None
    file = host.directory / "web.toml"
    rule = '[[rule]]\nname = "r"\naction = "block"\nfilters = ["me <-> any"]\n'
    file.write_text(f'name = "Web"\n{rule}')
    host.desk = replace(host.desk, files=[FileReport("Web", str(file))])
    assert f"Local Policy Name      : Web ({file})" in host.static("show", "gpoassigned").stdout
    show = ("netsh", "ipsec", "dynamic", "show", "rule")
    assert "Filter Name            : r\n" in host.run(*show).stdout
    file.unlink()
    assert f"ERR IPsec [05016] : {file}: cannot be read" in host.run(*show).stdout


@pytest.mark.parametrize(
    ("error", "user", "why"),
    [
        (errno.EACCES, 1000, "Permission denied: only root may change anything"),
        (errno.EROFS, 1000, "{}: nothing can be changed: Read-only file system"),
        (errno.EROFS, 0, "{}: nothing can be changed: Read-only file system"),
        (errno.ENOSPC, 0, "{}: nothing can be changed: No space left on device"),
        (errno.EPERM, 0, "{}: nothing can be changed: Operation not permitted"),
    ],
)
def test_why_nothing_can_be_changed(
    host: Host, monkeypatch: pytest.MonkeyPatch, error: int, user: int, why: str
) -> None:
    """The directory and the cause; rights are named to those who have none. One may look."""
    host.static("add", "policy", "name=x")

    @contextlib.contextmanager
    def refuse(*_: object) -> Iterator[None]:
        raise OSError(error, os.strerror(error))
        yield

    monkeypatch.setattr(durable, "locked", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    done = host.static("add", "policy", "name=y")
    assert done.exit_code == 1
    assert why.format(host.state_dir) in done.output
    assert "Policy Name" in host.static("show", "policy", "name=x").output
    assert [one.name for one in host.local.policies.values()] == ["x"]


def test_whose_turn_does_not_come(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody who could write looks at stores that somebody else is changing."""
    monkeypatch.setattr(administration, "PATIENCE", 0.1)
    host.state_dir.mkdir()
    with durable.locked(host.state_dir / TURN_FILE, 0.0):
        done = host.static("show", "all")
    assert f"{host.state_dir}: nothing can be changed: another process" in done.output


def test_damaged_store_hinders_no_other(host: Host) -> None:
    """Only commands on the damaged store fail, and it stays as it is."""
    host.static("add", "policy", "name=x")
    host.stores.path(Store.LOCAL).write_text("version = [")
    done = host.static("show", "policy", "all")
    assert done.exit_code == 1
    assert "local.toml" in done.stdout
    script = host.directory / "s.txt"
    script.write_text("ipsec static\nset store location=persistent\nadd policy name=y\n")
    assert host.run("netsh", "-f", str(script)).exit_code == 0
    assert list(host.stores.read(Store.PERSISTENT).policies) == ["y"]
    assert host.stores.path(Store.LOCAL).read_text() == "version = ["


def test_domain_copy_is_not_for_commands(host: Host) -> None:
    """It comes from its source, so what a command says of it would be lost."""
    done = host.run("ipseccmd", "-w", "DS", "-p", "x", "-r", "r", "-f", "*=0:80:TCP", "-n", "BLOCK")
    assert done.exit_code == 1
    assert "where it comes from" in done.stderr
    assert host.stores.read(Store.DOMAIN) == Content()


@pytest.mark.parametrize(
    "words",
    [
        ("exec", "inner.txt"),
        ("ipsec", "static", "exec", "inner.txt"),
        ("-c", "ipsec static", "exec", "inner.txt"),
        ("-f", "outer.txt"),
    ],
)
def test_exec_runs_a_script(
    host: Host, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one command, behind a context or in another script; a failing line is named, and the rest
    is done."""
    monkeypatch.chdir(host.directory)
    Path("outer.txt").write_text("exec inner.txt\nipsec static add policy c\n")
    Path("inner.txt").write_bytes(
        "ipsec static\nadd policy a\nadd policy a\nadd policy b\nexit\nadd policy d\n".encode(
            "utf-16"
        )
    )
    done = host.run("netsh", *words)
    assert done.exit_code == 1
    assert done.stdout.startswith("ERR IPsec [05015]")
    assert done.stderr == "inner.txt:3: add policy a\n"
    assert list(host.local.policies) == ["a", "b", *(["c"] if "-f" in words else [])]


def test_exec_of_what_cannot_be_run(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """No such file, no text, a script that runs itself: an error each, and it ends."""
    monkeypatch.chdir(host.directory)
    for name, text, why in (
        ("none.txt", b"", "none.txt: cannot be read: No such file or directory"),
        ("bytes.txt", b"\xff\xfe\x00", "bytes.txt: line 1: "),
        ("self.txt", b"ipsec static add policy a\nexec self.txt", "name one another"),
    ):
        if text:
            Path(name).write_bytes(text)
        done = host.run("netsh", "exec", name)
        assert done.exit_code == 1
        assert why in done.stdout
    assert list(host.local.policies) == ["a"]


def test_doubtful_filters_are_noted(host: Host) -> None:
    """On standard error, for it is done as it was said (X10)."""
    host.start()
    note = "TCP port 50 is not ESP, which is protocol 50 without ports\n"
    tags = ("srcaddr=any", "dstaddr=me", "protocol=TCP", "dstport=50")
    done = host.static("add", "filter", "filterlist=L", *tags)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"note: {note}")
    actions = ("actioninbound=block", "actionoutbound=block")
    done = host.run("netsh", "ipsec", "dynamic", "add", "rule", *tags, *actions)
    assert (done.exit_code, done.stdout, done.stderr) == (0, "", f"note: {note}")
    words = ("-w", "REG", "-p", "P", "-r", "R", "-f", "*=0:50:TCP", "*=0:80:TCP", "-n", "PASS")
    done = host.run("ipseccmd", *words)
    assert (done.exit_code, done.stderr) == (0, f'note: "*=0:50:TCP": {note}')
    file = host.directory / "s.txt"
    file.write_text("-u\n-f 0=*:51:TCP -n PASS\n")
    done = host.run("ipseccmd", "-file", str(file))
    assert done.stderr == (
        f'note: {file}:2: "0=*:51:TCP": TCP port 51 is not AH, which is protocol 51 without ports\n'
    )


def test_what_holds_for_a_session_is_lost_on_one_command(host: Host) -> None:
    """It says so; in a script there is nothing to say."""
    for command in ("set store location=persistent", "set batch mode=enable"):
        done = host.static(*command.split())
        assert (done.exit_code, done.stdout) == (0, "")
        word = " ".join(command.split()[:2])
        assert done.stderr == (
            f"note: {word} holds for one session, and this command was one: use netsh -f, or the"
            " prompt\n"
        )
        assert script(host, f"ipsec static {command}").output == ""
    assert host.static("set", "store", "local").output == ""
    assert host.static("set", "batch", "disable").output == ""


def test_only_the_command_for_the_domain_store_fails(host: Host) -> None:
    """It fails where it stands, with its line; what a script does to other stores is kept."""
    lines = ("add policy a", "set store domain", "add policy b", "show store", "set store local")
    done = script(host, "\n".join(f"ipsec static {one}" for one in (*lines, "add policy c")))
    assert done.exit_code == 1
    assert done.stdout.count("ERR IPsec") == 1
    assert "The domain policy is changed where it comes from" in done.stdout
    assert done.stderr.endswith("script.txt:3: ipsec static add policy b\n")
    assert list(host.local.policies) == ["a", "c"]
    assert host.stores.read(Store.DOMAIN) == Content()


def test_only_the_line_for_the_domain_store_fails(host: Host) -> None:
    """So it is in a file of ipseccmd."""
    file = host.directory / "s.txt"
    rule = "-r r -f *=0:80:TCP -n BLOCK"
    file.write_text(f"-w REG -p a {rule}\n-w DS -p b {rule}\n-w REG -p c {rule}\n")
    done = host.run("ipseccmd", "-file", str(file))
    assert done.exit_code == 1
    assert f"{file}:2: the domain policy is changed where it comes from" in done.stderr
    assert list(host.local.policies) == ["a", "c"]


# --- netsh: scripts ---


def script(host: Host, text: str | bytes) -> Result:
    """Run `netsh -f` on a file with this text."""
    path = host.directory / "script.txt"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return host.run("netsh", "-f", str(path))


def test_failing_line_does_not_stop_a_script(host: Host) -> None:
    """Each command stands alone; the exit status is 1 if any failed, and stderr says where."""
    done = script(
        host, "pushd ipsec static\nadd policy a\nadd policy a\n# c\nadd policy b\npopd\nexit\nfoo"
    )
    assert (done.exit_code, list(host.local.policies)) == (1, ["a", "b"])
    assert done.stdout.count("ERR") == 1
    assert done.stderr.endswith("script.txt:3: add policy a\n")


def test_script_is_one_change(host: Host) -> None:
    """One write and one word to the service, however long it is."""
    host.start()
    lines = "".join(f"add filter l 10.0.{n // 256}.{n % 256} me\n" for n in range(3000))
    assert script(host, f"ipsec static\n{lines}").exit_code == 0
    assert len(host.local.filter_lists["l"].filters) == 3000
    assert host.asked == ["StoresChanged"]


def test_static_and_dynamic_in_one_script(host: Host) -> None:
    """Stores first, then the dynamic rules."""
    host.start()
    assert script(host, "ipsec static\nadd policy a\nipsec dynamic\nadd mmpolicy m").exit_code == 0
    assert host.asked == ["StoresChanged", "SetDynamic"]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "utf-8"])
def test_script_of_any_encoding(host: Host, encoding: str) -> None:
    """Notepad writes UTF-16 and UTF-8 with a mark."""
    assert script(host, 'ipsec static\r\nadd policy "größe"\r\n'.encode(encoding)).exit_code == 0
    assert list(host.local.policies) == ["grösse"]


def test_script_that_is_not_there(host: Host) -> None:
    """One line that names it."""
    done = host.run("netsh", "-f", str(host.directory / "none"))
    assert (done.exit_code, done.stdout.count("\n")) == (1, 1)
    assert "No such file" in done.stdout


def test_context_for_a_script_or_a_command(host: Host) -> None:
    """-c says where the first line begins."""
    path = host.directory / "script.txt"
    path.write_text("add policy a\n")
    assert host.run("netsh", "-c", "ipsec static", "-f", str(path)).exit_code == 0
    assert host.run("netsh", "-c", "ipsec static", "add", "policy", "b").exit_code == 0
    assert list(host.local.policies) == ["a", "b"]
    wrong = host.run("netsh", "-c", "ipsec elsewhere", "add", "policy", "b")
    assert (wrong.exit_code, wrong.stdout[:4]) == (1, "ERR ")


def test_lines_from_standard_input(host: Host) -> None:
    """A pipe is a script."""
    done = host.run("netsh", typed="ipsec static\nadd policy a\nbye\nadd policy b\n")
    assert (done.exit_code, done.output, list(host.local.policies)) == (0, "", ["a"])
    assert host.run("netsh", "ipsec", "static", typed="").exit_code == 0


@pytest.mark.parametrize("words", [["ipsec", "static"], ["-c", "ipsec", "static"], ["ipsec"]])
def test_lines_from_standard_input_in_a_context(host: Host, words: list[str]) -> None:
    """They are run where the words behind netsh lead to, as on Windows."""
    lines = "static\n" * (words == ["ipsec"])
    done = host.run("netsh", *words, typed=f"{lines}add policy a\nadd policy a\nadd policy b")
    assert (done.exit_code, done.stdout.count("ERR IPsec")) == (1, 1)
    assert list(host.local.policies) == ["a", "b"]


def test_a_command_reads_no_standard_input(host: Host) -> None:
    """Only what leads to a context does."""
    assert host.run("netsh", "ipsec", "static", "add", "policy", "a", typed="x").exit_code == 0


def test_interrupted_script_keeps_what_was_done(host: Host) -> None:
    """Ctrl-C ends a script between two commands; what came before is kept, as on Windows."""
    code = (
        "import os, signal\n"
        "from ipsecfd.cli.main import main\n"
        "from ipsecfd.policy.netsh.session import Session\n"
        "execute = Session.execute\n"
        "def interrupted(session, line):\n"
        "    if line == 'add policy b': os.kill(os.getpid(), signal.SIGINT)\n"
        "    return execute(session, line)\n"
        "Session.execute = interrupted\n"
        "main()\n"
    )
    (host.directory / "s.txt").write_text("ipsec static\nadd policy a\nadd policy b\nadd policy c")
    done = subprocess.run(
        [
            *(sys.executable, "-c", code, "netsh", "--config", str(host.config)),
            *("-f", str(host.directory / "s.txt")),
        ],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 128 + signal.SIGINT
    assert done.stderr == "ipsecfd: interrupted after line 3\n"
    assert list(host.local.policies) == ["a", "b"]


def test_parallel_commands_lose_nothing(host: Host) -> None:
    """Commands that may change anything take turns."""
    command = [sys.executable, "-m", "ipsecfd", "netsh", "--config", str(host.config)]
    running = [
        subprocess.Popen([*command, "ipsec", "static", "add", "policy", f"name=p{number}"])
        for number in range(6)
    ]
    assert [one.wait(30) for one in running] == [0] * 6
    assert sorted(host.local.policies) == [f"p{number}" for number in range(6)]


@pytest.mark.parametrize(
    ("words", "request_"),
    [
        (["show", "all"], Request(words=["show", "all"])),
        (["-C", "ipsec static", "-f", "x"], Request("ipsec static", "x", [])),
        (["-r", "localhost", "-?"], Request(words=["-?"])),
        (["-r", r"\\LOCALHOST"], Request(words=[])),
    ],
)
def test_options_of_netsh(words: list[str], request_: Request) -> None:
    """They stand before the command."""
    assert parse(words) == request_


@pytest.mark.parametrize("words", [["-f"], ["-f", "x", "y"], ["-r", "dc1"], ["-a", "x"]])
def test_options_that_cannot_be(words: list[str], host: Host) -> None:
    """A file and a command, other computers, aliases: ERR and exit status 1 (spec 8.1)."""
    with pytest.raises(UsageError):
        parse(words)
    done = host.run("netsh", *words)
    assert (done.stdout.startswith("ERR "), done.exit_code) == (True, 1)


# --- files of exportpolicy ---


@pytest.mark.parametrize("name", ["out", "out.txt"])
def test_exported_policies_can_be_imported(host: Host, name: str) -> None:
    """As our TOML, or as a netsh script by the name; nobody else can read it."""
    path = host.directory / name
    host.static("add", "policy", "name=x", "description=d", "assign=y")
    host.static("add", "filter", "filterlist=l", "srcaddr=any", "dstaddr=me", "description=f")
    host.static("add", "filteraction", "name=a", "action=block")
    host.static("add", "rule", "name=r", "policy=x", "filterlist=l", "filteraction=a")
    before = host.local
    done = host.static("exportpolicy", f"file={path}")
    assert (done.exit_code, done.output) == (0, "")
    written = path if path.exists() else path.with_name(f"{name}.ipsec")
    assert written.stat().st_mode & 0o777 == 0o600
    for word in ("policy", "filterlist", "filteraction"):
        assert host.static("delete", word, "all").exit_code == 0
    assert host.static("importpolicy", f"file={path}").output == ""
    assert host.local.policies == before.policies
    assert host.local.filter_lists == before.filter_lists


def test_import_of_nonsense_changes_nothing(host: Host) -> None:
    """The error names the file."""
    path = host.directory / "x.ipsec"
    path.write_bytes(b"regf\0\0\0")
    done = host.static("importpolicy", f"file={path}")
    assert (done.exit_code, done.stdout[:4]) == (1, "ERR ")
    assert f"{path}: a registry hive, as Windows' exportpolicy writes it" in done.stdout
    assert host.local == Content()
    assert "cannot be read" in host.static("importpolicy", "file=/none/x").stdout
    assert "cannot be written" in host.static("exportpolicy", "file=/none/x").stdout


# --- ipseccmd and ipsecpol ---


@pytest.mark.parametrize("program", ["ipseccmd", "ipsecpol"])
def test_article_sequence(host: Host, program: str) -> None:
    """The commands of the Knowledge Base article, as a shell hands them over (spec 8.4)."""
    policy = ("-w", "REG", "-p", "Block UDP 1434 Filter")
    inbound = ("-r", "Block Inbound UDP 1434 Rule", "-f", "*=0:1434:UDP", "-n", "BLOCK", "-x")
    done = host.run(program, *policy, *inbound)
    assert (done.exit_code, done.stdout) == (0, "The command completed successfully.\n")
    assert host.local.assigned == "block udp 1434 filter"
    assert host.run(program, *policy, "-y").exit_code == 0
    assert host.local.assigned is None


def test_ipseccmd_errors_are_on_standard_error(host: Host) -> None:
    """With a hint for the article's own typing error; exit status 1."""
    done = host.run("ipsecpol", "-f", "*0=:1434:UDP", "-n", "BLOCK")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "did you mean 0=*:1434:UDP" in done.stderr


def test_ipseccmd_dynamic_rules(host: Host) -> None:
    """They go to the service, and -u takes them away."""
    assert host.run("ipseccmd", "-f", "[0+*]").exit_code == 1
    host.start()
    assert host.run("ipseccmd", "-f", "[0+*]").exit_code == 0
    assert len(host.dynamic.rules) == 1
    assert host.run("ipseccmd", "-u").exit_code == 0
    assert not host.dynamic.rules


def test_ipseccmd_runs_a_file(host: Host) -> None:
    """-file, in any encoding; one change."""
    host.start()
    path = host.directory / "f.txt"
    path.write_bytes("-w REG -p x -r r -f *=0:80:TCP -n BLOCK\r\n-w REG -p x -x".encode("utf-16"))
    assert host.run("ipseccmd", "-file", str(path)).exit_code == 0
    assert (host.local.assigned, host.asked) == ("x", ["StoresChanged"])


@pytest.mark.parametrize("arguments", [(), ("-?",)])
def test_ipseccmd_helps(host: Host, arguments: tuple[str, ...]) -> None:
    """-? and nothing at all print the usage."""
    done = host.run("ipseccmd", *arguments)
    assert (done.exit_code, done.stdout[:6]) == (0, "Usage:")


# --- netdiag, secedit, domain ---


def test_netdiag(host: Host) -> None:
    """The service knows; without one the test fails."""
    done = host.run("netdiag", "/test:ipsec")
    assert (done.exit_code, done.stdout.splitlines()[0][-6:]) == (1, "Failed")
    host.start()
    assert host.run("netdiag", "/test:IPSec", "/debug").stdout == "IP Security test, debug True\n"
    assert host.run("netdiag", "-test:ipsec", "/v").stdout == "IP Security test, debug False\n"
    assert host.run("netdiag", "/test:dns").exit_code == 2


def test_secedit_refreshes_the_domain_policy(host: Host) -> None:
    """Anything else of secedit is not here."""
    host.start()
    for more in ((), ("/enforce",)):
        done = host.run("secedit", "/refreshpolicy", "MACHINE_POLICY", *more)
        assert done.stdout == "the domain policy is in force\n"
    assert host.asked == ["RefreshDomain"] * 2
    assert host.run("secedit", "/refreshpolicy", "user_policy").exit_code == 2
    assert host.run("secedit").exit_code == 2


def test_domain_commands(host: Host) -> None:
    """Refresh and status, also as JSON."""
    host.start()
    assert host.run("domain", "refresh").stdout == "the domain policy is in force\n"
    assert "policies.example" in host.run("domain", "status", "--json").stdout
    assert "from the copy kept here" in host.run("domain", "status").stdout


def test_domain_status_fits() -> None:
    """80 columns, an unknown policy told in words."""
    lines = list(status_lines(replace(DOMAIN, known=False, copy=False, error="no " * 60), 80))
    assert max(map(len, lines)) <= 80
    assert lines[1] == "policy        nothing is known of it: the source was never reached"


# --- the prompt ---


@pytest.mark.parametrize(
    ("line", "begin"), [("", 0), ("ips", 0), ("ipsec st", 6), ('add policy name="a b', 11)]
)
def test_last_word(line: str, begin: int) -> None:
    """Blanks in quotes do not end a word."""
    assert last_word(line) == begin


def test_prompt_in_a_terminal(host: Host) -> None:
    """The context stands in the prompt, the tabulator completes, each line is kept at once; a
    script is one line, and leaves the context as it is."""
    (host.directory / "s.txt").write_text("add policy name=first\n..\ndynamic\n")
    leader, follower = pty.openpty()
    shell = subprocess.Popen(
        [sys.executable, "-m", "ipsecfd", "netsh", "--config", str(host.config)],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**os.environ, "TERM": "dumb"},
    )
    os.close(follower)
    try:
        assert terminal(leader, "netsh>")
        for typed, expected in (
            ("ipsec static\n", "netsh ipsec static>"),
            (f"exec {host.directory}/s.txt\n", "netsh ipsec static>"),
            ("delete pol\tname=fi\t\n", "netsh ipsec static>"),
            ("set batch mode=enable\n", "netsh ipsec static>"),
            ("add policy name=second\n", "netsh ipsec static>"),
        ):
            os.write(leader, typed.encode())
            assert terminal(leader, expected), typed
            if "exec" in typed:
                assert list(host.local.policies) == ["first"]
        assert list(host.local.policies) == []
        os.write(leader, b"set batch mode=disable\n")
        assert terminal(leader, "netsh ipsec static>")
        assert list(host.local.policies) == ["second"]
        os.write(leader, b"bye\n")
        assert shell.wait(10) == 0
    finally:
        shell.kill()
        shell.wait()
        os.close(leader)


def terminal(leader: int, expected: str) -> bool:
    """Whether the terminal shows this at its end within ten seconds."""
    shown = b""
    while select.select([leader], [], [], 10)[0]:
        shown += os.read(leader, 4096)
        if shown.decode(errors="replace").rstrip().endswith(expected):
            return True
    return False
