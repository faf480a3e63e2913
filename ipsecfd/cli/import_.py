"""`ipsecfd import`: files of Windows' own administration commands, carried out here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import many
from ipsecfd.cli.live import ConfigOption, SocketOption
from ipsecfd.cli.terminal import width
from ipsecfd.cli.values import choice
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.policy.scripts.failure import Failure
    from ipsecfd.policy.scripts.outcome import ImportResult
    from ipsecfd.policy.workspace import Workspace

_STORES = ("local", "persistent")
_MOST_LISTED = 100
"""Failures that are told to people one by one."""
_COUNTED = ("policies", "filter_lists", "filters", "rules", "filter_actions", "dynamic_rules")


class _StoppedError(Exception):
    """The import was stopped: what it changed is thrown away."""


def import_(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Batch files, netsh scripts, lines of ipseccmd or ipsecpol, .reg exports.",
        ),
    ],
    store: Annotated[
        str,
        choice("--store", "STORE", _STORES),
    ] = "local",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Only say what would come of it in an empty store."),
    ] = False,
    partial: Annotated[
        bool, typer.Option("--partial", help="Import the rest when a line is not understood.")
    ] = False,
    arg: Annotated[
        list[str] | None,
        typer.Option("--arg", metavar="VALUE", help="What %1 of a batch file is; may repeat: %2."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    config: ConfigOption = None,
    socket: SocketOption = None,
) -> None:
    """Take in scripts and registry exports of Windows.

    Their commands are carried out on the stores here. A command that Windows
    would have refused is listed, and the rest is done. A line that is not
    understood stops the import: nothing is changed, and the exit status is 1.
    """
    from ipsecfd.policy.model import Store

    target = Store[store.upper()]
    result: ImportResult | None = None
    with contextlib.suppress(_StoppedError), _workspace(dry_run, config, socket) as workspace:
        from ipsecfd.policy.scripts.importing import import_files

        if why := workspace.stores[target].read_only:
            raise IpsecfdError(why)
        result = import_files(
            files, workspace, store=target, arguments=arg or None, partial=partial
        )
        if result.stopped:
            raise _StoppedError
    assert result is not None
    if as_json:
        print(json.dumps(as_object(result)))
    else:
        print("\n".join(lines_of(result, store, dry_run=dry_run, columns=width())))
    if result.stopped:
        raise typer.Exit(1)


@contextlib.contextmanager
def _workspace(dry_run: bool, config: Path | None, socket: Path | None) -> Iterator[Workspace]:
    """An empty workspace for a dry run, else that of this host, kept if the body succeeds."""
    if not dry_run:
        from ipsecfd.cli.administration import Administration

        with Administration(config, socket).workspace() as workspace:
            yield workspace
        return
    from ipsecfd.policy.model import Store
    from ipsecfd.policy.names import Names
    from ipsecfd.policy.stores.draft import Draft
    from ipsecfd.policy.stores.dynamic import DynamicDraft
    from ipsecfd.policy.workspace import DOMAIN_READ_ONLY, Workspace

    workspace = Workspace(Names().resolve, dynamic=DynamicDraft())
    workspace.stores[Store.DOMAIN] = Draft(read_only=DOMAIN_READ_ONLY)
    yield workspace


def as_object(result: ImportResult) -> dict[str, object]:
    """The object that `--json` prints."""
    counts: dict[str, object] = {name: getattr(result, name) for name in _COUNTED}
    dynamic_rules = counts.pop("dynamic_rules")
    return {
        **counts,
        "assigned": result.assigned,
        "dynamic_rules": dynamic_rules,
        "failed": [asdict(one) for one in result.failed],
        "untranslated": [asdict(one) for one in result.untranslated],
    }


def lines_of(result: ImportResult, store: str, *, dry_run: bool, columns: int) -> list[str]:
    """What came of an import, for people; `store` is where it went unless the files say more."""
    from ipsecfd.policy.mistakes import printable

    lines: list[str] = []
    whole_files = all(not one.line for one in result.untranslated)
    if result.stopped:
        why = "not all of it was understood; --partial imports the rest"
        if whole_files:
            why = "not every file can be"
        lines += wrap("", f"Nothing was imported, since {why}.", columns)
    else:
        where = _where(result, store)
        article = "" if where.endswith("s") else "an "
        head = f"Would import into {article}empty" if dry_run else "Imported into the"
        head = f"{head} {where}:"
        if _sets_properties_only(result):
            head = "Would set:" if dry_run else "Set:"
        elif not _changes_objects(result):
            head = f"{'Would change' if dry_run else 'Changed'} nothing in the {where}:"
        lines += [head, "", *_table(result)]
    if result.failed:
        head = "Failed, as it would have on Windows; the rest was done:"
        if result.stopped:
            head = "Would have failed, as on Windows:"
        lines += ["", *wrap("", head, columns), *_failures(result.failed, columns)]
    if result.untranslated:
        head = "Not understood:" if result.stopped else "Not understood and left out:"
        if whole_files:
            head = "Not imported:"
        lines += ["", head, *_failures(result.untranslated, columns)]
    for note in result.notes:
        lines += ["", *wrap("Note: ", printable(note), columns)]
    return lines


def _where(result: ImportResult, store: str) -> str:
    """The stores that were changed; a script may have selected others than the one given."""
    changed = [one.name.lower() for one in result.stores]
    if result.dynamic:
        changed.append("dynamic")
    if len(changed) > 1:
        return f"{', '.join(changed[:-1])} and {changed[-1]} stores"
    return f"{changed[0] if changed else store} store"


def _table(result: ImportResult) -> list[str]:
    rows: list[tuple[str, str]] = []
    if not _sets_properties_only(result):
        counts = [(name.replace("_", " "), f"{getattr(result, name):,}") for name in _COUNTED]
        longest = max(len(number) for _, number in counts)
        rows += [(name, f"{number:>{longest}}") for name, number in counts]
        rows.append(("assigned", _assigned(result)))
    rows += result.properties
    if result.ignored:
        rows.append(("ignored", _others(result.ignored)))
    width = max(len(name) for name, _ in rows)
    return [f"  {name:<{width}}  {value}" for name, value in rows]


def _assigned(result: ImportResult) -> str:
    """The assigned policies, with their stores where there may be doubt."""
    found = [f'"{name}"' for _, name in result.assignments]
    if len({*result.stores, *(store for store, _ in result.assignments)}) > 1:
        found = [f'"{name}" ({store.name.lower()})' for store, name in result.assignments]
    return ", ".join(found) or "no policy"


def _changes_objects(result: ImportResult) -> bool:
    return bool(result.stores) or result.dynamic


def _sets_properties_only(result: ImportResult) -> bool:
    return bool(result.properties) and not _changes_objects(result)


def _others(count: int) -> str:
    return f"{many(count, 'other command')}, without effect on IPsec policies"


def _failures(failures: Sequence[Failure], columns: int) -> Iterator[str]:
    from ipsecfd.policy.mistakes import printable

    for one in failures[:_MOST_LISTED]:
        place = f"{one.file}:{one.line}" if one.line else one.file
        text = printable(one.text)
        room = max(columns - 4, 20)
        yield f"  {printable(place)}"
        if text:
            yield f"    {text if len(text) <= room else text[: room - 3] + '...'}"
        yield from wrap("      ", printable(one.why.replace("\n", "; ")), columns)
    if len(failures) > _MOST_LISTED:
        yield f"  and {len(failures) - _MOST_LISTED:,} more; --json has them all"
