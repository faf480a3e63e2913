"""Tasks that nobody waits for: what ends one of them unexpectedly is said all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine


def background(work: Coroutine[object, None, None]) -> asyncio.Task[None]:
    """Start a task. An exception that it does not handle goes to the loop's exception handler at
    once, with its traceback, though somebody holds the task and never asks for its result."""
    task = asyncio.get_running_loop().create_task(work)
    task.add_done_callback(_tell)
    return task


def _tell(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        message = "a defect of ipsecfd: please report it"
        task.get_loop().call_exception_handler({"message": message, "exception": error})
