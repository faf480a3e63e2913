"""What a batch file gives: commands about IPsec policies, and what could not be followed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from ipsecfd.policy.scripts.batch.programs import Program
from ipsecfd.policy.scripts.failure import Failure


@dataclass(frozen=True, slots=True)
class Command:
    """A command about IPsec policies, fully expanded."""

    file: str
    line: int
    column: int
    """Where it begins in its file; both count from 1."""
    program: Program
    arguments: str
    """What stands behind the program's name; the whole command for REG."""
    text: str
    """The whole command."""
    certain: bool = True
    """Whether it is known to be run; what stops the service is told when it is not, too."""


class Files(Protocol):
    """The files that a script may name: those next to it, and those it writes itself."""

    def read(self, name: str) -> str | None:
        """The text of a file; None when it is not at hand."""

    def write(self, name: str, text: str, *, append: bool) -> None:
        """Keep a line that the script writes to a file, for commands that read it."""

    def delete(self, name: str) -> None:
        """Delete a file, or all that a name with * or ? stands for."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a script besides its commands."""

    problems: tuple[Failure, ...]
    """What could not be expanded or understood."""
    ignored: int
    """Commands that have nothing to do with IPsec policies."""


Execute = Callable[[Command], bool | None]
"""Carries out a command and says whether it succeeded on Windows, as `&&` and `errorlevel` need to
know; None where only Windows knows."""
