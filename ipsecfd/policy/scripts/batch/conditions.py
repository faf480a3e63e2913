"""Whether the condition of an `if` holds, as far as it can be known from here."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from ipsecfd.policy.scripts.batch.named import as_written, deleted
from ipsecfd.policy.scripts.batch.nodes import (
    COMPARISONS,
    Chain,
    Condition,
    For,
    If,
    Node,
    simple_commands,
)
from ipsecfd.policy.scripts.batch.programs import split_program
from ipsecfd.policy.scripts.batch.variables import Variables

_LATE: Final = re.compile("[%!]")
"""What is put in when a command is run, not when its line is read."""
_LEVEL: Final = re.compile(r"[-+]?[0-9]{1,10}", re.ASCII)
_NUMBER: Final = re.compile(
    r"([-+]?)((0x)[0-9a-f]{1,999}|(0)[0-7]{0,999}|[1-9][0-9]{0,999})", re.ASCII | re.IGNORECASE
)
"""One of base 16, 8 or 10."""
_HOLDS: Final[dict[str, tuple[int, ...]]] = {
    "EQU": (0,),
    "NEQ": (-1, 1),
    "LSS": (-1,),
    "LEQ": (-1, 0),
    "GTR": (1,),
    "GEQ": (0, 1),
}


def holds(condition: Condition, left: str, right: str, variables: Variables) -> bool | None:
    """Whether the condition holds with these sides; None where only Windows knows."""
    found = _asked(condition, left, right, variables)
    return None if found is None else found is not condition.negated


def upon_success(condition: Condition) -> bool | None:
    """Whether it asks for the success of the command before it, or for its failure; None where it
    asks for something else."""
    if condition.kind == "errorlevel":
        return condition.negated
    sides = {one.replace("\0", "").strip('"').lower() for one in (condition.left, condition.right)}
    if sides == {"%errorlevel%", "0"} and condition.kind in ("==", "EQU", "NEQ"):
        return (condition.kind != "NEQ") is not condition.negated
    return None


def guards_deletion(node: If) -> bool:
    """Whether it is an `if exist` that deletes what it asks for, which is as good as `del`, and may
    say so; or an `if not exist`, which is as good as nothing."""
    condition = node.condition
    if condition.kind != "exist" or node.otherwise is not None:
        return False
    file = as_written(condition.left.replace('"', "")).lower()
    deletes = False
    for one in simple_commands(node.then):
        name, rest = split_program(one.text)
        if name in ("del", "erase"):
            deletes = True
            if {file} != {each.lower() for each in deleted(rest)}:
                return False
        elif name != "echo" or one.output:
            return False
    return deletes


def possible(node: Node, variables: Variables) -> Node:
    """The statement without the branches that are never taken, whatever else is done of it: a
    comparison of what stood in the line when cmd.exe read it is decided by then."""
    match node:
        case Chain():
            return replace(node, parts=tuple(possible(one, variables) for one in node.parts))
        case For():
            return replace(node, body=possible(node.body, variables))
        case If(condition=condition):
            then = possible(node.then, variables)
            otherwise = None if node.otherwise is None else possible(node.otherwise, variables)
            sides = condition.left, condition.right
            if condition.kind in ("==", *COMPARISONS) and not any(map(_LATE.search, sides)):
                found = holds(condition, *sides, variables)
                if found is not None:
                    return (then if found else otherwise) or Chain("&", ())
            return replace(node, then=then, otherwise=otherwise)
    return node


def _asked(condition: Condition, left: str, right: str, variables: Variables) -> bool | None:
    kind = condition.kind
    if "\0" in left or "\0" in right or kind == "exist":
        return None
    if kind == "defined":
        value = variables.get(left)
        return None if value is None or "\0" in value else bool(value)
    if kind == "errorlevel":
        if variables.status is None or not _LEVEL.fullmatch(left):
            return None
        return variables.status >= int(left)
    if kind == "cmdextversion":
        return True
    if condition.ignore_case:
        left, right = left.casefold(), right.casefold()
    if kind == "==":
        return left == right
    first, second = _number(left), _number(right)
    if first is None or second is None:
        order = (left > right) - (left < right)
    else:
        order = (first > second) - (first < second)
    return order in _HOLDS[kind]


def _number(text: str) -> int | None:
    """What cmd.exe takes for a number; a larger one than it knows is the largest."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    sign, digits, hexadecimal, octal = found.groups()
    value = int(digits, 16 if hexadecimal else 8 if octal else 10)
    return max(-value, -(2**31)) if sign == "-" else min(value, 2**31 - 1)
