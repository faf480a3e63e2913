"""The scopes of `setlocal` and `endlocal`, and what variables are worth in them (spec 8.1)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Final

_MOST: Final = 32
"""Scopes inside one another: cmd.exe's own limit."""


class Scopes:
    """The variables' values now, and those that come back at the end of each open scope."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        """By name in capitals; what is not here, only Windows knows."""
        self.delayed: bool | None = False
        """Whether `!A!` is expanded; None where only Windows knows."""
        self.work = 0
        """How many values were compared so far."""
        self._kept: list[tuple[dict[str, str], bool | None]] = []
        self._callers = 0
        """How many of them are scopes of callers: no `endlocal` of a subroutine closes those."""
        self._doubtful = False
        """Whether only Windows knows how many of the others are open."""

    def enter(self, *, certain: bool = True) -> None:
        """`setlocal`, or one that may or may not be run."""
        if len(self._kept) < _MOST:
            self._kept.append((dict(self.values), self.delayed))
        self._doubtful |= not certain

    def leave(self, *, certain: bool = True) -> None:
        """`endlocal`, or one that may or may not be run."""
        if len(self._kept) == self._callers:
            return
        self._doubtful |= not certain
        if self._doubtful:
            self._blur()
        else:
            self.values, self.delayed = self._kept.pop()

    @contextlib.contextmanager
    def of_subroutine(self) -> Iterator[None]:
        """Inside, scopes are those of a script or subroutine, which are closed at its end."""
        outside = self._callers, self._doubtful
        self._callers, self._doubtful = len(self._kept), False
        try:
            yield
        finally:
            if len(self._kept) > self._callers:
                if self._doubtful:
                    self._blur()
                else:
                    self.values, self.delayed = self._kept[self._callers]
                del self._kept[self._callers :]
            self._callers, self._doubtful = outside

    @contextlib.contextmanager
    def of_child(self) -> Iterator[None]:
        """Inside, everything is a copy: that of a cmd.exe of its own."""
        outside = dict(self.values), self.delayed, self._kept, self._callers, self._doubtful
        self._kept = list(self._kept)
        try:
            yield
        finally:
            self.values, self.delayed, self._kept, self._callers, self._doubtful = outside

    def _blur(self) -> None:
        """Keep what is the same in all scopes of which one is the open one."""
        others = self._kept[self._callers :]
        self.work += len(self.values) * len(others)
        self.values = {
            name: value
            for name, value in self.values.items()
            if all(values.get(name) == value for values, _ in others)
        }
        if any(delayed != self.delayed for _, delayed in others):
            self.delayed = None
