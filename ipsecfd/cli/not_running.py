"""What root is told when no daemon answers: what becomes of packets meanwhile, and what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ipsecfd.agent.lock import runs_in_network
from ipsecfd.kernel import boot, rules, standing

_SOCKETS: Final = Path("/proc/net/unix")
_LISTENS: Final = "00010000"  # the flags of a socket there
_START: Final = "start it with `systemctl start ipsecfd` or `ipsecfd run`"


def describe(socket: Path) -> str:
    """One line or two, by what is in the kernel now; raises KernelError."""
    if runs_in_network():
        if _listens(socket) and not socket.exists():
            return (
                f"a daemon runs in this network and serves {socket}, but that file was removed, so"
                " nobody can reach it: `systemctl restart ipsecfd` has it made anew"
            )
        return (
            f"nobody serves {socket}, but a daemon runs in this network: it is just starting, or"
            " serves another socket, which --socket names"
        )
    known = f"the daemon is not running (nobody serves {socket})"
    mode = boot.loaded()
    if mode is not None:
        return (
            f"{known}; the start-up rules of the boot are in force: {mode} mode\n"
            "`systemctl start ipsecfd` has packets judged, `systemctl stop ipsecfd` opens the host"
        )
    if not rules.present():
        return f"{known}, and nothing is filtered: {_START}"
    if standing.bypassed(rules.TABLE):
        return f"{known}; its rules are there, but let packets pass unjudged: {_START}"
    return (
        f"{known}, but its rules are there: this host is closed\n"
        "`systemctl start ipsecfd` has packets judged again,"
        " `systemctl stop ipsecfd` opens the host\n"
        f"(`nft delete table inet {rules.TABLE}` does where it was run by hand)\n"
        "`journalctl -u ipsecfd -n 20` says why it ended"
    )


def _listens(socket: Path) -> bool:
    """Whether a process of this network listens at this path, where its file may be gone."""
    text = _SOCKETS.read_text(errors="surrogateescape")
    line = rf"^\S+: \S+ \S+ {_LISTENS} \S+ \S+ +\d+ {re.escape(str(socket))}$"
    return re.search(line, text, re.MULTILINE) is not None
