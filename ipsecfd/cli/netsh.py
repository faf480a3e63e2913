"""`ipsecfd netsh`: the netsh of Windows, as far as it is about IPsec (spec 8.1 to 8.3)."""

from __future__ import annotations

import socket as sockets
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ipsecfd.cli.live import ConfigOption, SocketOption
from ipsecfd.cli.netsh_script import Scripts, interruptible, say
from ipsecfd.cli.script_file import script_text
from ipsecfd.cli.usage import UsageError
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.cli.administration import Administration
    from ipsecfd.policy.netsh.session import Session

PASS_THROUGH: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""The words of Windows' tools are theirs; only what stands before the first is ours."""

_HERE: Final = ("", ".", "localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line of netsh asks for."""

    context: str = ""
    """-c: where to begin."""
    script: str | None = None
    """-f: the file to run."""
    words: Sequence[str] = ()
    """A single command; without it and without a script, lines come from standard input, and so
    where it only leads to a context."""


def netsh(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD",
            help="As on Windows: [-c CONTEXT] [-f FILE], or a command, as ipsec static add policy"
            " name=x. Without, or with a context alone: lines from standard input, or a prompt.",
        ),
    ] = None,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Run netsh commands of the contexts ipsec static and ipsec dynamic.

    Exit status 1 if any fails; its error is on standard output and begins
    with ERR, as on Windows. What a script changes is kept when it ends,
    also by Ctrl-C, as far as it came.
    """
    from ipsecfd.policy.netsh.errors import as_text

    try:
        failed = _run(parse(arguments or ()), config, socket)
    except IpsecfdError as error:
        print(as_text(error))
        failed = True
    if failed:
        raise typer.Exit(1)


def parse(arguments: Sequence[str]) -> Request:
    """The program's own options, which stand before the command. Raises UsageError."""
    context, script = "", None
    rest = list(arguments)
    while rest and rest[0].lower() in ("-c", "-f", "-r", "-a", "-u", "-p"):
        option = rest.pop(0).lower()
        if not rest:
            raise UsageError(f"{option}: expected a value behind it")
        value = rest.pop(0)
        if option == "-c":
            context = value
        elif option == "-f":
            script = value
        elif option != "-r":
            raise UsageError(f"{option} {value}: expected -c, -f, or a command")
        elif value.lower().strip("\\") not in (*_HERE, sockets.gethostname().lower()):
            raise UsageError(f"-r {value}: netsh works on this host only; use ssh for others")
    if script is not None and rest:
        raise UsageError(f"{rest[0]}: expected nothing behind -f FILE")
    return Request(context, script, rest)


def _run(request: Request, config: Path | None, socket: Path | None) -> bool:
    """Do it; whether any command failed."""
    from ipsecfd.cli.administration import Administration

    host = Administration(config, socket)
    if request.script is not None:
        return _run_script(host, request, script_text(Path(request.script)), request.script)
    if request.words:
        return _run_command(host, request)
    return _run_lines(host, request.context)


def _run_lines(host: Administration, context: str) -> bool:
    """Run those of standard input, or ask for them; whether any failed."""
    if sys.stdin.isatty():
        from ipsecfd.cli.netsh_prompt import prompt

        return prompt(host, context)
    from ipsecfd.policy.text import LARGEST, TOO_LARGE

    # All of it first: nobody else is kept waiting for a slow writer.
    text = sys.stdin.read(LARGEST + 1)
    if len(text) > LARGEST:
        raise UsageError(f"standard input: {TOO_LARGE}")
    return _run_script(host, Request(context), "\n".join(text.splitlines()), "")


def _run_command(host: Administration, request: Request) -> bool:
    with _session(host, request) as session, interruptible() as interrupted:
        before = session.context
        reply = session.execute_arguments(request.words)
        scripts = Scripts(interrupted)
        scripts.follow(session, reply)
    say(reply)
    _end_if(interrupted)
    if not reply.script and (note := _without_effect(session)):
        print(f"note: {note}", file=sys.stderr)
    if session.context is before:
        return scripts.failed
    return _run_lines(host, session.context.path) or scripts.failed


def _without_effect(session: Session) -> str:
    """What is to be said of a single command that only commands behind it could notice."""
    from ipsecfd.policy.model import Store

    word = "set store" if session.store is not Store.LOCAL else "set batch" if session.batch else ""
    if not word:
        return ""
    return f"{word} holds for one session, and this command was one: use netsh -f, or the prompt"


def _run_script(host: Administration, request: Request, text: str, name: str) -> bool:
    with _session(host, request) as session, interruptible() as interrupted:
        scripts = Scripts(interrupted)
        scripts.run(session, text, name)
    _end_if(interrupted)
    return scripts.failed


def _end_if(interrupted: Sequence[int]) -> None:
    if interrupted:
        raise typer.Exit(128 + interrupted[0])


@contextmanager
def _session(host: Administration, request: Request) -> Iterator[Session]:
    from ipsecfd.cli.policy_files import PolicyFiles
    from ipsecfd.policy.netsh.session import Session

    with host.workspace() as workspace:
        session = Session(workspace, PolicyFiles())
        session.begin(request.context)
        yield session
