"""Keeps the host's addresses and servers current while the service runs.

Netlink events, and a look at the resolver's and DHCP clients' files once a second, only wake the
watcher up; it then reads everything anew, so no lost or misread event can leave it wrong.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias, TypeVar

from ipsecfd.driver.host import Host
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.network.host import ROOT, Stamp, read_host, stamp
from ipsecfd.kernel.network.rtnetlink import event_socket

SETTLE: Final = 0.005
"""Seconds from the first event of a burst to reading."""
REST: Final = 0.01
"""Seconds from one reading to the next at least, and ten times the processor time that it took: a
storm of events costs a tenth of one core at most, and a busy machine does not make us slower."""
POLL: Final = 1.0
"""Seconds between two looks at the files."""
RESYNC: Final = 60.0
"""Seconds after which everything is read anew without a reason: the kernel drops some IPv4 routes
without telling anybody."""
MAX_EVENTS: Final = 1000
"""Events taken at once, more than the socket holds."""


Links: TypeAlias = dict[int, str]
"""The names of all interfaces by index."""


_Found = TypeVar("_Found")


class NetworkWatcher:
    """Keeps `host` current while its `async with` block runs, and tells `on_change` each new Host.

    `on_change` is called in the event loop, about 10 ms after a change in the kernel, about a
    second after one in a file, and only when the Host differs or, with a Host equal to the one
    before, when an interface came, went or has another name.
    """

    def __init__(self, on_change: Callable[[Host], None], root: Path = ROOT) -> None:
        self.host = Host(delivered=True)
        """The host as last read."""
        self._on_change = on_change
        self._root = root
        self._stamp: Stamp | None = None
        self._links: Links = {}

    async def __aenter__(self) -> Self:
        """Read the host for the first time; raises KernelError when that cannot be done."""
        self._events = event_socket()  # first, so that no change falls in between
        try:
            self.host, self._links = await asyncio.to_thread(self._read)
        except BaseException:
            self._events.close()
            raise
        self.following = asyncio.create_task(self._follow())
        """Ends by a defect alone; without it nobody hears of changes any more."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.following.cancel()
        await asyncio.wait([self.following])
        asyncio.get_running_loop().remove_reader(self._events)
        self._events.close()

    def _read(self) -> tuple[Host, Links]:
        """Run in a thread, since a full routing table takes seconds to read."""
        self._stamp = stamp(self._root)
        return read_host(self._root, delivered=True), dict(socket.if_nameindex())

    def _read_changed_files(self) -> tuple[Host, Links] | None:
        """Run in a thread, too: their file system may hang, and the service must not."""
        return None if self._stamp == stamp(self._root) else self._read()

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        resync = loop.time() + RESYNC
        while True:
            changed = await self._event() or loop.time() >= resync
            try:
                found, worked = await asyncio.to_thread(
                    _timed, self._read if changed else self._read_changed_files
                )
            except (KernelError, OSError) as error:
                self._stamp = None  # so that the next look at the files tries again
                loop.call_exception_handler({"message": str(error), "exception": error})
                await asyncio.sleep(POLL)
                continue
            if found is None:
                continue
            host, links = found
            if host != self.host or links != self._links:
                self.host, self._links = host, links
                loop.call_soon(self._on_change, host)  # its errors are not ours
            resync = loop.time() + RESYNC
            await asyncio.sleep(max(REST, 10 * worked))

    async def _event(self) -> bool:
        """Wait for an event and the rest of its burst; False when none came within POLL.

        The socket is only looked at while waiting: in a storm it fills up, and the kernel throws
        away at no cost what nobody needs to see.
        """
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        loop.add_reader(self._events, readable.set)
        try:
            async with asyncio.timeout(POLL):
                await readable.wait()
        except TimeoutError:
            return False
        finally:
            loop.remove_reader(self._events)
        await asyncio.sleep(SETTLE)
        for _ in range(MAX_EVENTS):
            try:
                self._events.recv(1)
            except BlockingIOError:
                break
            except OSError:  # ENOBUFS: some events were lost, which does not matter
                continue
        return True


def _timed(read: Callable[[], _Found]) -> tuple[_Found, float]:
    """What a function gives, and the processor time it took, in seconds."""
    started = time.thread_time()
    return read(), time.thread_time() - started
