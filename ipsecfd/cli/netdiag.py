"""`ipsecfd netdiag`: the IPSec test of Windows' netdiag (spec 8.5)."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from ipsecfd.cli.live import SocketOption, ask
from ipsecfd.cli.usage import UsageError, usage_errors

_IGNORED: Final = ("v", "l", "q", "fix", "dcaccountenum")
"""Switches that change nothing about this test."""


def netdiag(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SWITCH", help="/test:ipsec, and /debug for the filters as well."),
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Say which policy is assigned.

    With /debug also which filters the driver has.
    """
    from ipsecfd.agent.client import NotRunningError
    from ipsecfd.policy.netdiag import NetdiagView
    from ipsecfd.policy.netdiag import netdiag as text_of

    debug = False
    with usage_errors():
        for argument in arguments or ():
            switch = argument.lower().lstrip("/-")
            if switch == "debug":
                debug = True
            elif switch != "test:ipsec" and switch not in _IGNORED:
                raise UsageError(f"{argument}: expected /test:ipsec or /debug")
    try:
        print(ask(socket, "Netdiag", debug=debug))
    except NotRunningError:
        print(text_of(NetdiagView(running=False), debug))
        raise typer.Exit(1) from None
