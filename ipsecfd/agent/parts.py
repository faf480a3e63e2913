"""What the agent acts through: rules, packet processes, log and files. Tests replace them."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from ipsecfd.agent.config import Config
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.hook import ReadFlows, Rules
from ipsecfd.agent.noted import Noted
from ipsecfd.agent.pool import Say, StartProcess
from ipsecfd.agent.readings import ReadCounters
from ipsecfd.agent.sources import Load, StoreFiles
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel.boottime import BootTime
from ipsecfd.kernel.connections import TcpConnection
from ipsecfd.kernel.expected import Expected
from ipsecfd.policy.model import IPAddress
from ipsecfd.policy.names import Renewal


class Log(Protocol):
    """Takes the agent's events, as `agent.diagnostics.Diagnostics` does."""

    def event(self, event_id: int, message: str, **fields: object) -> None:
        """Log something that happened, under Windows' number for it."""


class BootRules(Protocol):
    """The start-up rules of the next boot and of this one, as `agent.bootfile.BootFile`."""

    def keep(self) -> None:
        """Have the next boot begin as the next start would; raises IpsecfdError."""

    def loaded(self) -> Mode | None:
        """The start-up mode whose rules are in force; None if none are. Raises KernelError."""


@dataclass(frozen=True, slots=True)
class Parts:
    """Everything outside the agent that it acts through."""

    rules: Rules
    read_flows: ReadFlows
    read_counters: ReadCounters
    expected: Expected
    noted: Noted
    boot_file: BootRules
    start_process: StartProcess
    log: Log
    load: Load
    renew: Callable[[Iterable[str]], tuple[Renewal, ...]]
    """Resolves DNS names anew, for the policies that are read afterwards."""
    stores: StoreFiles
    domain: Callable[[Config], Domain | None]
    """What looks for the domain policy, if a source is configured."""
    load_config: Callable[[], Config]
    """Reads the configuration again; properties are as they were at the start."""
    load_next_config: Callable[[], Config]
    """Reads what the configuration of the next start would be."""
    say: Say
    """For whoever watches the terminal or the journal."""
    now: Callable[[], datetime.datetime]
    boottime: Callable[[], BootTime]
    connections: Callable[[], list[TcpConnection]]
    """The open connections; raises KernelError."""
    interfaces: Callable[[], dict[IPAddress, str]]
    """The interface of each of the host's addresses; raises KernelError."""
