"""The parts of stored objects in a form that can grow: rules of policies, filters of lists.

A stored object holds its parts as a tuple: adding to a long one again and again would take time
that grows with its square. So they are kept beside it while they change, and put back into it when
somebody looks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from typing import Generic, TypeVar

from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.named import HasName, NamedObjects

Whole = TypeVar("Whole", bound=HasName)
Part = TypeVar("Part")


class GrowingParts(Generic[Whole, Part]):
    """The parts of named objects, each filed under a key of its own in its object."""

    def __init__(
        self,
        wholes: NamedObjects[Whole],
        parts_of: Callable[[Whole], Iterable[Part]],
        with_parts: Callable[[Whole, tuple[Part, ...]], Whole],
        key_of: Callable[[Part], Hashable],
    ) -> None:
        self._wholes = wholes
        self._parts_of = parts_of
        self._with_parts = with_parts
        self._key_of = key_of
        self._parts: dict[str, dict[Hashable, Part]] = {}
        self._unsettled: set[str] = set()

    def of(self, name: str) -> dict[Hashable, Part]:
        """An object's parts; raises NotFoundError. Who changes them says so with `changed`."""
        key = name_key(name)
        if key not in self._parts:
            self._parts[key] = self._filed(self._parts_of(self._wholes.get(name)))
        return self._parts[key]

    def put(self, name: str, parts: Iterable[Part]) -> None:
        """Give an object these parts."""
        self._parts[name_key(name)] = self._filed(parts)
        self.changed(name)

    def remove(self, name: str, key: Hashable) -> bool:
        """Remove the parts with this key, and say whether there were any; raises NotFoundError."""
        parts = self.of(name)
        if key not in parts:
            return False
        del parts[key]
        number = 1
        while parts.pop((key, number), None) is not None:
            number += 1
        return True

    def changed(self, name: str) -> None:
        """Note that the parts of an object are others than before."""
        self._unsettled.add(name_key(name))

    def settle(self, name: str) -> None:
        """Put the parts back into their object, if there is one of this name."""
        key = name_key(name)
        if key in self._unsettled:
            parts = tuple(self._parts[key].values())
            self._wholes.by_key[key] = self._with_parts(self._wholes.by_key[key], parts)
            self._unsettled.remove(key)

    def settle_all(self) -> None:
        """Put all parts back."""
        for key in list(self._unsettled):
            self.settle(key)

    def forget(self, name: str) -> None:
        """Take the parts from the object again when they are next asked for."""
        self._parts.pop(name_key(name), None)
        self._unsettled.discard(name_key(name))

    def clear(self) -> None:
        """Forget the parts of all objects."""
        self._parts.clear()
        self._unsettled.clear()

    def _filed(self, parts: Iterable[Part]) -> dict[Hashable, Part]:
        filed: dict[Hashable, Part] = {}
        counts = Counter[Hashable]()
        for part in parts:
            key = self._key_of(part)
            # A file written by hand may hold one twice; both are kept.
            filed[(key, counts[key]) if counts[key] else key] = part
            counts[key] += 1
        return filed
