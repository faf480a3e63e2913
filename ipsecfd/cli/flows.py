"""`ipsecfd flows`: what the kernel has learnt, and lets pass or drops by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Final

import typer

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import many, size
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json
from ipsecfd.cli.packet_words import WAYS, decided_by, endpoint
from ipsecfd.cli.terminal import width
from ipsecfd.cli.usage import usage_errors
from ipsecfd.cli.values import number
from ipsecfd.cli.wanted import (
    Wanted,
    address_option,
    direction_option,
    port_option,
    rule_option,
)

if TYPE_CHECKING:
    from ipsecfd.agent.packet_reports import FlowList, FlowReport

TOP: Final = 50
"""Flows shown, if nothing else is said."""

_MOST = 10_000  # the daemon gives no more at once


def flows(
    address: Annotated[str | None, address_option("Flows")] = None,
    port: Annotated[int | None, port_option("Flows")] = None,
    rule: Annotated[str | None, rule_option("Flows")] = None,
    direction: Annotated[str | None, direction_option("Flows")] = None,
    top: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            parser=number(1, _MOST),
            help=f"Show the N with most packets; default {TOP}.",
        ),
    ] = None,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """List the flows that the kernel decides about by itself.

    It has learnt them from the filters, which are shown as well.

    The packets of such a flow pass, or are dropped, without being judged,
    until it is forgotten: after a minute, or with the next change of
    policies, mode or addresses.
    """
    with usage_errors():
        Wanted.of_options(address, port, rule, direction)  # the daemon reads them once more
    found: FlowList = ask(
        socket,
        "ListFlows",
        address=address,
        port=port,
        rule=rule,
        direction=direction,
        most=top or TOP,
    )
    if as_json:
        print_json(found)
    else:
        print("\n".join(flow_lines(found, width())))


def flow_lines(found: FlowList, columns: int) -> list[str]:
    """The flows as a table, those with most packets first."""
    lines = [
        f"{many(found.total, 'flow')} learnt: {many(found.packets, 'packet')}, {size(found.octets)}"
    ]
    if found.why_off is not None:
        lines += wrap("", f"nothing more is learnt: {found.why_off}", columns)
    if not found.flows:
        return lines
    digits = max(7, len(f"{found.flows[0].packets:,}"))
    lines.append(f"{'packets':>{digits}}  {'bytes':>8}  left  flow, and what decides about it")
    for one in found.flows:
        label = f"{one.packets:>{digits},}  {size(one.octets):>8}  {one.seconds_left:>3}s  "
        lines += wrap(label, _flow(one), columns)
        lines += wrap(" " * (len(label) + 2), f"{one.verdict} {decided_by(one)}", columns)
    left = found.total - len(found.flows)
    if left:
        more = f": --top {min(found.total, _MOST)}" if len(found.flows) < _MOST else ""
        lines.append(f"and {left:,} more{more}")
    return lines


def _flow(one: FlowReport) -> str:
    source = endpoint(one.source, one.source_port)
    destination = endpoint(one.destination, one.destination_port)
    where = f" {one.interface}" if one.interface else ""
    return f"{WAYS[one.direction]}{where} {one.protocol} {source} -> {destination}"
