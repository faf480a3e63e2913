"""Imports whole files of Windows' administration commands into a workspace (spec 8).

Batch files, scripts for `netsh -f`, lines of ipseccmd and ipsecpol, registry exports.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeAlias, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store
from ipsecfd.policy.scripts.encoding import EncodingError, decode
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.scripts.kinds import ScriptFiles
from ipsecfd.policy.scripts.performing import Performer
from ipsecfd.policy.stores.builtin import BUILT_IN_GUIDS
from ipsecfd.policy.stores.content import Content, StoredAction, StoredList, StoredPolicy
from ipsecfd.policy.stores.dynamic import DynamicContent
from ipsecfd.policy.workspace import Workspace

Source: TypeAlias = Path | tuple[str, bytes]
"""A file, or its name and what is in it."""

Object = TypeVar("Object", StoredPolicy, StoredList, StoredAction)

_HIVE: Final = b"regf"


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What came of an import; objects are counted that it made or changed.

    Default response rules and what a fresh Windows has of its own are not counted.
    """

    policies: int = 0
    filter_lists: int = 0
    filters: int = 0
    """As written: no mirrors, no expansion; those of a list count once."""
    rules: int = 0
    filter_actions: int = 0
    assigned: str | None = None
    """The name of the policy that is assigned afterwards."""
    dynamic_rules: int = 0
    failed: tuple[Failure, ...] = ()
    """Commands that Windows would have refused, too; the rest was done."""
    untranslated: tuple[Failure, ...] = ()
    """What was not understood."""
    stopped: bool = False
    """Whether something was not understood and nothing is to be changed because of it."""
    ignored: int = field(default=0, compare=False)
    """Commands of batch files that have nothing to do with IPsec policies."""
    notes: tuple[str, ...] = field(default=(), compare=False)


def import_files(
    sources: Sequence[Source],
    workspace: Workspace,
    *,
    store: Store = Store.LOCAL,
    arguments: Sequence[str] | None = None,
    partial: bool = False,
    folder: Path | None = None,
) -> ImportResult:
    """Do to a workspace what files say, one after the other.

    Scripts may name files next to them: those of the same import and those in their folder, which
    for a source without a path is `folder`.
    `store` takes what goes to the local store on Windows. `arguments` are what %1, %2 and so on
    stand for. When the result says `stopped`, the caller must throw the workspace away: it has
    changed up to the end.
    """
    before = _snapshot(workspace)
    local = workspace.stores[Store.LOCAL]
    workspace.stores[Store.LOCAL] = workspace.stores[store]
    performer = Performer(workspace)
    try:
        given = {one[0]: one[1] for one in sources if isinstance(one, tuple)}
        for source in sources:
            _import_one(source, performer, given, folder, arguments)
    finally:
        workspace.stores[Store.LOCAL] = local
    # What a loop does again and again is told once.
    failed = tuple(dict.fromkeys(performer.failed))
    untranslated = tuple(dict.fromkeys(performer.untranslated))
    if untranslated and not partial:
        return ImportResult(
            failed=failed, untranslated=untranslated, stopped=True, ignored=performer.ignored
        )
    result = _counted(before, _snapshot(workspace), store)
    return replace(
        result,
        failed=failed,
        untranslated=untranslated,
        ignored=performer.ignored,
        notes=tuple(performer.notes),
    )


@dataclass(frozen=True, slots=True)
class _Snapshot:
    stores: dict[Store, Content]
    dynamic: DynamicContent


def _snapshot(workspace: Workspace) -> _Snapshot:
    return _Snapshot(
        {store: draft.content() for store, draft in workspace.stores.items()},
        workspace.dynamic.content() if workspace.dynamic else DynamicContent(),
    )


def _import_one(
    source: Source,
    performer: Performer,
    given: dict[str, bytes],
    folder: Path | None,
    arguments: Sequence[str] | None,
) -> None:
    name = source[0] if isinstance(source, tuple) else str(source)
    if isinstance(source, Path):
        folder = source.parent
    done = performer.done
    untranslated = len(performer.untranslated)
    try:
        data = source[1] if isinstance(source, tuple) else source.read_bytes()
        if data.startswith(_HIVE):
            why = (
                "a registry hive, as exportpolicy writes it; on Windows, make a .reg file with"
                ' reg export "HKLM\\SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local"'
            )
            raise IpsecfdError(why)
        performer.perform(decode(data), name, ScriptFiles(given, folder), arguments)
    except EncodingError as error:
        performer.untranslated.append(Failure(name, error.line, "", error.why))
    except OSError as error:
        why = f"cannot be read: {error.strerror or error}"
        performer.untranslated.append(Failure(name, 0, "", why))
    except (IpsecfdError, ValueError) as error:
        performer.untranslated.append(Failure(name, 0, "", str(error)))
    if performer.done == done and len(performer.untranslated) == untranslated:
        why = "no command about IPsec policies is carried out in this file"
        performer.untranslated.append(Failure(name, 0, "", why))


def _counted(before: _Snapshot, after: _Snapshot, store: Store) -> ImportResult:
    """What is there that was not before."""
    changes = [_changes(before.stores[one], after.stores[one]) for one in after.stores]
    dynamic = after.dynamic.rules
    policies, filter_lists, filters, rules, filter_actions = map(sum, zip(*changes, strict=True))
    return ImportResult(
        policies=policies,
        filter_lists=filter_lists,
        filters=filters,
        rules=rules,
        filter_actions=filter_actions,
        assigned=_assigned(after.stores, store),
        dynamic_rules=sum(before.dynamic.rules.get(key) is not dynamic[key] for key in dynamic),
    )


def _changes(before: Content, after: Content) -> tuple[int, int, int, int, int]:
    """How many policies, lists, filters, rules and actions are there that were not before."""
    policies = list(_new(before.policies, after.policies))
    lists = list(_new(before.filter_lists, after.filter_lists))
    known_filters = {id(one) for each in before.filter_lists.values() for one in each.filters}
    known_rules = {id(one) for each in before.policies.values() for one in each.rules}
    return (
        len(policies),
        len(lists),
        sum(id(one) not in known_filters for each in lists for one in each.filters),
        sum(id(one) not in known_rules for each in policies for one in each.rules),
        len(list(_new(before.filter_actions, after.filter_actions))),
    )


def _new(before: Mapping[str, Object], after: Mapping[str, Object]) -> Iterator[Object]:
    """The objects that are others than before, but for those that every fresh Windows has."""
    for key, one in after.items():
        if before.get(key) is not one and one.guid not in BUILT_IN_GUIDS:
            yield one


def _assigned(stores: Mapping[Store, Content], wanted: Store) -> str | None:
    """The name of the assigned policy: of the wanted store, else of any."""
    for store in (wanted, *stores):
        content = stores[store]
        if content.assigned is not None:
            return content.policies[content.assigned].name
    return None
