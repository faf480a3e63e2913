"""What bounds the run of a batch file, so that none can hang its reader; what is named of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

from ipsecfd.policy.scripts.batch.script import Script
from ipsecfd.policy.scripts.batch.variables import readable
from ipsecfd.policy.scripts.failure import Failure

MOST_STEPS: Final = 100_000
"""Commands and lines beyond those of the file itself; those of loops as often as they come."""
MOST_TEXT: Final = 32 << 20
"""Characters of all lines and commands after expansion."""
LONGEST_SHOWN: Final = 500
"""Characters of a line that a problem names."""
DEEPEST: Final = 40
"""Blocks, loops, conditions and calls inside one another."""


class Stop(Exception):  # noqa: N818 - control flow, no error
    """The end of everything: `exit`, or what cannot be followed any further."""


class Limits:
    """What a run has used up so far, and the problems that it met."""

    def __init__(self) -> None:
        self.problems: list[Failure] = []
        self._steps = 0
        self._text = 0
        self._depth = 0

    def allow(self, lines: int) -> None:
        """Count the lines of a file as free: however long it is, it may be run once."""
        self._steps -= lines

    def spend(self, script: Script, line: int, text: str, length: int) -> None:
        """Count a command or a line at this place, and its length once it is expanded.

        Raises Stop when it was one too many, which is then named.
        """
        self._steps += 1
        self._text += length
        if self._steps > MOST_STEPS or self._text > MOST_TEXT:
            why = f"the script runs more than {MOST_STEPS:,} commands, or too much text"
            self.name(script, line, text, why)
            raise Stop

    def name(self, script: Script, line: int, text: str, why: str) -> None:
        """Remember a problem with this text; lines count from 1."""
        text = readable(text).strip()
        if len(text) > LONGEST_SHOWN:
            text = f"{text[:LONGEST_SHOWN]}..."
        self.problems.append(Failure(script.file, line, text, why))

    @contextlib.contextmanager
    def inside(self, script: Script, line: int, cost: int = 1) -> Iterator[None]:
        """Count how deep statements are inside one another; Python's own stack has an end.

        Raises Stop when that is too deep, which is then named.
        """
        self._depth += cost
        try:
            if self._depth > DEEPEST:
                why = "expected fewer blocks and calls inside one another"
                self.name(script, line, script.lines[line - 1], why)
                raise Stop
            yield
        finally:
            self._depth -= cost
