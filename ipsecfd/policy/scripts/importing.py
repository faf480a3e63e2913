"""Imports whole files of Windows' administration commands into a workspace (spec 8).

Batch files, scripts for `netsh -f`, lines of ipseccmd and ipsecpol, registry exports.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import Store
from ipsecfd.policy.scripts.encoding import EncodingError, decode
from ipsecfd.policy.scripts.failure import Failure
from ipsecfd.policy.scripts.kinds import ScriptFiles
from ipsecfd.policy.scripts.outcome import ImportResult, outcome, snapshot
from ipsecfd.policy.scripts.performing import Performer
from ipsecfd.policy.text import read_bytes
from ipsecfd.policy.workspace import Workspace

Source: TypeAlias = Path | tuple[str, bytes]
"""A file, or its name and what is in it."""


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
    before = snapshot(workspace)
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
    result = outcome(before, snapshot(workspace), store)
    return replace(
        result,
        failed=failed,
        untranslated=untranslated,
        ignored=performer.ignored,
        notes=(*performer.notes, *result.notes),
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
        data = source[1] if isinstance(source, tuple) else read_bytes(source)
    except PolicyError as error:
        performer.untranslated += [Failure(name, 0, "", one.expected) for one in error.mistakes]
        return
    try:
        performer.perform(decode(data), name, ScriptFiles(given, folder), arguments)
    except EncodingError as error:
        performer.untranslated.append(Failure(name, error.line, "", error.why))
    except (IpsecfdError, ValueError) as error:
        performer.untranslated.append(Failure(name, 0, "", str(error)))
    if performer.done == done and len(performer.untranslated) == untranslated:
        why = "no command about IPsec policies is carried out in this file"
        performer.untranslated.append(Failure(name, 0, "", why))
