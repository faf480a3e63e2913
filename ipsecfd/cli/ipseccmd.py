"""`ipsecfd ipseccmd` and `ipsecfd ipsecpol`: the tools of Windows XP and 2000 (spec 8.4)."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ipsecfd.cli.live import ConfigOption, SocketOption
from ipsecfd.cli.script_file import script_text

ArgumentsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="SWITCH", help='As on Windows: -f "*=0:1434:UDP" -n BLOCK. -? helps.'),
]


def ipseccmd(
    arguments: ArgumentsArgument = None, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Make rules as ipseccmd of Windows XP does.

    With -w they go into a store; without, they are dynamic.
    """
    _run("ipseccmd", arguments or ["-?"], config, socket)


def ipsecpol(
    arguments: ArgumentsArgument = None, config: ConfigOption = None, socket: SocketOption = None
) -> None:
    """Make rules as ipsecpol of Windows 2000 does.

    With -w they go into a store; without, they are dynamic.
    """
    _run("ipsecpol", arguments or ["-?"], config, socket)


def _run(program: str, arguments: Sequence[str], config: Path | None, socket: Path | None) -> None:
    from ipsecfd.cli.administration import Administration
    from ipsecfd.policy.ipseccmd.commands import run

    with Administration(config, socket).workspace() as workspace:
        reply = run(
            arguments,
            workspace,
            program,
            read=script_text,
            confirm=_confirm if sys.stdin.isatty() else None,
        )
    if reply.text:
        print(reply.text, file=sys.stderr if reply.failed else sys.stdout)
    for note in reply.note.splitlines():
        print(f"note: {note}", file=sys.stderr)
    if reply.failed:
        raise typer.Exit(1)


def _confirm(question: str) -> bool:
    try:
        return input(f"{question} (y/n) ").strip().lower() in ("y", "yes")
    except (EOFError, KeyboardInterrupt):
        return False
