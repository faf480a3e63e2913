"""The files of `exportpolicy` and `importpolicy`: our own TOML, or a script of netsh."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.draft import Draft

SCRIPTS: Final = (".txt", ".netsh")
"""What a file's name ends with that exportpolicy is to write for netsh -f."""


class PolicyFiles:
    """Reads and writes them for a netsh session, relative to the working directory."""

    def write(self, path: str, content: Content) -> None:
        """Write a store as a store's file, or as a netsh script by the name; raises IpsecfdError.

        What a script cannot say stands in it as remarks.
        """
        from ipsecfd.policy.export import export

        script = path.lower().endswith(SCRIPTS)
        exported = export(content, "netsh" if script else "toml")
        remarks = "".join(f"# {note}\n" for note in exported.notes)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(remarks + exported.text)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            raise IpsecfdError(f"{path}: cannot be written: {why}") from error

    def read(self, path: str, draft: Draft) -> None:
        """Add what a file of any kind holds; objects of the same name are replaced.

        Raises IpsecfdError and has changed nothing.
        """
        from ipsecfd.agent.domaintext import parse
        from ipsecfd.policy.names import Names
        from ipsecfd.policy.stores.policyfile import merge
        from ipsecfd.policy.text import read_bytes

        merge(draft, parse(read_bytes(Path(path)), path, Names(keep=False)))
