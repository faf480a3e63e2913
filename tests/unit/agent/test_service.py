"""What the service does now and then, beside what it is told to do."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from types import SimpleNamespace

import pytest

from ipsecfd.agent import service
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.systemd import Systemd
from ipsecfd.errors import ConfigurationError, IpsecfdError
from tests.unit.agent.stage import Stage
from tests.unit.agent.test_status import page


def test_lines_are_said_in_one_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    """What two threads say at the same time stands on lines of its own."""
    pieces: list[str] = []
    said = SimpleNamespace(write=pieces.append, flush=lambda: None)
    monkeypatch.setattr(sys, "stderr", said)
    service._say("first\nsecond")
    assert pieces == ["ipsecfd: first\n", "ipsecfd: second\n"]


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


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("profile = 5", '"5": expected one of'),
        ("profile = ", "not TOML"),
        ('profile = "win2000"\nstate_dir = "{kept}"', 'exempt: "3": expected one of 0, 1'),
        ('state_dir = "{damaged}"', "not TOML"),
    ],
)
def test_mistake_in_the_configuration_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, mistake: str
) -> None:
    """In its file, in what was set over it, or where the two do not fit: no other try mends it."""
    kept, damaged = tmp_path / "kept", tmp_path / "damaged"
    for state, properties in ((kept, "ipsecexempt = 3\n"), (damaged, "[[")):
        state.mkdir()
        (state / "properties.toml").write_text(properties)
    config = tmp_path / "ipsecfd.toml"
    config.write_text(text.format(kept=kept, damaged=damaged))
    monkeypatch.setattr(service, "_check_privileges", lambda: None)
    with pytest.raises(ConfigurationError) as caught:
        service.run(config, [])
    assert mistake in str(caught.value)


def test_configuration_that_cannot_be_read_is_no_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is in the way may go: another try is worth it."""
    monkeypatch.setattr(service, "_check_privileges", lambda: None)
    with pytest.raises(IpsecfdError) as caught:
        service.run(tmp_path, [])
    assert not isinstance(caught.value, ConfigurationError)
    assert "cannot be read" in str(caught.value)
