"""What stands behind `set`: which variables get values, and the sums of `set /a` (spec 8.1)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

# A name may have marks of what is not known in it, see `variables.unknown`.
_NOT_IN_NAMES: Final = r"\s\0()!~*/%+\-<>&^|=,\";"
_NAME: Final = rf"(?:\0[^\0]*\0|[^{_NOT_IN_NAMES}0-9])(?:\0[^\0]*\0|[^{_NOT_IN_NAMES}])*"
_NUMBER: Final = r"(?:0|[1-9][0-9]{0,8})"  # with a 0 before it, it is no decimal one
_SUM: Final = re.compile(
    rf"\s*({_NAME})\s*([-+*]?)=\s*(-?{_NUMBER}|{_NAME})\s*(?:([-+*])\s*({_NUMBER}|{_NAME})\s*)?",
    re.ASCII,
)
_COMPUTED: Final = re.compile(rf"({_NAME})\s*(?:[-+*/%&^|]|<<|>>)?=")


@dataclass(frozen=True, slots=True)
class Sum:
    """One assignment of `set /a` that can be followed; operands are numbers or names."""

    name: str
    change: str
    """How the variable's own value comes in, as the + of `+=`; empty where it does not."""
    first: str
    operator: str = "+"
    second: str = "0"


def set_name(text: str) -> tuple[str, str]:
    """The variable and the value of a plain `set`; without a name, it only shows variables."""
    text = text.lstrip()
    if text.startswith('"'):
        end = text.rfind('"')
        text = text[1:end] if end else text[1:]
    name, equals, value = text.partition("=")
    return (name, value) if equals else ("", "")


def names(text: str) -> list[str]:
    """All variables that what stands behind a `set` may give a value."""
    text = text.lstrip()
    switch = text[:2].lower()
    if switch == "/a":
        return _COMPUTED.findall(text[2:])
    name, _ = set_name(text[2:] if switch == "/p" else text)
    return [name] if name else []


def sums(text: str) -> list[Sum] | None:
    """What stands behind `set /a`, one after the other; None where it is more than sums."""
    found: list[Sum] = []
    for one in text.replace('"', "").split(","):
        part = _SUM.fullmatch(one)
        if part is None:
            return None
        found.append(Sum(part[1], part[2], part[3], part[4] or "+", part[5] or "0"))
    return found
