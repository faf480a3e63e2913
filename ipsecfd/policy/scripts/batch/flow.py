"""Where statements of a batch file are run, and how they leave their place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from ipsecfd.policy.scripts.batch.limits import Stop
from ipsecfd.policy.scripts.batch.nodes import Node, first_place
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
    behind: tuple[tuple[Sequence[Node], int, Mapping[str, str]], ...] = ()
    """What follows in chains and loops around it, from the innermost on: their parts, from which
    on they are still to come, and the values of the loop variables around them."""

    def before(self, parts: Sequence[Node], first: int, loops: Mapping[str, str]) -> Frame:
        """A frame for what these parts of a chain or loop follow, from the first on."""
        return replace(self, loops=loops, behind=((parts, first, self.loops), *self.behind))

    def rest(self, line: int) -> Iterator[tuple[Node, Mapping[str, str]]]:
        """What is still to come of the whole statement up to the end of a line."""
        for parts, first, loops in self.behind:
            for number in range(first, len(parts)):
                if first_place(parts[number]).line > line:
                    break
                yield parts[number], loops
