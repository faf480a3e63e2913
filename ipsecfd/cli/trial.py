"""`ipsecfd confirm` and `ipsecfd rollback`: what becomes of a change made with `--confirm`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json

if TYPE_CHECKING:
    from ipsecfd.agent.report import TrialReport

_TIME: Final = re.compile(r"(\d{1,6})([smhd]?)", re.ASCII)
_DAY: Final = 86_400
_UNITS: Final = {"": 1, "s": 1, "m": 60, "h": 3600, "d": _DAY}


def _seconds(text: str) -> int:
    found = _TIME.fullmatch(text.strip().lower())
    seconds = int(found[1]) * _UNITS[found[2]] if found is not None else 0
    if not 1 <= seconds <= _DAY:
        raise typer.BadParameter(f"{text!r}: expected a time up to a day, such as 60, 60s or 2m")
    return seconds


ConfirmOption = Annotated[
    int | None,
    typer.Option(
        "--confirm",
        metavar="TIME",
        parser=_seconds,
        help="Take it back after so long (60, 2m) unless `ipsecfd confirm` comes in time.",
    ),
]
YesOption = Annotated[
    bool, typer.Option("--yes", "-y", help="Do not ask, even if this cuts your own ssh session.")
]


def confirm(
    status: Annotated[
        bool, typer.Option("--status", help="Only say what waits, and how long.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Keep the change that was made with --confirm.

    Otherwise the service takes it back in time, also when it was killed in
    between.
    """
    if not status:
        what = ask(socket, "Confirm")
        print_json({"confirmed": what}) if as_json else print(f"confirmed: {what}")
        return
    found: TrialReport | None = ask(socket, "GetTrial")
    if as_json:
        print_json(found)
    else:
        print("nothing is on trial" if found is None else trial_words(found))


def rollback(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Take the change back at once that was made with --confirm."""
    what = ask(socket, "Rollback")
    print_json({"taken_back": what}) if as_json else print(f"taken back: {what}")


def trial_words(found: TrialReport) -> str:
    """What is on trial, in a sentence."""
    return f"{found.what} is taken back in {found.left:.0f} s unless `ipsecfd confirm` is given"


def trial_notes(confirm: int | None) -> list[str]:
    """What to tell whoever made a change."""
    if confirm is None:
        return []
    return [f"this is taken back in {confirm} s unless `ipsecfd confirm` is given"]
