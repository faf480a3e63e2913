"""The commands that the documentation shows exist, and answer what it says they answer."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from ipsecfd.cli.main import app
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.ipseccmd.commands import run
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.scripts.importing import import_files
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace

ROOT = Path(__file__).parents[2]
DOCS = ["README.md", "docs/windows.md"]
WITH_COMMANDS = [*DOCS, "docs/operations.md"]

_FENCE = re.compile(r"^```(?P<info>[^\n]*)\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMAND = re.compile(r"^\$ (?P<line>(?:.*\\\n)*.*)\n(?P<output>(?:(?!\$ ).*\n)*)", re.MULTILINE)
_PLAIN = re.compile(r"^(?:sudo )?ipsecfd .*$", re.MULTILINE)
_INLINE = re.compile(r"`(ipsecfd [^`]+)`")
_CHANGING = re.compile(r"\{[0-9A-F-]{36}\}|\d+/\d+/\d{4} \d+:\d\d:\d\d [AP]M")
_WIDTH = re.compile(r" {2,}|-{3,}")  # of columns, which are as wide as the time of day is long


@dataclass(frozen=True)
class Shown:
    """A command as a page shows it, and what it is said to answer; None if that is left out."""

    line: str
    output: str | None

    @property
    def words(self) -> list[str]:
        words = shlex.split(self.line.replace("\\\n", " "), comments=True)
        return words[words.index("ipsecfd") + 1 :]


def shown(page: str) -> Iterator[Shown]:
    """The commands of ipsecfd in the blocks of a page, in order."""
    for fence in _FENCE.finditer((ROOT / page).read_text()):
        if fence["info"].split()[:1] not in ([], ["console"], ["sh"]):
            continue
        prompts = list(_COMMAND.finditer(fence["body"]))
        for one in prompts:
            if re.match(r"(sudo )?ipsecfd ", one["line"]):
                yield Shown(one["line"], one["output"])
        if not prompts:
            yield from (Shown(one[0], None) for one in _PLAIN.finditer(fence["body"]))


def inline(page: str) -> list[str]:
    """The commands of ipsecfd within the text of a page."""
    return _INLINE.findall(_FENCE.sub("", (ROOT / page).read_text()))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with the files that the pages show."""
    for page in DOCS:
        for fence in _FENCE.finditer((ROOT / page).read_text()):
            name = fence["info"].partition(" ")[2]
            if "." in name:
                (tmp_path / name).write_text(fence["body"])
            elif page == "README.md" and fence["info"] == "toml":
                (tmp_path / "web.toml").write_text(fence["body"])
                edited = fence["body"].replace("me:443 tcp", "me:8443 tcp")
                (tmp_path / "edited.toml").write_text(edited)
    (tmp_path / "typos.toml").write_text(
        'name = "Typos"\n[[rule]]\nname = "Web"\nfoo = 1\naction = "deny"\n'
        'filters = ["any -> me:80"]\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path


def parse(words: list[str]) -> None:
    """Have the program understand words, with all their options. Raises its UsageError."""
    command: Any = typer.main.get_command(app)
    context = typer.Context(command)
    while hasattr(command, "resolve_command"):
        _, command, words = command.resolve_command(context, words)
    command.make_context(command.name, words, parent=context)


def offline(words: list[str]) -> bool:
    """Whether a command needs neither root nor a running service."""
    return (
        words[0] in ("check", "explain", "replay")
        or (words[0] == "import" and "--dry-run" in words)
        or (words[:2] == ["policy", "diff"] and words[3].endswith(".toml"))
    )


def alike(expected: str, got: str) -> bool:
    """Whether two outputs are equal but for identities, times, and what "..." leaves out."""
    expected, got = (
        _WIDTH.sub(lambda run: run[0][:2], _CHANGING.sub("#", text)).strip()
        for text in (expected, got)
    )
    pieces = (re.escape(piece) for piece in re.split(r"^\.\.\.$", expected, flags=re.MULTILINE))
    return re.fullmatch(r"(?s:.*)".join(pieces), got) is not None


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_every_command_exists(page: str) -> None:
    """Each command in a block is one that the program understands."""
    commands = list(shown(page))
    assert len(commands) > 5
    for one in commands:
        parse(one.words)


@pytest.mark.parametrize("page", WITH_COMMANDS)
def test_commands_in_the_text_exist(page: str) -> None:
    """Each command within a sentence or a table begins as one of the program's."""
    commands = inline(page)
    assert len(commands) > 5
    for text in commands:
        words = re.sub(r"\[.*", "", text).split()[1:]
        command: Any = typer.main.get_command(app)
        while words and words[0].isalpha() and hasattr(command, "commands"):
            assert words[0] in command.commands, text
            command = command.commands[words.pop(0)]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("page", DOCS)
def test_offline_commands_answer_as_shown(page: str) -> None:
    """What check, explain and a dry run are said to print is what they print."""
    commands = [one for one in shown(page) if offline(one.words) and one.output is not None]
    assert len(commands) >= 3
    for one in commands:
        done = CliRunner().invoke(app, one.words)
        answer = done.output
        if isinstance(done.exception, IpsecfdError):
            answer += "".join(f"{line}\n" for line in str(done.exception).splitlines())
        assert alike(one.output or "", answer), f"{one.line}\n{answer}"


def test_windows_commands_answer_as_shown(folder: Path) -> None:
    """What netsh, ipseccmd and ipsecpol are said to print, one after the other, they print."""
    workspace = Workspace(lambda name: (), dynamic=DynamicDraft(), host="server1")
    tried = 0
    for one in shown("docs/windows.md"):
        program, *words = one.words
        if program == "import" and not offline(one.words):
            import_files([folder / name for name in words], workspace)
        elif program in ("ipseccmd", "ipsecpol"):
            tried += 1
            answer = run(words, workspace, program).text
            assert alike(one.output or "", answer), f"{one.line}\n{answer}"
        elif program == "netsh":
            tried += 1
            answer = netsh(words, workspace, folder)
            assert alike(one.output or "", answer), f"{one.line}\n{answer}"
    assert tried > 15


def netsh(words: list[str], workspace: Workspace, folder: Path) -> str:
    session = Session(workspace)
    if words[0] != "-f":
        return session.execute_arguments(words).text
    lines = (folder / words[1]).read_text().splitlines()
    return "\n".join(filter(None, (session.execute(line).text for line in lines)))
