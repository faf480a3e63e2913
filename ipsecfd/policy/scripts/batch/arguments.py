"""The arguments of a batch file or subroutine: what `%0` to `%9` and `%*` stand for (spec 8.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

_WORD: Final = re.compile(r'(?:"[^"]*"?|[^\s,;="])+')


def words(text: str) -> list[str]:
    """A command's arguments one by one, with their quotes."""
    return _WORD.findall(text)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What a script was given, as far as it can be known."""

    numbered: tuple[str, ...]
    """%0, %1 and so on."""
    everything: str | None
    """What `%*` stands for; None where nobody said."""
    more: bool = False
    """Whether what is behind these cannot be known; else there is nothing."""

    @classmethod
    def given(cls, name: str, arguments: Sequence[str] | None) -> Arguments:
        """Those of a whole script; None when nobody said which."""
        if arguments is None:
            return cls((name,), None, more=True)
        return cls((name, *arguments), " ".join(arguments))

    @classmethod
    def called(cls, name: str, rest: str) -> Arguments:
        """Those of a call: what stands behind the name of the script or label."""
        return cls((name, *words(rest)), rest.strip())

    def get(self, number: int) -> str | None:
        """One of them, empty where there is none; None where it cannot be known."""
        if number < len(self.numbered):
            return self.numbered[number]
        return None if self.more else ""

    def shifted(self, first: int) -> Arguments:
        """`shift /FIRST`: each from that one on becomes the one behind it; `%*` stays."""
        rest = self.numbered[first + 1 :]
        return replace(self, numbered=self.numbered[:first] + rest)

    def perhaps_shifted(self) -> Arguments:
        """After a `shift`, or more of them, that may or may not be done."""
        return replace(self, numbered=(), more=True)
