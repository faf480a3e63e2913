"""`ipsecfd run`: the service itself, in the foreground."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ipsecfd.agent.systemd import NO_OTHER_TRY, is_manager
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.errors import ConfigurationError


def run(
    config: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Default: /etc/ipsecfd/ipsecfd.toml, if it is there."),
    ] = None,
    policy: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Enforce this policy, not the assigned one; may repeat."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only look for mistakes in the configuration.")
    ] = False,
) -> None:
    """Filter this host's packets until SIGTERM or Ctrl-C.

    SIGHUP reloads. At its end nothing is filtered any more; only a restart by
    systemd opens nothing.
    """
    if not check:
        from ipsecfd.agent.service import run as serve

        try:
            serve(config, policy or [])
        except ConfigurationError as error:
            if is_manager():
                error.status = NO_OTHER_TRY
            raise
        return
    from ipsecfd.agent.configurations import Configurations

    with usage_errors():
        if policy:
            raise UsageError("--check is about the configuration; policies: ipsecfd check FILE")
    Configurations(config).load_first()
    print("the configuration has no mistakes")
