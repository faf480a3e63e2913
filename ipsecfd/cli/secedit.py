"""`ipsecfd secedit /refreshpolicy machine_policy`: Windows 2000's refresh of domain policies."""

from __future__ import annotations

from typing import Annotated

import typer

from ipsecfd.cli.live import SocketOption, ask
from ipsecfd.cli.usage import UsageError, usage_errors


def secedit(
    arguments: Annotated[
        list[str] | None,
        typer.Argument(metavar="SWITCH", help="/refreshpolicy machine_policy"),
    ] = None,
    socket: SocketOption = None,
) -> None:
    """Fetch the domain policy now, as `ipsecfd domain refresh` does."""
    words = [one.lower() for one in arguments or ()]
    with usage_errors():
        if words not in (
            ["/refreshpolicy", "machine_policy"],
            ["/refreshpolicy", "machine_policy", "/enforce"],
        ):
            raise UsageError("expected secedit /refreshpolicy machine_policy")
    print(ask(socket, "RefreshDomain"))
