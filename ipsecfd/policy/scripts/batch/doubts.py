"""How a script goes on behind a statement that may or may not be run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import TypeAlias

from ipsecfd.policy.scripts.batch.nodes import Node, simple_commands
from ipsecfd.policy.scripts.batch.programs import split_program
from ipsecfd.policy.scripts.batch.script import Script

Lines: TypeAlias = AbstractSet[int | None]
"""Lines that may come next, counted from 0, the end included; None for one that is not known."""


@dataclass(frozen=True, slots=True)
class Way:
    """Where a script goes on elsewhere than with its next statement."""

    line: int
    """Counted from 0; the end of the script for none."""
    passed: Sequence[int] = ()
    """The lines that are perhaps done before it comes there."""
    known: bool = True
    """Whether it is known where the statement may jump to."""


def targets(node: Node, script: Script, expand: Callable[[str], str]) -> set[int | None]:
    """The lines that a statement may jump to; `expand` is for the text of its commands."""
    found: set[int | None] = set()
    for one in simple_commands(node):
        name, rest = split_program(expand(one.text))
        if name == "exit":
            found.add(script.end)
        elif name == "goto":
            found.add(script.target(rest, one.place.line - 1))
    return found


def is_guard(jumps: Lines, behind: int, script: Script, *, called: bool) -> bool:
    """Whether a jump only leaves the script for when something is wrong: it is never gone.

    It leads to no IPsec command, but the line behind it does; or neither does, and no caller waits
    for what the script leaves behind.
    """
    if None in jumps or any(one is not None and script.leads_to_ipsec(one) for one in jumps):
        return False
    return script.leads_to_ipsec(behind) or not called


def leaves_upon_success(jumps: Lines, behind: int, script: Script, *, success: bool | None) -> bool:
    """Whether a command that succeeds is the end of all IPsec commands: what follows when it fails
    may be there to take back what was done before it.

    `success` says whether the jump is for when a command succeeds, or fails; None for neither.
    """
    if success is None or None in jumps:
        return False
    after_success = {one for one in jumps if one is not None} if success else {behind}
    return not any(map(script.leads_to_ipsec, after_success))


def way_behind(
    jumps: Lines, goes_on: Lines, script: Script, *, ipsec: bool, called: bool, every: bool = False
) -> Way | None:
    """How the script goes on when it may or may not jump to any of some lines; None as if not.

    `goes_on` are the lines that come next when it does not; none where it jumps in any case.
    `ipsec` says whether IPsec commands come before them, and `called` whether a caller waits for
    the script to come back.

    Of several ways that lead to IPsec commands none is taken: the script goes on where all of them
    come together. Where only values are made for a caller, every way is one of them, and so it is
    with `every`.
    """
    lines = {one for one in jumps | goes_on if one is not None}
    if None in jumps | goes_on:
        return Way(script.end, range(script.end), known=False)
    if every:
        return Way(*script.meeting(lines))
    leading = {one for one in lines if script.leads_to_ipsec(one)}
    jumping, stays = leading & jumps, ipsec or bool(leading & goes_on)
    if not jumping and (stays or not called):
        return None if goes_on else Way(script.end)
    if len(jumping) == 1 and not stays:
        return Way(min(leading))
    line, passed = script.meeting(leading, to_ipsec=True)
    if called and line == script.end:
        line, passed = script.meeting(lines)
    return Way(line, passed)
