"""The packet process beside a queue that a test fills: what it does between packets."""

from __future__ import annotations

import os
import pickle
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ipsecfd.agent import packet_process
from ipsecfd.agent.drops import Drops
from ipsecfd.agent.packet_process import PacketProcess
from ipsecfd.agent.placement import Placement
from ipsecfd.agent.precedence import Precedence
from ipsecfd.agent.transfer import COUNTS, HEADER, pieces
from ipsecfd.driver.decision import Decision, Reason, Verdict
from ipsecfd.driver.modes import Mode
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.queue import Count, Handlers
from tests.builders import ME, ipv4, make_driver, udp

PACKET = ipv4("203.0.113.66", ME, 17, udp(4000, 7))


def ordinary() -> Precedence:
    """What leaves the process that tests run in as it is."""
    return Precedence(0, lambda: 0, lambda first: None)


def still() -> Placement:
    """What leaves it where it runs."""
    return Placement(0, dict)


class FakeQueue:
    """A queue in which one packet waits for each byte of a pipe."""

    taken = False
    judged = 0

    def __init__(self, *arguments: Any) -> None:
        if self.taken:
            raise KernelError("queue 88 cannot be bound")
        self.between: Callable[[], None] = arguments[-2]
        self.handlers: Handlers = arguments[-1]
        self.verdicts: list[Verdict] = []
        self.faults = 0
        self.rests = 0
        self.out, self.into = os.pipe()

    def fileno(self) -> int:
        return self.out

    def use(self, handlers: Handlers) -> None:
        self.handlers = handlers

    def judge_waiting(self) -> None:
        os.read(self.out, 1)
        handler = self.handlers.of_hook[1]
        decision = handler.judge(PACKET)
        handler.counts.setdefault(decision, Count()).packets += 1
        self.verdicts.append(decision.verdict)
        self.between()

    def rested(self) -> None:
        self.rests += 1

    def close(self) -> None:
        os.close(self.out)
        os.close(self.into)


class World:
    """A packet process that runs in a thread, and the agent's end of its control socket."""

    def __init__(self) -> None:
        self.control, control = socket.socketpair()
        self.control.settimeout(10)
        inlet, outlet = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._sockets = (self.control, control, inlet, outlet)
        drops = Drops(0, 0, time.time)
        self.process = PacketProcess(
            88, 1024, Marks(0xFF), control, outlet, drops, ordinary(), still()
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with pytest.raises(SystemExit):
            self.process.run()

    def __enter__(self) -> World:
        self._thread.start()
        assert self.answer() == (None, 0)
        return self

    def __exit__(self, *_: object) -> None:
        self.tell(b"Q")
        self._thread.join(10)
        assert not self._thread.is_alive()
        for one in self._sockets:
            one.close()

    @property
    def queue(self) -> FakeQueue:
        queue = self.process._queue
        assert isinstance(queue, FakeQueue)
        return queue

    def tell(self, message: bytes) -> None:
        self.control.sendall(HEADER.pack(len(message)) + message)

    def install(self, mode: Mode = Mode.SECURE) -> tuple[Any, int]:
        for piece in pieces(make_driver("block any <-> me:7 udp", mode=mode).settings):
            self.tell(b"S" + piece)
        return self.answer()

    def answer(self) -> tuple[Any, int]:
        """What ends the next answer, and how many counts came before it."""
        number = 0
        while True:
            (length,) = HEADER.unpack(self.control.recv(HEADER.size, socket.MSG_WAITALL))
            ended, content = pickle.loads(self.control.recv(length, socket.MSG_WAITALL))
            if ended:
                return content, number
            number += len(content)

    def send_packet(self) -> None:
        """Have one packet judged."""
        before = len(self.queue.verdicts)
        os.write(self.queue.into, b"x")
        deadline = time.monotonic() + 10
        while len(self.queue.verdicts) == before:
            assert time.monotonic() < deadline, "no verdict"
            time.sleep(0.001)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr(FakeQueue, "taken", False)
    monkeypatch.setattr(packet_process, "Queue", FakeQueue)
    with World() as world:
        yield world


def test_queue_is_bound_with_the_first_settings(world: World) -> None:
    """Until it can judge the kernel does what `on_failure` says, and questions are answered."""
    world.tell(b"R")
    report, judged = world.answer()
    assert (report.pid, report.faults, judged) == (os.getpid(), 0, 0)
    assert world.process._queue is None
    assert world.install() == (None, 0)
    first = world.queue
    world.send_packet()
    assert world.install(Mode.PERMIT) == (None, 1)
    world.send_packet()
    assert world.queue is first
    assert first.verdicts == [Verdict.BLOCK, Verdict.PERMIT]


def test_an_interface_that_is_gone(world: World) -> None:
    """A packet that waited when its link went is no fault; without a name it counts as of a LAN."""
    world.install()
    by_interface = world.queue.handlers.by_interface
    assert by_interface is not None
    assert by_interface(2**31 - 1)[1].judge(PACKET).verdict is Verdict.BLOCK
    assert by_interface(2**31 - 1) is by_interface(1)


def test_taken_queue_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the answer to the settings."""
    monkeypatch.setattr(FakeQueue, "taken", True)
    assert world.install() == ("queue 88 cannot be bound", 0)


def test_the_queue_is_told_of_a_rest(world: World) -> None:
    """When no packet came for a while, after some did."""
    world.install()
    world.send_packet()
    deadline = time.monotonic() + 10
    while not world.queue.rests:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_agent_that_does_not_listen_holds_no_packet_up(world: World) -> None:
    """Packets are judged while an answer with very many counts is not read; then it comes whole."""
    world.install()
    counted = world.queue.handlers.of_hook[1].counts
    number = 2000 * COUNTS  # far more than a socket holds
    for order in range(number):
        counted[Decision(Verdict.PERMIT, Reason.FILTER, order=order)] = Count(1, 100)
    world.tell(b"R")
    deadline = time.monotonic() + 10
    while len(counted) == number:
        assert time.monotonic() < deadline, "the question was not taken"
        time.sleep(0.001)
    for _ in range(100):
        world.send_packet()
    assert world.queue.verdicts == [Verdict.BLOCK] * 100
    report, judged = world.answer()
    assert (report.pid, judged) == (os.getpid(), number)


def test_no_process_of_another_release() -> None:
    """An agent that an upgrade left running would hand over what means something else by now."""
    arguments = ["88", "1024", str(os.getppid()), "0", "0", "7", "0", "0", "0.0.1"]
    with pytest.raises(SystemExit, match="restart ipsecfd"):
        packet_process.main(arguments)
