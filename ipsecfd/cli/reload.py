"""`ipsecfd reload`: configuration and policies read again, whole or not at all."""

from __future__ import annotations

from ipsecfd.cli.live import JsonOption, SocketOption, ask, print_notes


def reload(as_json: JsonOption = False, socket: SocketOption = None) -> None:
    """Read configuration and policies again.

    With a mistake in any of them everything stays as it is, and the exit status is 1.
    """
    print_notes(ask(socket, "Reload"), "reloaded", as_json=as_json)
