"""`ipsecfd export`: a store written back as TOML, as a netsh script or as ipseccmd commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Final

from ipsecfd.cli.live import ConfigOption
from ipsecfd.cli.values import choice
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.export import FORMS, Form
from ipsecfd.policy.export import export as written

PATIENCE_SECONDS: Final = 5.0
"""How long to wait for the daemon, which has nothing to do for this answer."""
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
    from ipsecfd.agent.client import ClientError, NotRunningError, call
    from ipsecfd.agent.config import load

    found = load(config)
    if config is not None:
        return found.state_dir
    try:
        return Path(call(found.control.socket, "GetStateDir", within=PATIENCE_SECONDS))
    except NotRunningError:
        return found.state_dir
    except ClientError as error:
        raise IpsecfdError(
            f"{error}; with --config nobody is asked where the stores are"
        ) from error
