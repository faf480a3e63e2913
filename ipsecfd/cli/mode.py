"""`ipsecfd mode`: which mode the driver is in, and another one (spec 6)."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from ipsecfd.cli.foresight import look_ahead
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json
from ipsecfd.cli.trial import ConfirmOption, YesOption, trial_notes
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.cli.values import in_words, offered, one_of

_MODES: Final = ("permit", "block", "stateful", "secure")


def mode(
    new: Annotated[
        str | None,
        typer.Argument(
            metavar="MODE",
            help=f"{in_words(_MODES)}.",
            parser=one_of(_MODES),
            autocompletion=offered(_MODES),
        ),
    ] = None,
    confirm: ConfirmOption = None,
    yes: YesOption = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show the mode, or change it until the next start.

    permit    nothing is filtered

    block     nothing passes

    stateful  this host may speak first, others may answer

    secure    the policies decide
    """
    with usage_errors():
        if new is None and confirm is not None:
            raise UsageError("--confirm: only with a mode to change to")
    if new is not None:
        look_ahead(socket, mode=new, sure=yes or confirm is not None)
        ask(socket, "SetMode", mode=new, confirm=confirm)
        for note in trial_notes(confirm):
            print(f"note: {note}", file=sys.stderr)
    current = ask(socket, "GetMode")
    if as_json:
        print_json({"mode": current})
    else:
        print(current)
