"""Tasks that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

from ipsecfd.agent.background import background


async def test_what_ends_a_task_is_said() -> None:
    """At once, though the task is held on to; an end on purpose is none."""
    told: list[Any] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(context["exception"]))

    async def defect() -> None:
        raise LookupError("a defect")

    async def done() -> None:
        pass

    held = [background(defect()), background(done()), background(asyncio.sleep(60))]
    held[2].cancel()
    await asyncio.wait(held)
    await asyncio.sleep(0)
    assert list(map(str, told)) == ["a defect"]
