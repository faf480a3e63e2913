"""What all commands share that talk to the running daemon: options, the call, notes, JSON."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

SocketOption = Annotated[
    Path | None,
    typer.Option(
        "--socket", metavar="PATH", help="The daemon's control socket; default: the configured one."
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The configuration where no daemon runs; default: /etc/ipsecfd/ipsecfd.toml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def ask(socket: Path | None, method: str, **parameters: Any) -> Any:
    """Call a method of the running daemon; raises IpsecfdError."""
    from ipsecfd.agent.client import call

    return call(socket or _configured_socket(), method, **parameters)


def print_json(value: object) -> None:
    """Print a report, or a list of them."""
    print(json.dumps(value, default=asdict))


def print_notes(notes: list[str], done: str, *, as_json: bool) -> None:
    """Say what was done, and the daemon's notes on stderr."""
    if as_json:
        print_json({"done": done, "notes": notes})
        return
    for note in notes:
        print(f"note: {note}", file=sys.stderr)
    print(done)


def width() -> int:
    """Columns to write in: the terminal's, at most 100; 80 when piped."""
    return min(shutil.get_terminal_size().columns, 100)


def _configured_socket() -> Path:
    """Where the daemon's socket should be; the default if the configuration cannot be read."""
    from ipsecfd.agent.config import DEFAULT_SOCKET, load
    from ipsecfd.errors import IpsecfdError

    try:
        return load(None).control.socket
    except IpsecfdError:
        return DEFAULT_SOCKET
