"""Where statements of a batch file are run, and how they leave their place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipsecfd.policy.scripts.batch.limits import Stop
from ipsecfd.policy.scripts.batch.script import Script


class Jump(Exception):  # noqa: N818 - control flow, no error
    """A `goto`; without a line, the end of the file or subroutine it stands in."""

    def __init__(self, line: int | None) -> None:
        self.line = line


class Exit(Stop):
    """`exit`: the end of this cmd.exe with all its scripts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a statement is being run."""

    script: Script
    next_line: int
    """Where the script goes on behind it; counts from 0."""
    loops: Mapping[str, str]
    """The values of the loop variables around it."""
