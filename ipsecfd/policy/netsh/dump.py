"""`netsh ipsec dump`: scripts that make the configuration again when they are run (spec 8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from typing import Final

from ipsecfd.policy.export import export
from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh.layout import NONE
from ipsecfd.policy.netsh.words import quoted
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import Workspace

_DUMPED: Final = (Store.PERSISTENT, Store.LOCAL)
"""The stores that administrators fill: a domain's comes from elsewhere."""


def static(workspace: Workspace, store: Store) -> str:
    """The commands that make a store; they leave `set store` at the local one."""
    return "\n".join(_store(workspace, store))


def dynamic(workspace: Workspace) -> str:
    """The commands that set the properties and make the dynamic rules, when a service has some."""
    return "\n".join(_dynamic(workspace))


def everything(workspace: Workspace) -> str:
    """The commands that make the persistent and the local store, the properties and the rules."""
    lines: list[str] = []
    for store in _DUMPED:
        if store is Store.LOCAL or workspace.stores[store].content() != Content():
            lines += _store(workspace, store)
    return "\n".join((*lines, *_dynamic(workspace)))


def _store(workspace: Workspace, store: Store) -> Iterator[str]:
    exported = export(workspace.stores[store].content(), "netsh")
    if store is not Store.LOCAL:
        yield from _static(f"set store location={store.name.lower()}")
    yield exported.text.rstrip("\n")
    if store is not Store.LOCAL:
        yield from _static(f"set store location={Store.LOCAL.name.lower()}")
    yield from _remarks(exported.notes)


def _static(command: str) -> tuple[str, ...]:
    return "pushd ipsec static", command, "popd"


def _dynamic(workspace: Workspace) -> Iterator[str]:
    properties = list(_properties(workspace.properties))
    if properties:
        yield "pushd ipsec dynamic"
        yield from properties
        yield "popd"
    rules = workspace.dynamic.content() if workspace.dynamic is not None else DynamicContent()
    if rules != DynamicContent():
        exported = export(Content(), "netsh", dynamic=rules)
        _, text = exported.text.split("\n", 1)  # a script has one heading
        yield text.rstrip("\n")
        yield from _remarks(exported.notes)


def _properties(properties: Properties) -> Iterator[str]:
    for field in fields(Properties):
        value = getattr(properties, field.name)
        if value is not None:
            text = " ".join(value) or NONE.lower() if isinstance(value, tuple) else str(value)
            shown = quoted(text) if " " in text else text
            yield f"set config property={field.name} value={shown}"


def _remarks(notes: tuple[str, ...]) -> Iterator[str]:
    return (f"# Note: {note}" for note in notes)
