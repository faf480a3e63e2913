"""Names for objects that are named alike, where a store needs each name once."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from ipsecfd.policy.stores.content import name_key

_LONGEST_NAME: Final = 255
_ROOM_FOR_NUMBER: Final = 12


class DistinctNames:
    """Gives objects that are named alike names of their own, with numbers behind them."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, name: str, taken: Container[str], own: str | None = None) -> str:
        """The name, or the next one with a number that is not taken; `own` is not taken.

        `taken` holds names as `name_key` makes them.
        """
        made = name
        while name_key(made) in taken and (own is None or name_key(made) != name_key(own)):
            number = self._numbers.get(name_key(name), 1) + 1
            self._numbers[name_key(name)] = number
            made = f"{name[: _LONGEST_NAME - _ROOM_FOR_NUMBER]} ({number})"
        return made
