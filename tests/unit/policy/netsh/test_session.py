"""Contexts, comments, help, and the end of a session (spec 8.1)."""

from __future__ import annotations

import pytest

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh.completion import complete
from ipsecfd.policy.netsh.contexts import DYNAMIC, STATIC
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.netsh.syntax import Command

from . import content, session


def prompts(*lines: str) -> list[str]:
    """The prompt behind each line, from the root on."""
    one = session("..", "..")
    found = []
    for line in lines:
        one.execute(line)
        found.append(one.prompt)
    return found


def test_ways_between_contexts() -> None:
    """A bare context name goes there, `..` up, pushd and popd there and back."""
    assert prompts("ipsec", "static", "..", "..", "..", "ipsec dynamic", "static", "exit") == [
        "netsh ipsec>",
        "netsh ipsec static>",
        "netsh ipsec>",
        "netsh>",
        "netsh>",
        "netsh ipsec dynamic>",
        "netsh ipsec static>",
        "netsh ipsec static>",
    ]
    assert prompts("ipsec", "pushd ipsec static", "pushd", "..", "popd", "popd", "popd") == [
        "netsh ipsec>",
        "netsh ipsec static>",
        "netsh ipsec static>",
        "netsh ipsec>",
        "netsh ipsec static>",
        "netsh ipsec>",
        "netsh ipsec>",
    ]


def test_a_script_of_netsh() -> None:
    """The shape of published scripts: comments, pushd, commands, popd, exit."""
    one = session("..", "..")
    replies = [
        one.execute(line)
        for line in (
            "# a comment",
            "   # another",
            "",
            "pushd ipsec static",
            "add policy name=P",
            "add policy name=P",
            "add filterlist L",
            "popd",
            "exit",
        )
    ]
    assert [reply.failed for reply in replies] == [*[False] * 5, True, False, False, False]
    assert [reply.done for reply in replies] == [*[False] * 8, True]
    assert list(content(one).filter_lists) == ["l"]


@pytest.mark.parametrize("line", ["exit", "bye", "QUIT", " quit "])
def test_ends(line: str) -> None:
    """exit, bye and quit end a session."""
    assert session().execute(line).done


def test_a_netsh_line_stands_alone() -> None:
    """A line that begins with netsh leaves the context and the session as they are."""
    one = session()
    for line in ("netsh ipsec dynamic", "netsh pushd ipsec", "netsh ..", "netsh exit", "netsh"):
        assert not one.execute(line).done
        assert one.prompt == "netsh ipsec static>"
    assert one.execute("netsh add policy x").failed


@pytest.mark.parametrize(
    ("line", "begins"),
    [
        ("exec f.txt", "netsh ipsec static>"),
        ("EXEC file=f.txt", "netsh ipsec static>"),
        ("ipsec exec f.txt", "netsh ipsec>"),
        ("ipsec dynamic exec f.txt", "netsh ipsec dynamic>"),
        ("netsh exec f.txt", "netsh>"),
        ('netsh -c "ipsec dynamic" exec f.txt', "netsh ipsec dynamic>"),
        ('netsh -r \\\\localhost -c "ipsec dynamic" exec f.txt', "netsh ipsec dynamic>"),
    ],
)
def test_exec_names_a_script(line: str, begins: str) -> None:
    """It is known in every context; its lines begin there, and share the store."""
    one = session("set store persistent")
    reply = one.execute(line)
    assert (reply.script, reply.failed, reply.text) == ("f.txt", False, "")
    inner = one.of_script()
    assert inner.prompt == begins
    inner.execute("ipsec static")
    inner.execute("set store local")
    assert inner.execute("exit").done
    assert (one.prompt, one.store) == ("netsh ipsec static>", Store.LOCAL)
    assert one.execute("add policy x").script == ""


def test_exec_needs_a_file() -> None:
    """It is named in the error, and help tells of it."""
    assert "needs file" in session().execute("exec").text
    assert "Runs the lines of a script" in session().execute("exec ?").text
    assert "exec" in session("..", "..").execute("help").text


