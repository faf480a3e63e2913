"""That a policy is assigned, noted outside of `state_dir` for as long as the boot lasts.

So a `state_dir` that was lost is told from one that is new.
"""

from __future__ import annotations

import os
from pathlib import Path

from ipsecfd.kernel.network_file import RUN, NetworkFile


class Noted:
    """The note, for the network that this process is in."""

    def __init__(self, directory: Path = RUN) -> None:
        self._file = NetworkFile("assigned", directory)

    def place(self) -> Path | None:
        """The `state_dir` that knows what is assigned; None if nothing is, as far as is noted."""
        place = self._file.read()
        return Path(os.fsdecode(place)) if place else None

    def assigned(self, state_dir: Path) -> None:
        """Something is assigned, and this directory knows what."""
        self._file.write(os.fsencode(state_dir))

    def forget(self) -> None:
        """Nothing is assigned any more, or it is about to be unknown to `state_dir`."""
        self._file.forget()
