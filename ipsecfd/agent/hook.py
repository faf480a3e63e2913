"""The agent's hold on the kernel's rules: put in place, kept there, taken away."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from ipsecfd.agent.config import Config
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.rules import RulesConfig


class Rules(Protocol):
    """The kernel's rules, as `kernel.rules` has them. Each call may take a while."""

    def install(self, config: RulesConfig) -> str:
        """Queue packets from now on; says by which hook."""

    def remove(self) -> None:
        """Take all rules away."""

    def present(self) -> bool:
        """Whether there are rules, perhaps of a run that crashed."""


class Hook:
    """The rules that a configuration asks for."""

    def __init__(self, rules: Rules, config: Config) -> None:
        self.kind = ""
        """How packets come to the queue, once they do."""
        self._rules = rules
        self._config = RulesConfig(
            queue=config.queue.number,
            processes=config.queue.processes,
            forward=config.forward,
            bypass=config.on_failure == "permit",
            mark=config.queue.mark,
        )

    async def present(self) -> bool:
        """Whether there are rules of ours; raises KernelError."""
        return await asyncio.to_thread(self._rules.present)

    async def install(self) -> None:
        """Queue packets from now on; raises KernelError and changes nothing when refused."""
        installing = asyncio.create_task(asyncio.to_thread(self._rules.install, self._config))
        try:
            self.kind = await asyncio.shield(installing)
        except asyncio.CancelledError:
            # A thread cannot be stopped: wait for it, or it would undo what comes next.
            with contextlib.suppress(IpsecfdError):
                self.kind = await installing
            raise

    async def remove(self) -> None:
        """Take all rules away; raises KernelError."""
        await asyncio.to_thread(self._rules.remove)
