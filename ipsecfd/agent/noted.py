"""That a policy is assigned, noted outside of `state_dir` for as long as the boot lasts.

So a `state_dir` that was lost is told from one that is new.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ipsecfd.kernel.expected import RUN, of_this_network


class Noted:
    """The note, for the network that this process is in: a file in /run that outlives the service.
    Where it cannot be written there is none: nothing but the knowledge of it depends on it."""

    def __init__(self, directory: Path = RUN) -> None:
        self._path = of_this_network("assigned", directory)

    def place(self) -> Path | None:
        """The `state_dir` that knows what is assigned; None if nothing is, as far as is noted."""
        try:
            return Path(os.fsdecode(self._path.read_bytes()))
        except OSError:
            return None

    def assigned(self, state_dir: Path) -> None:
        """Something is assigned, and this directory knows what."""
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            self._path.write_bytes(os.fsencode(state_dir))

    def forget(self) -> None:
        """Nothing is assigned any more, or it is about to be unknown to `state_dir`."""
        with contextlib.suppress(OSError):
            self._path.unlink()
