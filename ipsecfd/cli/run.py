"""`ipsecfd run`: the service itself, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def run(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Default: /etc/ipsecfd/ipsecfd.toml, if it is there."),
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Enforce this policy, not the assigned one; may repeat."),
    ] = None,
) -> None:
    """Filter this host's packets until SIGTERM or Ctrl-C; SIGHUP reloads.

    At its end nothing is filtered any more; only a restart by systemd opens nothing.
    The exit status is 78 if the configuration has mistakes.
    """
    from ipsecfd.agent.service import run as serve

    serve(config, policy or [])
