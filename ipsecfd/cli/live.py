"""What all commands share that talk to the running daemon: options, the call, notes, JSON."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from ipsecfd.cli.known import host_config
from ipsecfd.errors import IpsecfdError

PATIENCE_SECONDS: Final = 5.0
"""How long nobody is told that there is no answer yet."""

_HIDDEN: Final = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What the unit hides from the service (ProtectHome=, PrivateTmp=)."""

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
    """Call a method of the running daemon; raises IpsecfdError.

    Where none runs, root is told what becomes of packets meanwhile.
    """
    from ipsecfd.agent.client import NotRunningError, call

    path = socket or host_config().control.socket
    try:
        with patience(path):
            return call(path, method, **parameters)
    except NotRunningError as error:
        if os.geteuid() != 0:
            raise
        from ipsecfd.cli.not_running import describe
        from ipsecfd.kernel.errors import KernelError

        with contextlib.suppress(KernelError):  # nft is missing: no rules, or nobody knows
            raise NotRunningError(describe(path)) from error
        raise


@contextlib.contextmanager
def patience(path: Path) -> Iterator[None]:
    """Say that the daemon is slow to answer, while somebody waits for it."""
    note = (
        f"note: the daemon at {path} has not answered for {PATIENCE_SECONDS:g} s: it is busy, or it"
        " hangs (`systemctl status ipsecfd`)"
    )
    timer = threading.Timer(PATIENCE_SECONDS, lambda: print(note, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def visible_to_the_service(path: Path) -> Iterator[None]:
    """Where the service cannot read a file that is hidden from it, say so; raises IpsecfdError."""
    try:
        yield
    except IpsecfdError as error:
        hidden = any(path.resolve().is_relative_to(one) for one in _HIDDEN)
        if hidden and "cannot be read" in str(error) and path.is_file():
            raise IpsecfdError(
                f"{error}; the service sees nothing of /home, /root and /tmp:"
                " put the file under /etc/ipsecfd"
            ) from error
        raise


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
