"""`ipsecfd mode`: which mode the driver is in, and another one (spec 6)."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json

Mode = Literal["permit", "block", "stateful", "secure"]


def mode(
    new: Annotated[
        Mode | None,
        typer.Argument(
            metavar="MODE", help="permit, block, stateful or secure.", show_choices=False
        ),
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show the mode, or change it until the next start.

    permit    nothing is filtered

    block     nothing passes

    stateful  this host may speak first, others may answer

    secure    the policies decide
    """
    if new is not None:
        ask(socket, "SetMode", mode=new)
    current = ask(socket, "GetMode")
    if as_json:
        print_json({"mode": current})
    else:
        print(current)
