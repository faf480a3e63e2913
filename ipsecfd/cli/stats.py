"""`ipsecfd stats`: how often each decision was made, and how often each filter made one."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import many, size, time
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json
from ipsecfd.cli.packet_words import WAYS, decided_by
from ipsecfd.cli.terminal import width
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.cli.values import number, offered, one_of
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.agent.packet_reports import (
        CacheReport,
        Count,
        FilterCount,
        FilterPage,
        StatsReport,
        UnreportedReport,
    )

TOP: Final = 50
"""Lines of a table, if nothing else is said."""

_TRIES = 5


def stats(
    what: Annotated[
        str | None,
        typer.Argument(
            metavar="WHAT",
            help="filters: count by filter.",
            parser=one_of(["filters"]),
            autocompletion=offered(["filters"]),
        ),
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Filters that decided nothing, too, and all lines.")
    ] = False,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=number(1), help=f"Show the N most frequent; default {TOP}."
        ),
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Count packets by what decided about them, or by filter.

    What decides is a filter, an exemption, a mode or another cause.

    With `filters`, how often each filter of the policies in force decided,
    and when it last did, whichever way the packets went. What the kernel
    let pass by itself is in all counts, as of its last reading.
    """
    with usage_errors():
        if every and what is None:
            raise UsageError("--all: only with `ipsecfd stats filters`")
        if every and top is not None:
            raise UsageError("--all and --top: expected one of them")
    if what is None:
        found: StatsReport = ask(socket, "Stats")
        if as_json:
            print_json(found)
        else:
            print("\n".join(stats_lines(found, top or TOP, width())))
        return
    pages = filter_pages(socket, every=every)
    filters = [one for page in pages for one in page.filters]
    if as_json:
        print_json(filters_fields(pages, filters))
        return
    most = len(filters) if every else top or TOP
    print("\n".join(filter_lines(pages, filters, most, width())))


def stats_lines(found: StatsReport, top: int, columns: int) -> list[str]:
    """The counts as a table, the most frequent first."""
    lines = [f"Packets judged since {time(found.since)}"]
    if not found.counts:
        return [*lines, "  none", *_notes(found.cache, found.unreported, columns)]
    digits = max(7, len(f"{found.counts[0].packets:,}"))
    lines.append(f"{'packets':>{digits}}  {'bytes':>8}  kernel  way  verdict  why")
    for one in found.counts[:top]:
        lines += wrap(_label(one, digits), decided_by(one, one.detail), columns)
    left = found.counts[top:]
    if left or found.left_out:
        rest = sum(one.packets for one in left) + found.left_out_packets
        more = many(len(left) + found.left_out, "more line")
        how = f": --top {len(found.counts)}" if left else ""
        lines.append(f"{rest:>{digits},}  in {more}{how}")
    return [*lines, *_notes(found.cache, found.unreported, columns)]


def _label(one: Count, digits: int) -> str:
    kernel = f"{one.learnt * 100 // one.packets}%" if one.learnt else "-"
    counts = f"{one.packets:>{digits},}  {size(one.octets):>8}  {kernel:>6}"
    return f"{counts}  {WAYS[one.direction]}  {one.verdict:7}  "


def filter_pages(socket: Path | None, *, every: bool) -> list[FilterPage]:
    """All parts of the list of filters, of one version of the policies; raises IpsecfdError."""
    for _ in range(_TRIES):
        pages: list[FilterPage] = []
        first: int | None = 0
        while first is not None:
            page: FilterPage = ask(socket, "FilterStats", every=every, first=first)
            if pages and page.version != pages[0].version:
                break
            pages.append(page)
            first = page.next
        if first is None:
            return pages
    raise IpsecfdError("the policies change all the time: try again")


def filters_fields(pages: list[FilterPage], filters: list[FilterCount]) -> dict[str, Any]:
    """The parts as one list, for scripts."""
    fields = asdict(pages[0])
    del fields["next"]
    return fields | {
        "filters": [asdict(one) for one in filters],
        "left_out": sum(page.left_out for page in pages),
    }


def filter_lines(
    pages: list[FilterPage], filters: list[FilterCount], most: int, columns: int
) -> list[str]:
    """The filters as a table, those that decided most first."""
    ordered = sorted(filters, key=lambda one: -one.packets)
    lines = [f"Filters since {time(pages[0].since)}"]
    digits = max(7, *(len(f"{one.packets:,}") for one in ordered[:1]), 0)
    if ordered:
        lines.append(f"{'hits':>{digits}}  {'bytes':>8}  last hit    action and filter")
    for one in ordered[:most]:
        label = f"{one.packets:>{digits},}  {size(one.octets):>8}  {_last(one.last):10}  "
        action = one.action or "(not in force)"
        lines += wrap(label, f"{action:6}  {one.filter} [{one.rule}]", columns)
    left = ordered[most:]
    if left:
        rest = sum(one.packets for one in left)
        more = many(len(left), "more line")
        lines.append(f"{rest:>{digits},}  in {more}: --top {len(ordered)}")
    silent = sum(page.left_out for page in pages)
    if silent:
        lines.append(f"{many(silent, 'filter')} decided nothing: --all")
    elif not ordered:
        lines.append("  no filter is in force")
    return [*lines, *_notes(pages[0].cache, pages[0].unreported, columns)]


def _last(iso: str | None) -> str:
    """When it was: the time of today, the date of another day."""
    if iso is None:
        return "never"
    at = datetime.datetime.fromisoformat(iso)
    return f"{at:%H:%M:%S}" if at.date() == datetime.datetime.now(at.tzinfo).date() else f"{at:%F}"


def _notes(cache: CacheReport, unreported: UnreportedReport, columns: int) -> Iterator[str]:
    """What there is to know about the counts, behind an empty line."""
    texts = [*_about_kernel(cache), *_about_deaths(unreported)]
    if texts:
        yield ""
    for text in texts:
        yield from wrap("", text, columns)


def _about_deaths(unreported: UnreportedReport) -> Iterator[str]:
    if unreported.since is not None and unreported.until is not None:
        deaths, since = unreported.deaths, time(unreported.since)
        died = "A packet process died" if deaths == 1 else f"{deaths:,} packet processes died, last"
        yield f"{died} at {time(unreported.until)}: what it judged since {since} is in no count."


def _about_kernel(cache: CacheReport) -> Iterator[str]:
    """What of it the kernel decided, and what may be missing."""
    if cache.read is None:
        return
    yield (
        f"The kernel decided {many(cache.packets, 'packet')} ({size(cache.octets)}) by itself, as"
        f" last read {time(cache.read)}."
    )
    if cache.missing_packets:
        be = "is" if cache.missing_packets == 1 else "are"
        packets = many(cache.missing_packets, "packet")
        yield (
            f"Of these {packets} ({size(cache.missing_octets)}) {be} in no line above: of flows"
            " that ended between two readings."
        )
    if cache.lost_since is not None and cache.lost_until is not None:
        again = f"{cache.losses:,} times, last " if cache.losses > 1 else ""
        yield (
            f"Another program took our rules or counters away {again}at {time(cache.lost_until)}:"
            f" what the kernel decided by itself since {time(cache.lost_since)} is in no count."
        )
    if cache.refused:
        be = "was" if cache.refused == 1 else "were"
        packets = many(cache.refused, "packet")
        yield f"{packets} {be} judged because their flows found no room in a set."
