"""The packet processes together: one that dies is replaced and judges by the newest settings."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import NoReturn

import pytest

from ipsecfd.agent import pool as pool_module
from ipsecfd.agent.pool import Died, Pool
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel.errors import KernelError
from tests.unit.agent.stage import Stage

SECURE, PERMIT = Settings(), Settings(mode=Mode.PERMIT)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    """Nothing runs; a dead process is replaced without much ado."""
    monkeypatch.setattr(pool_module, "RETRY_SECONDS", (0.0, 0.01))
    return Stage(tmp_path)


def pool(stage: Stage, numbers: range, died: Died = lambda _: None) -> Pool:
    """A pool on these queues."""
    return Pool(numbers, stage.start_process, (7, 0.0), stage.said.append, lambda _: None, died)


async def test_one_process_for_each_queue(stage: Stage) -> None:
    """All of them run before any is asked to judge."""
    both = pool(stage, range(88, 90))
    await both.open(SECURE)
    await both.install(PERMIT)
    await both.close()
    assert stage.happened() == [
        "88: starts",
        "89: starts",
        "88: secure v0",
        "89: secure v0",
        "88: permit v0",
        "89: permit v0",
        "88: ends",
        "89: ends",
    ]


async def test_dead_process_is_replaced_at_once(stage: Stage) -> None:
    """Its successor judges by the same settings."""
    one = pool(stage, range(88, 89))
    await one.open(PERMIT)
    stage.happened()
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.01)
    assert stage.happened() == ["88: ends", "88: starts", "88: permit v0"]
    assert one.restarts == 1
    await one.close()


async def test_what_a_dead_process_had_not_told(stage: Stage) -> None:
    """For how long it had said nothing of what it judged: since it began, or was asked last."""
    silences: list[float] = []
    one = pool(stage, range(88, 89), silences.append)
    await one.open(PERMIT)
    await asyncio.sleep(0.02)
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.01)
    assert silences[0] >= 0.02
    await asyncio.sleep(0.02)
    asked = asyncio.get_running_loop().time()
    await one.reports()
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.01)
    assert silences[1] <= asyncio.get_running_loop().time() - asked
    await one.close()


async def test_settings_that_change_meanwhile_are_not_lost(stage: Stage) -> None:
    """What is installed while a process is down goes to its successor."""
    one = pool(stage, range(88, 89))
    await one.open(SECURE)
    stage.happened()
    stage.queue_taken = True
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.005)
    await one.install(PERMIT)
    assert await one.reports() == {88: None}
    stage.queue_taken = False
    await asyncio.sleep(0.05)
    assert stage.happened() == ["88: ends", "88: starts", "88: permit v0"]
    await one.close()


async def test_process_that_takes_no_settings_is_replaced(stage: Stage) -> None:
    """Nothing goes on judging by old settings."""
    one = pool(stage, range(88, 89))
    await one.open(SECURE)
    stage.happened()
    stage.processes[88].stubborn = True
    await one.install(PERMIT)
    await asyncio.sleep(0.01)
    assert stage.happened() == ["88: ends", "88: starts", "88: permit v0"]
    await one.close()


async def test_taken_queue_refuses_the_start(stage: Stage) -> None:
    """No process is left behind."""
    stage.queue_taken = True
    one = pool(stage, range(88, 89))
    with pytest.raises(KernelError):
        await one.open(SECURE)
    assert stage.happened() == []


async def test_defect_in_replacing_is_noticed(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue that nobody will ever judge again ends the service, which a supervisor sees."""
    one = pool(stage, range(88, 89))
    await one.open(SECURE)

    async def defect(_number: int, _drops: tuple[int, float]) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(one, "_start", defect)
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.01)
    with pytest.raises(ZeroDivisionError):
        await one.reports()
    await one.close()


async def test_change_waits_for_a_process_that_starts(stage: Stage) -> None:
    """A successor that is taking the old settings takes the new ones before anybody is told that
    those are in force."""
    one = pool(stage, range(88, 89))
    await one.open(SECURE)
    stage.taking = asyncio.Event()
    stage.processes[88].die("signal 9")
    await asyncio.sleep(0.01)  # the next one has been asked to take the old ones
    change = asyncio.create_task(one.install(PERMIT))
    await asyncio.sleep(0.01)
    assert not change.done()
    stage.taking.set()
    await change
    assert stage.processes[88].settings is PERMIT
    await one.close()


async def test_stopped_process_is_replaced(stage: Stage) -> None:
    """One that is still stopped at the second look; not one that went on meanwhile. Another look is
    wanted only after one that found it stopped."""
    one = pool(stage, range(88, 89))
    await one.open(SECURE)
    stage.happened()
    for stopped in (True, False, True):
        stage.processes[88].stopped = stopped
        assert one.end_stopped() is stopped
    await asyncio.sleep(0.01)
    assert stage.happened() == []
    assert not one.end_stopped()
    await asyncio.sleep(0.01)
    assert stage.happened() == ["88: ends", "88: starts", "88: secure v0"]
    await one.close()