@pytest.mark.parametrize(
    "line",
    [
        *("popd", "pushd nowhere", "pushd add", "exit now", ".. ..", "netsh -f x", "netsh -c add"),
        *("netsh -r host ipsec", "netsh -r", "netsh -c", "interface ip show config", "..\\x"),
    ],
)
def test_refused_ways(line: str) -> None:
    """What leads nowhere is refused, and the context stays."""
    one = session()
    assert one.execute(line).failed
    assert one.prompt == "netsh ipsec static>"


def test_an_abbreviation_shared_with_other_contexts() -> None:
    """Windows' other contexts count when a name is shortened, and are known not to be here."""
    one = session("..", "..")
    assert "interface" in one.execute("i static show all").text
    assert "only ipsec is here" in one.execute("advfirewall reset").text


@pytest.mark.parametrize("command", [*STATIC.commands, *DYNAMIC.commands], ids=lambda one: one.name)
def test_help_of_every_command(command: Command) -> None:
    """Each command says what it does, and explains each of its tags, in 80 columns."""
    where = "static" if command in STATIC.commands else "dynamic"
    text = session().execute(f"netsh ipsec {where} {command.name} ?").text
    assert command.about in text
    for tag in command.tags:
        assert tag.about
        assert f"  {tag.name} " in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("line", ["?", "help", "add ?", "add help", "help add", "ipsec static ?"])
def test_help_of_a_level(line: str) -> None:
    """Every level lists what can follow, a line each."""
    text = session().execute(line).text
    assert "rule" in text
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "where"),
    [
        (one, where)
        for where, context in (("static", STATIC), ("dynamic", DYNAMIC))
        for one in context.commands
        if one.example
    ],
)
def test_examples_are_understood(command: Command, where: str) -> None:
    """The example in a command's help is a command that netsh understands."""
    assert session().execute(f"netsh ipsec {where} {command.example}").understood


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["..", "add", "bye"]),
        ("de", ["delete"]),
        ("add f", ["filter", "filteraction", "filterlist"]),
        ("add filterlist ", ["name=", "description="]),
        ("add filterlist name=x ", ["description="]),
        ("set policy name=", ['name="Packet Filters"', "name=Other"]),
        ("set policy name=o", ["name=Other"]),
        ('set policy name="Pack', ['name="Packet Filters"']),
        ("set policy O", ["Other"]),
        ("add filter L any me prot", ["protocol="]),
        ("add filter L any me protocol=t", ["protocol=TCP"]),
        ("delete policy a", ["all"]),
        ("set store loc", ["location=", "local"]),
        ("set store location=p", ["location=persistent"]),
        ("netsh ipsec ", ["dump", "dynamic", "static"]),
        ("pushd ", ["ipsec", "static"]),
        ("nowhere ", []),
        ("add filter foo=", []),
    ],
)
def test_completion(text: str, words: list[str]) -> None:
    """The last word may become what fits there, names of the store included."""
    one = session('add policy "Packet Filters"', "add policy Other")
    found = complete(one, text)
    if text in ("", "pushd "):
        assert set(words) <= set(found)
    else:
        assert found == words


@pytest.mark.parametrize(
    "command",
    [
        *("static show all", "static show policy P", "static show filterlist all format=table"),
        *(
            "static show rule all P",
            "static show gpo",
            "dynamic show all",
            "dynamic show mmpolicy m",
        ),
        *("static show policy N", "static show rule R policy=N", "static show filterlist rule=N"),
        *(
            "static show filterlist N format=table",
            "dynamic show qmpolicy N",
            "dump",
            "static dump",
        ),
        *("dynamic dump", "static show rule id=2 policy=P", "static show policy level=much"),
    ],
)
def test_what_nobody_reads_only_fails(command: str) -> None:
    """In an import `show` prints nothing, and fails where it would."""
    loud = session("add policy P", "add filter L any me", "netsh ipsec dynamic add mmpolicy m")
    silent = session("add policy P", "add filter L any me", "netsh ipsec dynamic add mmpolicy m")
    silent.state.silent = True
    told, found = (one.execute(f"netsh ipsec {command}") for one in (loud, silent))
    assert (found.failed, found.text) == (told.failed, told.text if told.failed else "")


def test_completion_changes_nothing() -> None:
    """Asking for words runs nothing."""
    one: Session = session()
    complete(one, "add policy foo ")
    complete(one, "..")
    complete(one, "ipsec dynamic")
    assert one.prompt == "netsh ipsec static>"
    assert not content(one).policies
