"""Before a change: which established connections it would cut, the caller's own first."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipsecfd.cli.decision_text import half, wrap
from ipsecfd.cli.live import ask
from ipsecfd.cli.terminal import width
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.agent.report import CutReport, Foresight

SHOWN: Final = 10
"""Connections told one by one in a terminal, where more would push the question away."""
_GENERATIONS: Final = 64
_SESSION: Final = b"SSH_CONNECTION="
_PROC: Final = Path("/proc")


def look_ahead(
    socket: Path | None,
    *,
    file: str | None = None,
    name: str | None = None,
    mode: str | None = None,
    sure: bool,
) -> None:
    """Tell what a change would cut; unless `sure`, ask whether the caller's own session may be.

    Raises IpsecfdError when it may not, or when there is no terminal to ask at.
    """
    found: Foresight = ask(
        socket, "Foresee", file=file, name=name, mode=mode, session=ssh_session()
    )
    if not found.cut:
        return
    shown = SHOWN if sys.stderr.isatty() else len(found.cuts)
    print("\n".join(foresight_lines(found, width(), shown)), file=sys.stderr)
    if sure or not any(one.own for one in found.cuts):
        return
    if not at_terminal():
        raise IpsecfdError(
            "nothing is changed: your own ssh session would be cut; --confirm TIME takes the"
            " change back unless you confirm it, --yes insists"
        )
    these = "this connection" if found.cut == 1 else f"these {found.cut:,} connections"
    print(f"Cut {these}? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise IpsecfdError("nothing is changed")


def at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def foresight_lines(found: Foresight, columns: int, shown: int) -> Iterator[str]:
    """What would be cut, for people: so many connections, and how many more."""
    connections = "connection" if found.connections == 1 else "connections"
    yield f"This cuts {found.cut:,} of {found.connections:,} established {connections}:"
    for one in found.cuts[:shown]:
        own = "  <-- your own ssh session" if one.own else ""
        yield f"  {one.connection}{own}"
        yield from wrap("      ", _why(one), columns)
    left = found.cut - len(found.cuts[:shown])
    if left > 0:
        rest = f"; 2>FILE lists {'them' if found.cut == len(found.cuts) else 'more of them'}"
        yield f"  and {left:,} more{rest if shown < len(found.cuts) else ''}"


def _why(one: CutReport) -> str:
    if one.filter is not None:
        by = half(one.filter, one.mirrored)
        return f'blocked {one.direction} by filter "{by}" of rule "{one.rule}"'
    return f"blocked {one.direction}: {one.reason} {one.detail or ''}".rstrip()


def ssh_session(proc: Path = _PROC) -> str:
    """The SSH_CONNECTION of this process, or of the nearest one above it that has one.

    sudo and su take it out of the environment, but not out of that of the shell they began in.
    Empty where there is none.
    """
    process = "self"
    for _ in range(_GENERATIONS):
        try:
            for one in (proc / process / "environ").read_bytes().split(b"\0"):
                if one.startswith(_SESSION):
                    return one.removeprefix(_SESSION).decode("ascii", "replace")
        except OSError:  # of another user
            pass
        try:
            # pid (name) state parent ...; a name may hold anything.
            _, _, rest = (proc / process / "stat").read_text("utf-8", "replace").rpartition(")")
            process = rest.split()[1]
        except (OSError, IndexError):
            break
    return ""
