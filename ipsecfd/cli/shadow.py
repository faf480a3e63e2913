"""`ipsecfd shadow`: a policy that judges live traffic, and decides nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import many, time
from ipsecfd.cli.live import (
    JsonOption,
    SocketOption,
    ask,
    print_json,
    print_notes,
    visible_to_the_service,
)
from ipsecfd.cli.packet_words import WAYS, decided_by, endpoint
from ipsecfd.cli.terminal import width
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.cli.values import number, offered

if TYPE_CHECKING:
    from ipsecfd.agent.packet_reports import ShadowChange, ShadowFlow, ShadowReport, Why

TOP: Final = 20
"""Changes shown, if nothing else is said."""
FLOWS: Final = 3
"""Flows shown of each, if nothing else is said."""

_MOST = 1_000  # the daemon gives no more at once
_MEANWHILE: Final = (
    "until `ipsecfd shadow off` or the end of the service; meanwhile the kernel learns nothing"
)


def shadow(
    what: Annotated[
        str,
        typer.Argument(
            metavar="FILE|show|off",
            help="A policy; ./show is a file.",
            autocompletion=offered(["show", "off"]),
        ),
    ] = "show",
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=number(1, _MOST),
            help=f"show: the N with most packets; default {TOP}.",
        ),
    ] = None,
    flows: Annotated[
        int | None,
        typer.Option(
            metavar="N", parser=number(0, _MOST), help=f"show: N flows of each; default {FLOWS}."
        ),
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """See on live traffic what another policy would change.

    FILE   judges every packet from now on beside the policies in force, as
           if it were the assigned policy; its verdicts are only counted

    show   what would change, by filter, with flows

    off    ends it

    Meanwhile the kernel learns nothing, so that every packet is judged:
    throughput is that of `cache = "off"` or less. Another policy in force
    makes counting begin anew; the end of the service ends it.
    """
    with usage_errors():
        if what != "show" and (top is not None or flows is not None):
            raise UsageError("--top and --flows: only with `ipsecfd shadow show`")
    if what == "off":
        ask(socket, "StopShadow")
        print_notes([], "no shadow policy judges any more", as_json=as_json)
    elif what == "show":
        most, each = top or TOP, FLOWS if flows is None else flows
        found: ShadowReport = ask(socket, "GetShadow", most=most, flows=each)
        if as_json:
            print_json(found)
        else:
            print("\n".join(shadow_lines(found, width())))
    else:
        path = Path(what).absolute()
        with visible_to_the_service(path):
            notes = ask(socket, "StartShadow", file=str(path))
        print_notes(
            [*notes, _MEANWHILE], f"judges beside the policies in force: {path}", as_json=as_json
        )


def shadow_lines(found: ShadowReport, columns: int) -> list[str]:
    """What would change, the changes with most packets first."""
    lines = wrap("", f"Shadow policy {found.policy}, in place of the {found.store} policy", columns)
    lines.append(f"  {found.file}")
    lines += wrap("  ", f"compared with what is in force, since {time(found.since)}", columns)
    lines += wrap("  ", "the kernel learns nothing meanwhile: every packet is judged", columns)
    if found.mode != "secure":
        lines += wrap("  ", f"{found.mode} mode decides now, not the policies", columns)
    if found.faults:
        fault = f"{many(found.faults, 'packet')} it failed to judge, which is a defect of ipsecfd"
        lines += wrap("  ", f"{fault}: please report it", columns)
    changed = f"{found.changed:,} would meet another verdict"
    lines += ["", *wrap("", f"{many(found.packets, 'packet')} judged twice, {changed}", columns)]
    for change in found.changes:
        lines += ["", *_change_lines(change, columns)]
    if found.left_out_packets:
        more = f"{many(found.left_out_packets, 'packet')} of other changes"
        hint = f": --top {min(found.left_out + len(found.changes), _MOST)}"
        lines += ["", f"and {more}{hint if found.left_out else ''}"]
    return lines


def _change_lines(change: ShadowChange, columns: int) -> list[str]:
    way, now, then = WAYS[change.direction].strip(), change.now, change.then
    lines = [f"{way}, {now.verdict} now, {then.verdict} then: {many(change.packets, 'packet')}"]
    for label, why in (("now", now), ("then", then)):
        lines += wrap(f"  {label:4}  ", _why(why), columns)
    digits = max((len(f"{one.packets:,}") for one in change.flows), default=0)
    for one in change.flows:
        lines += wrap(f"  {one.packets:>{digits},}  ", _flow(one), columns)
    if change.left_out:
        flows = many(change.left_out, "more flow")
        lines.append(f"  and {many(change.left_out_packets, 'packet')} of {flows}")
    if change.untold_packets:
        lines.append(f"  and {many(change.untold_packets, 'packet')} of flows not told apart")
    return lines


def _why(why: Why) -> str:
    return decided_by(why, why.detail)


def _flow(one: ShadowFlow) -> str:
    source = endpoint(one.source, one.source_port)
    destination = endpoint(one.destination, one.destination_port)
    return f"{one.protocol or 'fragment'} {source} -> {destination}"
