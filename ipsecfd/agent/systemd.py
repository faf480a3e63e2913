"""systemd's side of the service: readiness, reloads, watchdog, and who decides after the end."""

from __future__ import annotations

import os
import time
from typing import Final

from sdnotify import SystemdNotifier

NO_OTHER_TRY: Final = os.EX_CONFIG
"""The exit status of a start that the unit tries no second time (`RestartPreventExitStatus=`)."""


class Systemd:
    """Tells the service manager; without one, nobody."""

    def __init__(self) -> None:
        self._notifier = SystemdNotifier() if "NOTIFY_SOCKET" in os.environ else None
        if self._notifier is not None and self._notifier.socket is not None:
            # A manager that does not read must not hold the agent up: what it missed, it missed.
            self._notifier.socket.setblocking(False)

    def ready(self) -> None:
        """The policies are in force."""
        self._tell("READY=1")

    def reloading(self) -> None:
        """A reload begins; `ready` ends it."""
        now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={now}")

    def stopping(self) -> None:
        """The service is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Packets are judged."""
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """One line for `systemctl status`."""
        self._tell(f"STATUS={text}")

    def _tell(self, state: str) -> None:
        if self._notifier is not None:
            self._notifier.notify(state)


def is_manager() -> bool:
    """Whether this very process is a service's main process.

    Its ExecStopPost then decides about the rules. A notification socket alone proves nothing: it
    is inherited, and others than systemd offer one.
    """
    return "NOTIFY_SOCKET" in os.environ and os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid())


def watchdog_seconds() -> float | None:
    """How often systemd wants a sign of life at least; None if it does not care."""
    try:
        return int(os.environ["WATCHDOG_USEC"]) / 1e6 or None
    except (KeyError, ValueError):
        return None
