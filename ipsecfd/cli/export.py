"""`ipsecfd export`: a store written back as TOML, as a netsh script or as ipseccmd commands."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

from ipsecfd.cli.live import ConfigOption, patience
from ipsecfd.cli.values import choice
from ipsecfd.policy.export import FORMS, Form
from ipsecfd.policy.export import export as written

_STORES = ("local", "persistent", "domain")


def export(
    store: Annotated[
        str,
        choice("--store", "STORE", _STORES),
    ] = "local",
    form: Annotated[
        Form,
        choice("--format", "FORMAT", FORMS),
    ] = "toml",
    config: ConfigOption = None,
) -> None:
    """Write a store to standard output, also for the tools of Windows.

    `ipsecfd import` reads it, too. What the format has no words for is said on standard error.
    """
    from ipsecfd.policy.model import Store
    from ipsecfd.policy.stores.host import Stores

    content = Stores(_state_dir(config)).read(Store[store.upper()])
    exported = written(content, form)
    sys.stdout.write(exported.text)
    for note in exported.notes:
        print(f"note: {note}", file=sys.stderr)


def _state_dir(config: Path | None) -> Path:
    """Where the stores are: as a configuration says that is named, else as the running daemon says,
    which may have another than the default one. Raises IpsecfdError."""
    from ipsecfd.agent.client import NotRunningError, call
    from ipsecfd.agent.config import load

    found = load(config)
    if config is None:
        socket = found.control.socket
        with contextlib.suppress(NotRunningError), patience(socket):
            return Path(call(socket, "GetDesk").state_dir)
    return found.state_dir
