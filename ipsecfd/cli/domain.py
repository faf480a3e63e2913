"""`ipsecfd domain`: the policy for many hosts, and where it comes from (spec 1.5, 1.6)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import typer

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.figures import time
from ipsecfd.cli.group import Group
from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_json
from ipsecfd.cli.terminal import width

if TYPE_CHECKING:
    from ipsecfd.agent.report import DomainReport

app = typer.Typer(cls=Group, help="The domain policy: refresh, status.", no_args_is_help=True)


@app.command()
def refresh(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Fetch the domain policy now, and have it in force."""
    done: str = ask(socket, "RefreshDomain")
    if as_json:
        print_json({"done": done})
    else:
        print(done)


@app.command()
def status(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Show where the domain policy comes from, and when it last came."""
    found: DomainReport = ask(socket, "GetDomain")
    if as_json:
        print_json(found)
    else:
        print("\n".join(status_lines(found, width())))


def status_lines(found: DomainReport, columns: int) -> Iterator[str]:
    """What is known, a line each."""
    policy = f'"{found.policy}"' if found.policy else "none is assigned"
    if not found.known:
        policy = "nothing is known of it: the source was never reached"
    elif found.copy:
        policy += ", from the copy kept here"
    rows = {
        "source": found.source,
        "policy": policy,
        "last success": time(found.last_success) if found.last_success else "none in this run",
        "last error": found.error or "none",
        "next look": time(found.next_look),
        "etag": found.etag or "none",
    }
    for label, text in rows.items():
        for number, line in enumerate(text.splitlines()):
            yield from wrap(f"{'' if number else label:14}", line, columns)
