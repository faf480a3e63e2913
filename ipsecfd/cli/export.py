"""`ipsecfd export`: a store written back as TOML, as a netsh script or as ipseccmd commands."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from ipsecfd.cli.live import ConfigOption
from ipsecfd.cli.usage import UsageError, usage_errors

_STORES = ("local", "persistent", "domain")


def export(
    store: Annotated[
        str, typer.Option("--store", metavar="STORE", help="local, persistent or domain.")
    ] = "local",
    form: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="toml, netsh or ipseccmd.")
    ] = "toml",
    config: ConfigOption = None,
) -> None:
    """Write a store to standard output, for `ipsecfd import` or for Windows' own tools.

    What the format has no words for is said on standard error.
    """
    from ipsecfd.policy.export import FORMS

    with usage_errors():
        if store not in _STORES:
            raise UsageError(f"--store {store}: expected local, persistent or domain")
        known = [one for one in FORMS if one == form]
        if not known:
            raise UsageError(f"--format {form}: expected toml, netsh or ipseccmd")
    from ipsecfd.agent.config import load
    from ipsecfd.policy.export import export as written
    from ipsecfd.policy.model import Store
    from ipsecfd.policy.stores.host import Stores

    content = Stores(load(config).state_dir).read(Store[store.upper()])
    exported = written(content, known[0])
    sys.stdout.write(exported.text)
    for note in exported.notes:
        print(f"note: {note}", file=sys.stderr)
