"""What the values of an object's key say (spec 8.6)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ipsecfd.policy.registry.filters import one_line
from ipsecfd.policy.registry.tree import Key, Place, RegistryFileError

_REFERENCE: Final = re.compile(r"\{[^{}\\]*\}$")


def text(key: Key, name: str) -> str:
    """A text value; empty when there is none."""
    value = key.values.get(name.lower())
    return value.data if value and isinstance(value.data, str) else ""


def name_of(key: Key) -> str:
    """The object's name on one line; empty when it has none."""
    return one_line(text(key, "ipsecName"))


def description(key: Key) -> str:
    """The object's description on one line."""
    return one_line(text(key, "description"))


def modified(key: Key) -> int:
    """When the object was changed, in seconds since 1970; 0 when not said."""
    value = key.values.get("whenchanged")
    return value.data if value and isinstance(value.data, int) else 0


def binary(key: Key) -> bytes:
    """The object's binary value. Raises RegistryFileError."""
    value = key.values.get("ipsecdata")
    if value is None or not isinstance(value.data, bytes):
        raise RegistryFileError(f"expected a binary value ipsecData in {key.name}")
    return value.data


def references(key: Key, name: str) -> Sequence[str]:
    """The GUIDs of the objects that a value refers to by their paths, each once."""
    value = key.values.get(name.lower())
    data = value.data if value else ()
    paths = (data,) if isinstance(data, str) else data if isinstance(data, tuple) else ()
    found = {}
    for path in paths:
        guid = _REFERENCE.search(path.strip())
        if path.strip():
            found[guid[0].upper() if guid else f'"{path}"'] = True
    return tuple(found)


def place_of(key: Key, name: str) -> Place:
    """The line of a value, or of the key when it has no such value."""
    value = key.values.get(name.lower())
    return value.place if value else key.place
