"""The packet process: judges packets, and nothing else that could hold one up.

It loads the driver, the queue and the drop counters only, so that it starts fast and stays small.
Tables, mode and addresses come from the agent over a socket, between packets; dropped packets go
back over another, which never blocks. It ends with its agent.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import math
import os
import pickle
import resource
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final, Protocol

from ipsecfd import __version__
from ipsecfd.agent.drops import Drops
from ipsecfd.agent.placement import Placement
from ipsecfd.agent.precedence import Precedence
from ipsecfd.agent.transfer import HEADER, Assembly, Judged, PacketReport, Replies, answer
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Judge, Settings, is_dialup
from ipsecfd.driver.shadow import Comparison
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.queue import DIRECTION_OF_HOOK, Handler, Handlers, Queue

TICK: Final = 0.05
"""Seconds between two looks at drops that are due and, in a flood, at the control socket."""

DROPS_PER_MESSAGE: Final = 64
"""Records in one message to the agent; a message must fit the socket's buffer."""

_PR_SET_PDEATHSIG = 1
_NICE = -5  # every packet of the host waits for this process, also where it may not go first
_CONTROL_BYTES = 1 << 16


class JudgeOf(Protocol):
    """Finds judges, as `Driver.judge` does."""

    def __call__(self, direction: Direction, *, dialup: bool = False) -> Judge:
        """The judge of packets on a LAN or a dial-up interface."""


class PacketProcess:
    """The process' state. `control` carries commands and answers, `outlet` the drops.

    `queue` is the number of the queue that it will bind, `length` how many packets may wait there.
    """

    def __init__(
        self,
        queue: int,
        length: int,
        marks: Marks,
        control: socket.socket,
        outlet: socket.socket,
        drops: Drops,
        precedence: Precedence,
        placement: Placement,
    ) -> None:
        self._control = control
        self._control.setblocking(False)
        self._replies = Replies(control)
        self._outlet = outlet
        self._outlet.setblocking(False)
        self._received = bytearray()
        self._drops = drops
        self._precedence = precedence
        self._placement = placement
        self._assembly = Assembly()
        self._driver: Driver | None = None
        self._comparison: Comparison | None = None
        self._handlers: list[Handler] = []
        self._next_tick = 0.0
        # Bound with the first settings: until then the kernel does what `on_failure` says.
        self._bind = partial(Queue, queue, length, marks, self._on_drop, self._between)
        self._queue: Queue | None = None
        self._poll = select.poll()

    def run(self) -> None:
        """Judge packets until the agent goes away."""
        self._replies.add(answer(None))  # the agent waits until somebody listens
        ready: list[tuple[int, int]] = []
        while True:
            events = select.POLLIN | select.POLLOUT if self._replies else select.POLLIN
            self._poll.register(self._control, events)
            rest = TICK if ready else max(TICK, self._drops.quiet())
            start = time.monotonic()
            ready = self._poll.poll(None if rest == math.inf else rest * 1000)
            self._precedence.idled(time.monotonic() - start)
            for descriptor, _ in ready:
                if self._queue is not None and descriptor != self._control.fileno():
                    self._queue.judge_waiting()
                else:
                    self._take_commands()
            if not ready and self._queue is not None:
                self._queue.rested()
            self._do_what_is_due()

    def _on_drop(
        self, decision: Decision, direction: Direction, interface: int, data: bytes
    ) -> None:
        self._drops.add(decision, direction, interface, data)

    def _between(self) -> None:
        """Do everything else between two batches: in a flood the control socket is not polled."""
        if time.monotonic() >= self._next_tick:
            self._take_commands()
        self._do_what_is_due()

    def _do_what_is_due(self) -> None:
        now = time.monotonic()
        if now >= self._next_tick:
            self._next_tick = now + TICK
            self._precedence.look(now)
            if self._queue is not None:
                self._placement.look(now, self._queue.judged)
            self._hand_over_drops()
        if self._replies:
            self._replies.send_some()

    def _take_commands(self) -> None:
        """Read what the agent sent. One call takes some 64 KiB of a table, two milliseconds' worth,
        and packets are judged before the next one."""
        try:
            data = self._control.recv(_CONTROL_BYTES)
        except BlockingIOError:
            data = None
        if data == b"":
            raise SystemExit(0)
        self._received += data or b""
        while len(self._received) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._received)
            end = HEADER.size + length
            if len(self._received) < end:
                return
            message = bytes(self._received[HEADER.size : end])
            del self._received[:end]
            self._command(message)

    def _command(self, message: bytes) -> None:
        """Commands are one letter and a body: a piece of Settings, the wish for a Report or for
        what was Compared, other Diagnostics, or to Quit."""
        kind, body = message[:1], message[1:]
        if kind == b"S":
            settings = self._assembly.feed(body)
            if settings is not None:
                self._assembly = Assembly()
                judged = self._judged()
                refusal = None
                try:
                    self._use(settings)
                except KernelError as error:
                    refusal = str(error)
                self._replies.add(answer(refusal, judged))
        elif kind == b"R":
            self._replies.add(answer(self._report(), self._judged()))
        elif kind == b"C":
            self._replies.add(answer(self._comparison and self._comparison.take()))
        elif kind == b"D":
            held = self._drops.drain()
            level, interval = pickle.loads(body)
            self._drops = Drops(level, interval, time.time)
            self._drops.unsent(held)
            self._replies.add(answer(None))
        else:
            self._end()

    def _end(self) -> None:
        """Give back what was counted, and the queue."""
        self._outlet.setblocking(True)
        held = self._drops.drain()
        for start in range(0, len(held), DROPS_PER_MESSAGE):
            self._outlet.send(pickle.dumps(held[start : start + DROPS_PER_MESSAGE], protocol=5))
        if self._queue is not None:
            self._queue.close()
        raise SystemExit(0)

    def _use(self, settings: Settings) -> None:
        """Judge by these settings from now on; raises KernelError if the queue cannot be had."""
        driver = Driver(settings, time.monotonic, self._driver)
        self._comparison = self._comparison_for(settings)
        judge_of = self._judges(driver)
        lan = self._of_hooks(settings, judge_of, dialup=False)
        dialup = self._of_hooks(settings, judge_of, dialup=True)
        self._handlers = [*lan.values(), *dialup.values()]
        # Packets of learnt flows come to no judge, so with a second one nothing is learnt.
        generation = settings.generation if settings.candidate is None else 0
        if not settings.by_interface:
            handlers = Handlers(lan, generation=generation)
        else:
            chosen: dict[int, Mapping[int, Handler]] = {}

            def by_interface(index: int) -> Mapping[int, Handler]:
                # Names are asked once: a link that is renamed comes with new settings.
                if index not in chosen:
                    try:
                        name = socket.if_indextoname(index)
                    except OSError:  # it is gone, and the kernel has dropped its packets
                        name = ""
                    chosen[index] = dialup if is_dialup(name, settings.dialup_interfaces) else lan
                return chosen[index]

            handlers = Handlers(lan, by_interface, generation)
        self._driver = driver
        if self._queue is None:
            self._queue = self._bind(handlers)
            self._poll.register(self._queue.fileno(), select.POLLIN)
        else:
            self._queue.use(handlers)

    def _comparison_for(self, settings: Settings) -> Comparison | None:
        """The comparison that these settings ask for; one goes on under its number."""
        running = self._comparison
        if settings.candidate is None:
            return None
        if running is not None and running.number == settings.comparison:
            return running
        return Comparison(settings.comparison)

    def _judges(self, driver: Driver) -> JudgeOf:
        """The judges of a driver, each with the candidate's beside it where there is one."""
        comparison, candidate = self._comparison, driver.settings.candidate
        if comparison is None or candidate is None:
            return driver.judge
        other = Driver(candidate, time.monotonic)

        def judge(direction: Direction, *, dialup: bool = False) -> Judge:
            first = driver.judge(direction, dialup=dialup)
            return comparison.judge(first, other.judge(direction, dialup=dialup), direction)

        return judge

    def _report(self) -> PacketReport:
        return PacketReport(
            pid=os.getpid(),
            memory=_resident_bytes(),
            judged=(),
            faults=self._queue.faults if self._queue else 0,
            refused_conversations=self._driver.refused_conversations if self._driver else 0,
        )

    @staticmethod
    def _of_hooks(settings: Settings, judge_of: JudgeOf, *, dialup: bool) -> dict[int, Handler]:
        return {
            hook: Handler(
                judge_of(direction, dialup=dialup),
                direction,
                {},
                learn_blocked=direction in settings.learn_blocked,
            )
            for hook, direction in DIRECTION_OF_HOOK.items()
        }

    def _judged(self) -> Iterator[Judged]:
        """How often each decision was made since the last call."""
        counts = [(one.direction, list(one.counts.items())) for one in self._handlers]
        for handler in self._handlers:
            handler.counts.clear()
        return (
            Judged(direction, decision, count.packets, count.octets)
            for direction, decisions in counts
            for decision, count in decisions
        )

    def _hand_over_drops(self) -> None:
        due = self._drops.due()
        for start in range(0, len(due), DROPS_PER_MESSAGE):
            records = due[start : start + DROPS_PER_MESSAGE]
            try:
                self._outlet.send(pickle.dumps(records, protocol=5))
            except OSError:  # the agent is behind: count them, and give the counts later
                self._drops.unsent(due[start:])
                return


