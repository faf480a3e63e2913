"""What the service does now and then, beside what it is told to do."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

import pytest

from ipsecfd.agent import service
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.systemd import Systemd
from tests.unit.agent.stage import Stage
from tests.unit.agent.test_status import page


class Manager(Systemd):
    """Waits for signs of life."""

    def __init__(self) -> None:
        super().__init__()
        self.signs = asyncio.Semaphore(0)

    def alive(self) -> None:
        self.signs.release()


@contextlib.asynccontextmanager
async def running(*jobs: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run these for a while."""
    tasks = [asyncio.create_task(job) for job in jobs]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task


async def test_the_watchdog_waits_for_no_set(
    stage: Stage, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packets are judged, however long the kernel's sets take to read."""
    monkeypatch.setattr(service, "WATCH_SECONDS", 0.01)
    manager = Manager()
    stage.reading.clear()
    async with (
        asyncio.timeout(10),
        running(service._watch(agent, page(agent), manager), service._count(agent)),
    ):
        for _ in range(5):
            await manager.signs.acquire()
    stage.reading.set()
