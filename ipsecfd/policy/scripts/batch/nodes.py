"""What the statements of a batch file are made of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

COMPARISONS: Final = ("EQU", "NEQ", "LSS", "LEQ", "GTR", "GEQ")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a statement begins in its file; both count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Simple:
    """One command with its arguments, without carets and redirections; quotes are kept."""

    place: Place
    text: str
    output: str = ""
    """The file its output goes to; empty for none that matters."""
    appends: bool = False


@dataclass(frozen=True, slots=True)
class Chain:
    """Statements between `&`, `|`, `&&` or `||`, or the lines of a block (as `&`)."""

    operator: str
    parts: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Condition:
    """What an `if` asks; `kind` is its word, or the operator between two sides."""

    kind: str
    left: str
    right: str = ""
    negated: bool = False
    ignore_case: bool = False

    def __str__(self) -> str:
        if self.kind in ("==", *COMPARISONS):
            return f"{self.left} {self.kind} {self.right}"
        return f"{self.kind} {self.left}"


@dataclass(frozen=True, slots=True)
class If:
    """A condition, what is done when it holds, and what otherwise."""

    place: Place
    condition: Condition
    then: Node
    otherwise: Node | None
    last_line: int


@dataclass(frozen=True, slots=True)
class For:
    """A loop; `switches` is empty for a plain list."""

    place: Place
    switches: str
    variable: str
    items: str
    body: Node


Node: TypeAlias = Simple | Chain | If | For


def redirected(node: Node, output: str) -> Node:
    """The statement with the output of its commands added to a file, unless it goes elsewhere."""
    match node:
        case Simple():
            return node if node.output else replace(node, output=output, appends=True)
        case Chain():
            return replace(node, parts=tuple(redirected(one, output) for one in node.parts))
        case If():
            otherwise = None if node.otherwise is None else redirected(node.otherwise, output)
            return replace(node, then=redirected(node.then, output), otherwise=otherwise)
        case For():
            return replace(node, body=redirected(node.body, output))


def first_place(node: Node) -> Place:
    """Where the first command of a statement begins."""
    while isinstance(node, Chain):
        node = node.parts[0]
    return node.place


def simple_commands(node: Node | None) -> Iterator[Simple]:
    """All commands in a statement."""
    match node:
        case Simple():
            yield node
        case Chain(parts=parts):
            for one in parts:
                yield from simple_commands(one)
        case If(then=then, otherwise=otherwise):
            yield from simple_commands(then)
            yield from simple_commands(otherwise)
        case For(body=body):
            yield from simple_commands(body)
