"""`ipsecfd policy diff`: filters added and removed, and packets whose verdict changes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from ipsecfd.cli import offline
from ipsecfd.cli.decision_text import decision_fields, half, reason_in_words, wrap
from ipsecfd.cli.in_force import UNASSIGNED, known
from ipsecfd.cli.live import JsonOption, SocketOption, ask
from ipsecfd.cli.packet_text import packet_text
from ipsecfd.cli.terminal import width
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.driver.decision import Decision
from ipsecfd.driver.difference import Change, Difference, difference
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.policy.model import Connection, Store, by_family
from ipsecfd.policy.written import WrittenFilter, removed, written_filters


class Compared(NamedTuple):
    """Two policies, and what is different."""

    removed: list[WrittenFilter]
    added: list[WrittenFilter]
    verdicts: Difference
    settings: Settings


@offline.with_some("address", "server", "profile", "exempt")
def diff(
    one: Annotated[Path, typer.Argument(metavar="FILE", help="A policy file.", show_default=False)],
    options: offline.Options,
    other: Annotated[
        Path | None,
        typer.Argument(
            metavar="FILE", help="What comes after it. Without, it comes after what is in force."
        ),
    ] = None,
    forward: Annotated[
        bool, typer.Option("--forward", help="Also compare routed packets.")
    ] = False,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Compare two policies, or one with what the daemon has in force.

    Shows the filters added and removed, and for each two filters that decide
    differently one packet, written as for explain. Two files need neither
    root nor the daemon. The exit status is 0 whether or not they differ.
    """
    with usage_errors():
        if other is None:
            if options != offline.Options() or forward:
                raise UsageError("options of the host are for two files: the daemon knows its own")
            before, after, settings, forward = _with_daemon(one, socket)
        else:
            settings = options.read_beside(UNASSIGNED).settings
            (a, b), _ = offline.read_policies([one, other])  # `check` tells what is odd
            before, after = [(Store.LOCAL, a)], [(Store.LOCAL, b)]
    compared = compare(before, after, settings, forward=forward)
    if as_json:
        print(json.dumps(fields(compared)))
    else:
        print("\n".join(lines(compared, width())))


def compare(
    before: ActivePolicies, after: ActivePolicies, settings: Settings, *, forward: bool
) -> Compared:
    """What is different."""
    old, new = (list(written_filters(policy for _, policy in some)) for some in (before, after))
    found = difference(before, after, settings, forward=forward)
    return Compared(removed(old, new), removed(new, old), found, settings)


def _with_daemon(
    file: Path, socket: Path | None
) -> tuple[ActivePolicies, ActivePolicies, Settings, bool]:
    """What is in force, what would be with a file assigned, and the daemon's host."""
    [candidate], _ = offline.read_policies([file])
    now = known(ask(socket, "GetPolicies"), ask(socket, "GetMode"))
    before = now.policies
    if any(store is Store.DOMAIN for store, _ in before):
        print(
            "note: a domain policy is in force, and stays when a local one is assigned;"
            " compared as if it went",
            file=sys.stderr,
        )
    if now.mode != "secure":
        print(
            f"note: the daemon is in {now.mode} mode; compared is what the policies say",
            file=sys.stderr,
        )
    replaced = (Store.LOCAL, Store.DOMAIN)
    after = [(store, policy) for store, policy in before if store not in replaced]
    host = offline.Options().read_beside(now._replace(policies=[], mode="secure"))
    return before, [*after, (Store.LOCAL, candidate)], host.settings, now.forward


def lines(compared: Compared, columns: int) -> Iterator[str]:
    """The difference, for people."""
    yield _filters_in_words(compared)
    for sign, some in (("-", compared.removed), ("+", compared.added)):
        for one in some:
            yield from wrap(f"  {sign} {one.action.words:9} ", _written(one), columns)
    yield ""
    yield from _verdicts(compared, columns)


def _filters_in_words(compared: Compared) -> str:
    if not compared.removed and not compared.added:
        return "Filters: the same"
    return f"Filters: {len(compared.removed):,} removed, {len(compared.added):,} added"


def _written(one: WrittenFilter) -> str:
    where = "" if one.connection is Connection.ALL else f", {one.connection.value} connections only"
    return f"{one.filter.written} [{one.rule or '(unnamed)'}{where}]"


def _verdicts(compared: Compared, columns: int) -> Iterator[str]:
    changes, complete = compared.verdicts.changes, compared.verdicts.complete
    me = (
        ", ".join(map(str, sorted(compared.settings.host.addresses, key=by_family))) or "no address"
    )
    if not changes:
        yield from wrap("", f"No packet meets another verdict (me is {me}).", columns)
    else:
        kinds = "kind of packets meets" if len(changes) == 1 else "kinds of packets meet"
        yield from wrap(
            "", f"{len(changes):,} {kinds} another verdict; examples (me is {me}):", columns
        )
    for change in changes:
        yield ""
        on = " (on a dial-up interface)" if change.dialup else ""
        yield f"  {packet_text(*change.example)}{on}"
        for label, decision in (("before", change.before), ("after", change.after)):
            verdict = decision.verdict.value
            yield from wrap(f"      {label:6}  {verdict:6}  ", _cause(decision), columns)
    if not complete:
        yield ""
        yield "There may be more: the policies have too little in common to try everything."


def _cause(decision: Decision) -> str:
    if decision.filter is None:
        return reason_in_words(decision)
    return f"{half(decision.filter, decision.mirrored)} [{decision.rule or '(unnamed)'}]"


def fields(compared: Compared) -> dict[str, object]:
    """The difference as JSON."""
    return {
        "removed": [_filter_fields(one) for one in compared.removed],
        "added": [_filter_fields(one) for one in compared.added],
        "changes": [_change_fields(one) for one in compared.verdicts.changes],
        "complete": compared.verdicts.complete,
    }


def _filter_fields(one: WrittenFilter) -> dict[str, object]:
    return {
        "rule": one.rule,
        "action": one.action.words,
        "connection": one.connection.value,
        "filter": one.filter.written,
    }


def _change_fields(one: Change) -> dict[str, object]:
    return {
        "packet": packet_text(*one.example),
        "dialup": one.dialup,
        "before": decision_fields(one.before),
        "after": decision_fields(one.after),
    }
