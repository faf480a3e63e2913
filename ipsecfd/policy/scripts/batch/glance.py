"""Lines of a batch file read for themselves, before the script comes to them, if it ever does."""

from __future__ import annotations

import contextlib
import functools
import itertools
import re
from collections.abc import Callable
from typing import Final

from ipsecfd.policy.scripts.batch.nodes import Node, Place, Simple
from ipsecfd.policy.scripts.batch.parser import DEEPEST, Parser
from ipsecfd.policy.scripts.batch.scanner import CommandSyntaxError

_LIST_ENDS: Final = re.compile(r"\A[^()]*\)\s*do\b", re.IGNORECASE)
_OPENED: Final = "if 1==1 ("
"""What may stand before a line that closes a block, so that an `else` may follow."""
_PARENTHESIS: Final = re.compile(r'"[^"]*"?|\^.|[()]')


@functools.lru_cache(maxsize=10_000)
def glance(line: str) -> Node | None:
    """The statement of a line, whatever blocks it opens or closes; None when it does nothing.

    What makes no sense for itself is one command.
    """
    line = _LIST_ENDS.sub("", line)
    for text in dict.fromkeys((_OPENED * _unopened(line) + line, line)):
        with contextlib.suppress(CommandSyntaxError):
            return _statement(text)
    return Simple(Place(1, 1), line.strip())


def behind_statement(line_at: Callable[[int], str | None], first: int) -> int:
    """The line behind the statement that begins in a line, both counted from 0.

    `line_at` gives the text of a line, expanded as far as it can be; None behind the last.
    """
    behind = first

    def read() -> tuple[int, str, type[int]] | None:
        nonlocal behind
        text = line_at(behind)
        if text is None:
            return None
        behind += 1
        return behind, text, int

    with contextlib.suppress(CommandSyntaxError):
        Parser(read).statement()
    return behind


def _statement(text: str) -> Node | None:
    lines = enumerate(itertools.chain((text,), itertools.repeat(")", DEEPEST)), 1)

    def read() -> tuple[int, str, type[int]] | None:
        following = next(lines, None)
        return None if following is None else (*following, int)

    return Parser(read).statement()


def _unopened(line: str) -> int:
    """How many blocks a line closes that it has not opened."""
    depth = lowest = 0
    for one in _PARENTHESIS.findall(line) if ")" in line else ():
        depth += (one == "(") - (one == ")")
        lowest = min(lowest, depth)
    return min(-lowest, DEEPEST)
