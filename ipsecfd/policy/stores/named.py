"""Objects of one kind, each with a name of its own (spec 1.1)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Generic, Protocol, TypeVar

from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.errors import ExistsError, NotFoundError


class HasName(Protocol):
    """Anything that is found by its name."""

    @property
    def name(self) -> str:
        """Compared without regard to case."""


Named = TypeVar("Named", bound=HasName)


class NamedObjects(Generic[Named]):
    """Objects in the order in which they were made; each change is made whole or raises."""

    def __init__(self, kind: str, objects: Mapping[str, Named]) -> None:
        self.kind = kind
        """Such as "filter list", for errors."""
        self.by_key = dict(objects)
        """By `name_key`."""

    def __contains__(self, name: str) -> bool:
        """Whether there is one of this name."""
        return name_key(name) in self.by_key

    def get(self, name: str) -> Named:
        """The one of this name; raises NotFoundError."""
        try:
            return self.by_key[name_key(name)]
        except KeyError:
            raise NotFoundError(f"there is no {self.kind} with the name '{name}'") from None

    def add(self, new: Named) -> None:
        """Add one; raises ExistsError."""
        self._refuse_taken(new.name)
        self.by_key[name_key(new.name)] = new

    def replace(self, name: str, new: Named) -> None:
        """Put another one in its place, perhaps of another name.

        Raises NotFoundError, and ExistsError when the other name is taken.
        """
        self.get(name)
        old_key, new_key = name_key(name), name_key(new.name)
        if new_key == old_key:
            self.by_key[old_key] = new
            return
        self._refuse_taken(new.name)
        self.by_key = {
            (new_key if key == old_key else key): (new if key == old_key else one)
            for key, one in self.by_key.items()
        }

    def delete(self, name: str) -> None:
        """Delete the one of this name; raises NotFoundError."""
        self.get(name)
        del self.by_key[name_key(name)]

    def clear(self) -> None:
        """Delete all of them."""
        self.by_key = {}

    def _refuse_taken(self, name: str) -> None:
        if name in self:
            raise ExistsError(f"there is already a {self.kind} with the name '{name}'", self.kind)
