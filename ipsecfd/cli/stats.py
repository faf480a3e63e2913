"""`ipsecfd stats`: how often each decision was made."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ipsecfd.cli.decision_text import half, wrap
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json, width
from ipsecfd.cli.policy import time

if TYPE_CHECKING:
    from ipsecfd.agent.report import Count, Stats


def stats(
    top: Annotated[int, typer.Option(metavar="N", min=1, help="Show the N most frequent.")] = 50,
    as_json: JsonOption = False,
    socket: SocketOption = None,
) -> None:
    """Show how many packets each filter, exemption or other cause decided about.

    Counting begins anew when mode, policies or addresses change; `status` has the totals.
    """
    found: Stats = ask(socket, "Stats")
    if as_json:
        print_json(found)
    else:
        print("\n".join(stats_lines(found, top, width())))


def stats_lines(found: Stats, top: int, columns: int) -> list[str]:
    """The counts as a table, the most frequent first."""
    lines = [f"Packets judged since {time(found.since)}"]
    if not found.counts:
        return [*lines, "  none"]
    digits = max(7, len(f"{found.counts[0].packets:,}"))
    lines.append(f"{'packets':>{digits}}  {'way':7}  verdict  why")
    for one in found.counts[:top]:
        label = f"{one.packets:>{digits},}  {one.direction:7}  {one.verdict:7}  "
        lines += wrap(label, _why(one), columns)
    left = found.counts[top:]
    if left:
        rest = sum(one.packets for one in left)
        lines.append(f"{rest:>{digits},}  in {len(left):,} more lines: --top {len(found.counts)}")
    return lines


def _why(one: Count) -> str:
    if one.filter is not None:
        return f"{half(one.filter, one.mirrored)} [{one.rule}]"
    return " ".join(filter(None, (one.reason, one.exemption, one.detail)))
