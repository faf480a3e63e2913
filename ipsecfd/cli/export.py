"""`ipsecfd export`: a store written back as TOML, as a netsh script or as ipseccmd commands."""

from __future__ import annotations

import sys
from typing import Annotated

from ipsecfd.cli.live import ConfigOption
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
    from ipsecfd.agent.config import load
    from ipsecfd.policy.model import Store
    from ipsecfd.policy.stores.host import Stores

    content = Stores(load(config).state_dir).read(Store[store.upper()])
    exported = written(content, form)
    sys.stdout.write(exported.text)
    for note in exported.notes:
        print(f"note: {note}", file=sys.stderr)
