"""What a statement means for the IPsec commands of a script when it may or may not be run."""

from __future__ import annotations

from dataclasses import dataclass

from ipsecfd.policy.scripts.batch.nodes import Node
from ipsecfd.policy.scripts.batch.programs import label_of, split_program
from ipsecfd.policy.scripts.batch.script import Script, simple_commands


@dataclass(frozen=True, slots=True)
class Way:
    """How a script goes on behind a condition that only Windows can decide."""

    jump: int | None = None
    """The line it goes on with, counted from 0; None for the next statement."""
    differs: bool = False
    """Whether the IPsec commands that follow depend on the condition: then `jump` is the line that
    all ways come to, and None when there is none."""
    cost: int = 0
    """Lines that were looked at to find out."""


def way_behind(node: Node, behind: int, script: Script) -> Way:
    """How the script goes on behind a condition without IPsec commands of its own.

    `behind` is the line it goes on with, counted from 0, unless the statement jumps.
    It matters when a branch jumps to other commands than those that follow. A branch that leads to
    none is a guard: it is there for when something is wrong.
    """
    ways: set[int | None] = {behind}
    for one in simple_commands(node):
        name, rest = split_program(one.text)
        if name == "goto":
            if "\0" in rest:
                return Way(differs=True)  # nobody knows where to
            ways.add(script.label(label_of(rest), one.place.line - 1))
        elif name == "exit":
            ways.add(None)
    leading = {way for way in ways if way is not None and script.leads_to_ipsec(way)}
    if len({script.leads_to_change(way) for way in leading}) > 1:
        meeting, cost = script.meeting(sorted(leading))
        return Way(meeting, differs=True, cost=cost)
    if leading and behind not in leading:
        return Way(jump=min(leading))
    return Way()
