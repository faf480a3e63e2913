"""From a registry tree to the stores and properties of a workspace (spec 8.6).

A value that cannot be read is untranslated, and so is a reference to what is not there: the export
was cut off or edited, and what is left of it may permit what the whole blocks. An object whose GUID
is in the store already is replaced, so that importing twice is importing once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ipsecfd.policy.model import Store
from ipsecfd.policy.registry.branch import Branch
from ipsecfd.policy.registry.properties import SERVICE_KEY, read_properties
from ipsecfd.policy.registry.tree import Key, Tree
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.workspace import Workspace

_POLICY_KEY: Final = (
    *("HKEY_LOCAL_MACHINE", "SOFTWARE", "Policies", "Microsoft", "Windows"),
    *("IPSec", "Policy"),
)


@dataclass(frozen=True, slots=True)
class Applied:
    """What became of a registry export."""

    failed: tuple[Failure, ...] = ()
    """What Windows would not have done either; the rest is done."""
    untranslated: tuple[Failure, ...] = ()
    """What was not understood."""
    notes: tuple[str, ...] = ()
    """What was left out on purpose, in words."""


def apply_tree(tree: Tree, workspace: Workspace, store: Store = Store.LOCAL) -> Applied:
    """Do to a workspace what the tree does to a registry.

    The local store of the tree goes to `store`, its persistent store to the persistent one, its
    cache of a domain policy to the domain store. The drafts change even when something fails: who
    wants all or nothing looks at the result before saving.
    """
    workspace.properties, failed = read_properties(tree, workspace.properties)
    untranslated, notes = list(tree.failures), []
    known: list[tuple[str, ...]] = [SERVICE_KEY]
    for name, target in (
        ("Local", store),
        ("Persistent", Store.PERSISTENT),
        ("Cache", Store.DOMAIN),
    ):
        known.append((*_POLICY_KEY, name))
        if why := workspace.stores[target].read_only:
            if tree.find(*known[-1]) or tree.deletion(*known[-1]):
                notes.append(f"the key {name} was not imported: {why}")
            continue
        branch = Branch(tree, known[-1], workspace.stores[target])
        branch.read()
        failed += branch.failed
        untranslated += branch.untranslated
        notes += branch.notes
    found = [one for one in known if tree.find(*one) or tree.deletion(*one)]
    if not found and (tree.root.keys or not tree.failures):
        path = "\\".join(known[1])
        why = f"expected a key of an IPSec policy store, as {path}"
        untranslated.append(Failure(tree.file, 0, "", why))
    elif others := _keys_with_values(tree.root) - sum(
        _keys_with_values(key) for one in found if (key := tree.find(*one))
    ):
        keys = "1 other key" if others == 1 else f"{others} other keys"
        notes.append(f"{keys} of the registry, no part of a policy store, not imported")
    return Applied(tuple(failed), tuple(untranslated), tuple(notes))


def _keys_with_values(key: Key) -> int:
    return sum(1 for one in _below(key) if one.values)


def _below(key: Key) -> Iterator[Key]:
    """A key and all keys in it."""
    rest = [key]
    while rest:
        one = rest.pop()
        yield one
        rest += one.keys.values()