def _resident_bytes() -> int:
    # Not getrusage: its maximum starts with what the agent had when it forked.
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * resource.getpagesize()


def main(arguments: list[str]) -> None:
    """Run with: queue number, queue length, agent's pid, control and outlet descriptors, level,
    mask of the marks, interval, agent's release. Says on the control socket that it listens there.

    Exits at once where the program was upgraded and the agent was not restarted: what it hands over
    may mean something else by now.
    """
    if arguments[8:] != [__version__]:
        raise SystemExit(f"ipsecfd: the program is release {__version__} now: restart ipsecfd")
    queue, length, agent, control_fd, outlet_fd, level, mask = map(int, arguments[:7])
    interval = float(arguments[7])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # meant for the agent, which ends this process
    if os.getppid() != agent:
        return  # it ended before it could be watched
    with contextlib.suppress(PermissionError):  # the unit has done it already
        os.setpriority(os.PRIO_PROCESS, 0, _NICE)
    control = socket.socket(fileno=control_fd)
    outlet = socket.socket(fileno=outlet_fd)
    # The agent may end at any moment, and then there is nobody to tell of it.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        drops = Drops(level, interval, time.time)
        precedence, placement = Precedence(time.monotonic()), Placement(time.monotonic())
        process = PacketProcess(
            queue, length, Marks(mask), control, outlet, drops, precedence, placement
        )
        # No cycles are made here, and a collection over a large table would hold packets up.
        gc.disable()
        process.run()


if __name__ == "__main__":
    main(sys.argv[1:])
