r"""A tree of registry keys as a text describes it, with the line each thing comes from.

It knows what the text adds and what it deletes of what was there before. Paths look like
`HKEY_LOCAL_MACHINE\SOFTWARE\...`; keys and values are found without regard to case.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple, TypeAlias

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.scripts.failure import Failure

Data: TypeAlias = str | int | bytes | tuple[str, ...]
"""REG_SZ and REG_EXPAND_SZ, REG_DWORD and REG_QWORD, REG_BINARY, REG_MULTI_SZ."""

_HIVES: Final = {
    short: name
    for name, shorts in {
        "HKEY_LOCAL_MACHINE": ("HKLM",),
        "HKEY_CURRENT_USER": ("HKCU",),
        "HKEY_CLASSES_ROOT": ("HKCR",),
        "HKEY_USERS": ("HKU",),
        "HKEY_CURRENT_CONFIG": ("HKCC",),
    }.items()
    for short in (name, *shorts)
}


class RegistryFileError(IpsecfdError):
    """A file or a piece of text that is no registry export; the text says what was expected."""


class Place(NamedTuple):
    """A line of the text."""

    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Value:
    """A value of a key."""

    name: str
    data: Data
    place: Place


@dataclass(slots=True)
class Key:
    """A key with its values and sub-keys, both by name in lower case."""

    name: str
    place: Place
    keys: dict[str, Key] = field(default_factory=dict)
    values: dict[str, Value] = field(default_factory=dict)
    deleted_keys: dict[str, Place] = field(default_factory=dict)
    """Sub-keys whose former contents are gone, whether or not the text makes them anew."""
    deleted_values: dict[str, Place] = field(default_factory=dict)

    def set(self, value: Value) -> None:
        """Set a value."""
        self.values[value.name.lower()] = value
        self.deleted_values.pop(value.name.lower(), None)

    def delete(self, name: str, place: Place) -> None:
        """Delete a value."""
        self.values.pop(name.lower(), None)
        self.deleted_values[name.lower()] = place


class Tree:
    """Everything that one text does to the registry, and what in it was not understood."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.root = Key("", Place(0, ""))
        self.failures: list[Failure] = []

    def make(self, path: str, place: Place) -> Key:
        """The key of this path, made when missing. Raises RegistryFileError."""
        key = self.root
        for name in split_path(path):
            key = key.keys.setdefault(name.lower(), Key(name, place))
        return key

    def delete(self, path: str, place: Place) -> None:
        """Delete a key with all that is in it. Raises RegistryFileError."""
        *above, name = split_path(path)
        parent = self.make("\\".join(above), place) if above else self.root
        parent.keys.pop(name.lower(), None)
        parent.deleted_keys[name.lower()] = place

    def find(self, *names: str) -> Key | None:
        """The key that a path of names leads to."""
        key: Key | None = self.root
        for name in names:
            key = key.keys.get(name.lower()) if key else None
        return key

    def deletion(self, *names: str) -> Place | None:
        """Where the text deletes what was in this key before, itself or a key above it."""
        key: Key | None = self.root
        found = None
        for name in names:
            if key is None:
                break
            found = key.deleted_keys.get(name.lower(), found)
            key = key.keys.get(name.lower())
        return found

    def refuse(self, place: Place, why: str) -> None:
        """Remember a line that was not understood."""
        self.failures.append(Failure(self.file, place.line, place.text, why))


def split_path(path: str) -> Sequence[str]:
    """The names in a key's path, the hive's in full. Raises RegistryFileError."""
    names = [name for name in path.strip().split("\\") if name]
    hive = _HIVES.get(names[0].upper()) if names and not path.startswith("\\\\") else None
    if hive is None:
        raise RegistryFileError("expected a key of this computer, as HKEY_LOCAL_MACHINE\\SOFTWARE")
    return [hive, *names[1:]]
