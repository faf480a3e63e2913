"""`ipsecfd netsh`: the netsh of Windows, as far as it is about IPsec (spec 8.1 to 8.3)."""

from __future__ import annotations

import signal
import socket as sockets
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ipsecfd.cli.live import ConfigOption, SocketOption
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.cli.administration import Administration
    from ipsecfd.policy.netsh.session import Session
    from ipsecfd.policy.reply import Reply

PASS_THROUGH: Final = {"ignore_unknown_options": True, "allow_interspersed_args": False}
"""The words of Windows' tools are theirs; only what stands before the first is ours."""

_HERE: Final = ("", ".", "localhost", "127.0.0.1")


class UsageError(IpsecfdError):
    """Options of netsh that make no sense."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line of netsh asks for."""

    context: str = ""
    """-c: where to begin."""
    script: str | None = None
    """-f: the file to run."""
    words: Sequence[str] = ()
    """A single command; without it and without a script, lines come from standard input."""


def netsh(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="WORD",
            help="As on Windows: [-c CONTEXT] [-f FILE], or a command, as ipsec static add policy"
            " name=x. Without, lines from standard input, or a prompt.",
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
    except UsageError as error:
        print(f"ipsecfd: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
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
        elif option != "-r" or value.lower().strip("\\") not in (
            *_HERE,
            sockets.gethostname().lower(),
        ):
            raise UsageError(f"{option} {value}: expected -c or -f; netsh works on this host only")
    if script is not None and rest:
        raise UsageError(f"{rest[0]}: expected nothing behind -f FILE")
    return Request(context, script, rest)


def _run(request: Request, config: Path | None, socket: Path | None) -> bool:
    """Do it; whether any command failed."""
    from ipsecfd.cli.administration import Administration

    host = Administration(config, socket)
    if request.script is not None:
        lines = _text(request.script).split("\n")
        return _run_script(host, request, enumerate(lines, 1), request.script)
    if request.words:
        return _run_command(host, request)
    if sys.stdin.isatty():
        from ipsecfd.cli.netsh_prompt import prompt

        return prompt(host, request.context)
    # All of it first: nobody else is kept waiting for a slow writer.
    return _run_script(host, request, enumerate(sys.stdin.read().splitlines(), 1), "")


def _run_command(host: Administration, request: Request) -> bool:
    with _session(host, request) as session:
        reply = session.execute_arguments(request.words)
        entered = not reply.text and not reply.failed and not reply.done
        entered &= session.context.path != request.context and bool(session.context.path)
    say(reply)
    if entered and sys.stdin.isatty():
        from ipsecfd.cli.netsh_prompt import prompt

        return prompt(host, session.context.path)
    return reply.failed


def _run_script(
    host: Administration, request: Request, lines: Iterable[tuple[int, str]], name: str
) -> bool:
    failed = False
    with _session(host, request) as session, _interruptible() as interrupted:
        for number, line in lines:
            reply = session.execute(line)
            say(reply)
            if reply.failed:
                failed = True
                if name:
                    print(f"{name}:{number}: {line.strip()}", file=sys.stderr)
            if reply.done:
                break
            if interrupted:
                print(f"ipsecfd: interrupted after line {number}", file=sys.stderr)
                break
    if interrupted:
        raise typer.Exit(128 + interrupted[0])
    return failed


@contextmanager
def _session(host: Administration, request: Request) -> Iterator[Session]:
    from ipsecfd.cli.policy_files import PolicyFiles
    from ipsecfd.policy.netsh.session import Session

    with host.workspace() as workspace:
        session = Session(workspace, PolicyFiles())
        enter(session, request.context)
        yield session


def enter(session: Session, context: str) -> None:
    """Go to a context by its name. Raises CommandError."""
    from ipsecfd.policy.netsh.errors import Code, CommandError

    reply = session.execute(context)
    if reply.failed or reply.text:
        raise CommandError(Code.COMMAND, f'-c {context}: expected a context, as -c "ipsec static"')


def say(reply: Reply) -> None:
    """Print an answer, if there is one."""
    if reply.text:
        print(reply.text)


def _text(path: str) -> str:
    """The text of a script of any encoding. Raises IpsecfdError."""
    from ipsecfd.policy.scripts.encoding import EncodingError, decode

    try:
        return decode(Path(path).read_bytes())
    except EncodingError as error:
        raise IpsecfdError(f"{path}: line {error.line}: {error.why}") from error
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise IpsecfdError(f"{path}: cannot be read: {why}") from error


@contextmanager
def _interruptible() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of ending in the middle of a command."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: seen.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
