"""What the agent acts through: rules, packet processes, log and files. Tests replace them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ipsecfd.agent.config import Config
from ipsecfd.agent.hook import Rules
from ipsecfd.agent.policies import Load
from ipsecfd.agent.pool import Say, StartProcess
from ipsecfd.policy.names import Renewal


class Log(Protocol):
    """Takes the agent's events, as `agent.diagnostics.Diagnostics` does."""

    def event(self, event_id: int, message: str, **fields: object) -> None:
        """Log something that happened, under Windows' number for it."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything outside the agent that it acts through."""

    rules: Rules
    start_process: StartProcess
    log: Log
    load: Load
    renew: Callable[[Iterable[str]], tuple[Renewal, ...]]
    """Resolves DNS names anew, for the policies that are read afterwards."""
    load_config: Callable[[], Config]
    """Reads the configuration again."""
    say: Say
    """For whoever watches the terminal or the journal."""
    now: Callable[[], datetime.datetime]
