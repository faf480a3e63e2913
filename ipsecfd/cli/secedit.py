"""`ipsecfd secedit /refreshpolicy machine_policy`: Windows 2000's refresh of domain policies."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ipsecfd.cli.live import SocketOption, ask


def secedit(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SWITCH", help="/refreshpolicy machine_policy"),
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Fetch the domain policy now, as `ipsecfd domain refresh` does."""
    words = [one.lower() for one in arguments or ()]
    if words not in (
        ["/refreshpolicy", "machine_policy"],
        ["/refreshpolicy", "machine_policy", "/enforce"],
    ):
        print("ipsecfd: expected secedit /refreshpolicy machine_policy", file=sys.stderr)
        raise typer.Exit(2)
    print(ask(socket, "RefreshDomain"))
