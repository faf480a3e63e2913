"""What an import could not do, named by file and line."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Failure:
    """A line of a script or an export that failed or was not understood, and why."""

    file: str
    line: int
    """Counted from 1; 0 when the whole file is meant."""
    text: str
    """The line, or the offending part of it."""
    why: str
