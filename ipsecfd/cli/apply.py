"""`ipsecfd apply`: another policy in force, on trial if wanted; `policy assign` does it as well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipsecfd.cli.foresight import look_ahead
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_notes, visible_to_the_service
from ipsecfd.cli.trial import ConfirmOption, YesOption, trial_notes


def apply(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="A policy, or any script of the Windows tools."),
    ],
    confirm: ConfirmOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Make a file the assigned policy, now and at later starts.

    The same as `ipsecfd policy assign FILE`. Before, the connections that it
    would cut are listed. With --confirm it is taken back unless `ipsecfd
    confirm` comes in time.
    """
    path, notes = apply_file(file, socket, confirm=confirm, yes=yes)
    print_notes(notes, f"applied: {path}", as_json=as_json)


def apply_file(
    file: Path, socket: Path | None, *, confirm: int | None, yes: bool
) -> tuple[Path, list[str]]:
    """Assign a file; its absolute path, and notes. Raises IpsecfdError."""
    path = file.absolute()
    with visible_to_the_service(path):
        look_ahead(socket, file=str(path), sure=yes or confirm is not None)
        notes: list[str] = ask(socket, "AssignPolicy", file=str(path), confirm=confirm)
    return path, trial_notes(confirm) + notes
