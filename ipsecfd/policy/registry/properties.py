"""The driver's properties in its service key (spec 4.1, 6.1, 7.1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from ipsecfd.policy.registry.tree import Key, Place, Tree
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.stores.properties import Properties

SERVICE_KEY: Final = (
    *("HKEY_LOCAL_MACHINE", "SYSTEM", "CurrentControlSet", "Services"),
    "IPSEC",
)
_VALUES: Final[Mapping[str, tuple[str, Mapping[int, Any]]]] = {
    "nodefaultexempt": ("ipsecexempt", {number: number for number in range(4)}),
    "operationmode": ("bootmode", {0: "permit", 1: "block", 3: "stateful"}),
    "enablediagnostics": ("ipsecdiagnostics", {number: number for number in range(8)}),
}


def read_properties(tree: Tree, properties: Properties) -> tuple[Properties, list[Failure]]:
    """The properties with what the tree sets and deletes, and what Windows would not take."""
    key = tree.find(*SERVICE_KEY) or Key("", Place(0, ""))
    failed = []
    for name in key.deleted_values:
        if name in _VALUES:
            properties = replace(properties, **{_VALUES[name][0]: None})
    for name, value in key.values.items():
        if name not in _VALUES:
            continue  # what the service manager keeps there
        attribute, known = _VALUES[name]
        if isinstance(value.data, int) and value.data in known:
            properties = replace(properties, **{attribute: known[value.data]})
        else:
            numbers = ", ".join(map(str, known))
            why = f"expected {value.name} to be a REG_DWORD among {numbers}"
            failed.append(Failure(tree.file, value.place.line, value.place.text, why))
    return properties, failed
