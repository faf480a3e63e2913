"""Hears of changes of our table, by us or by others, the moment they are made."""

from __future__ import annotations

import asyncio
import socket
import time
from types import TracebackType
from typing import Final

from ipsecfd.kernel import nfnetlink
from ipsecfd.kernel.rules import TABLE

_MESSAGE_BYTES: Final = 1 << 16
_MESSAGES: Final = 64  # read in one go; the rest when others had their turn


class RuleWatch:
    """Use as an async context manager; `changed` waits for the next change."""

    def __init__(self) -> None:
        self._heard: float | None = None
        self._something = asyncio.Event()
        self._netlink: socket.socket

    async def __aenter__(self) -> RuleWatch:
        self._netlink = nfnetlink.listen()
        asyncio.get_running_loop().add_reader(self._netlink, self._take)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        asyncio.get_running_loop().remove_reader(self._netlink)
        self._netlink.close()

    async def changed(self, seconds: float) -> float | None:
        """When (`time.monotonic`) the first change since the last call was heard of.

        Waits for one; None when there was none for so many seconds.
        """
        try:
            async with asyncio.timeout(seconds):
                await self._something.wait()
        except TimeoutError:
            return None
        self._something.clear()
        return self._heard

    def _take(self) -> None:
        for _ in range(_MESSAGES):
            try:
                ours = TABLE in nfnetlink.tables_named(self._netlink.recv(_MESSAGE_BYTES))
            except BlockingIOError:
                return
            except OSError:  # more than the socket holds: something, and perhaps of ours
                ours = True
            if ours and not self._something.is_set():
                self._heard = time.monotonic()
                self._something.set()
