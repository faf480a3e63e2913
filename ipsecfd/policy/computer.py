"""Which names of a computer mean this one, the only one that commands work on (spec 8.4)."""

from __future__ import annotations

from typing import Final

_HERE: Final = ("", ".", "localhost", "127.0.0.1")


def is_this_computer(name: str, host: str) -> bool:
    r"""Whether a name, perhaps with `\\` before it, is that of the computer named `host`."""
    own = host.lower()
    return name.lstrip("\\").lower() in (*_HERE, own, own.partition(".")[0])
