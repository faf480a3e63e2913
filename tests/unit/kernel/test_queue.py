"""The packet path beside a kernel that only remembers: which packet gets which verdict and mark."""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict, through_ipsec
from ipsecfd.driver.packet import COPY_RANGE
from ipsecfd.kernel import queue
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.queue import BATCH, Count, Handler, Handlers, Queue
from ipsecfd.kernel.queue_health import Health

MARKS = Marks()
GENERATION = 3
FOREIGN = 0x1234

PERMIT = Decision(Verdict.PERMIT, Reason.FILTER)
BLOCK = Decision(Verdict.BLOCK, Reason.FILTER)
LEARN = Decision(Verdict.PERMIT, Reason.FILTER, learnable=True)
LEARN_BLOCK = Decision(Verdict.BLOCK, Reason.FILTER, learnable=True)
NEGOTIATE = Decision(Verdict.BLOCK, Reason.NEGOTIATE)
DECISIONS = {
    b"permit": PERMIT,
    b"block": BLOCK,
    b"learn": LEARN,
    b"learn-block": LEARN_BLOCK,
    b"negotiate": NEGOTIATE,
}
ACCEPT, DROP = 1, 0
_VERDICT, _CONFIG, _BATCH = 0x301, 0x302, 0x303


@dataclass
class FakePacket:
    """A packet as the library hands it over."""

    id: int
    payload: bytes
    mark: int = 0
    hook: int = 1
    indev: int = 2
    outdev: int = 0

    def get_payload(self) -> bytes:
        return self.payload

    def get_mark(self) -> int:
        return self.mark


@dataclass
class FakeKernel:
    """A queue's packets that wait, and the verdicts they got: the socket and the library in one."""

    waiting: dict[int, FakePacket] = field(default_factory=dict)
    verdicts: dict[int, tuple[int, int | None]] = field(default_factory=dict)
    """By id: the verdict, and the mark it set or None."""
    flags: bytes = b""
    lengths: list[int] = field(default_factory=list)
    """How many packets may wait, each time that it was changed."""
    options: list[tuple[int, int, int]] = field(default_factory=list)
    bound: dict[str, Any] = field(default_factory=dict)
    failures: list[int] = field(default_factory=list)
    """Error numbers of the next messages with verdicts; the last one stays."""
    early: Sequence[FakePacket] = ()
    """Packets that come while the queue is bound."""
    answers: dict[int, FakePacket] = field(default_factory=dict)
    """By id of a packet: the one that comes as soon as it has its verdict."""
    judging: int = 0
    """Id of the packet that was handed over last."""
    most_held: int = 0
    callback: Callable[[FakePacket], None] = print

    # As the library's queue ...

    def bind(self, number: int, callback: Callable[[FakePacket], None], **how: Any) -> None:
        self.bound = {"number": number, **how}
        self.callback = callback
        for packet in self.early:
            self.waiting[packet.id] = packet
            self.judging = packet.id
            callback(packet)

    @property
    def held(self) -> int:
        """How many packets that were handed over have no verdict."""
        return sum(one <= self.judging for one in self.waiting)

    def get_fd(self) -> int:
        return 0

    def run(self, *, block: bool) -> None:
        assert not block
        while new := [one for one in self.waiting.values() if one.id > self.judging]:
            for packet in new:
                self.judging = packet.id
                self.callback(packet)
                self.most_held = max(self.most_held, self.held)

    # ... and as its socket.

    def setsockopt(self, level: int, option: int, value: int) -> None:
        self.options.append((level, option, value))

    def send(self, message: bytes) -> None:
        kind, content = struct.unpack_from("=H", message, 4)[0], dict(_attributes(message))
        if kind == _CONFIG:
            self.flags = content.get(5, self.flags)
            self.lengths += [
                int.from_bytes(one, "big") for kind, one in content.items() if kind == 3
            ]
            return
        if self.failures:
            number = self.failures[0] if len(self.failures) == 1 else self.failures.pop(0)
            if number:
                raise OSError(number, os.strerror(number))
        verdict, last = struct.unpack("!II", content[2])
        mark = struct.unpack("!I", content[3])[0] if 3 in content else None
        for one in [last] if kind == _VERDICT else [one for one in self.waiting if one <= last]:
            del self.waiting[one]  # a second verdict is a KeyError
            self.verdicts[one] = verdict, mark
            if one in self.answers:
                self.waiting[self.answers[one].id] = self.answers[one]


def _attributes(message: bytes) -> Iterator[tuple[int, bytes]]:
    position = 20
    while position < len(message):
        length, kind = struct.unpack_from("=HH", message, position)
        yield kind, bytes(message[position + 4 : position + length])
        position += length + 3 & ~3


def judge(data: bytes, cut: bool = False) -> Decision:
    """What the packet says is to become of it; any other word is a defect."""
    return DECISIONS[data]


@dataclass
class Scene:
    """A queue, and what it told of drops."""

    kernel: FakeKernel
    queue: Queue
    drops: list[bytes]
    pauses: list[tuple[int, int]]
    """Whenever there was time for other things: how many packets waited, and how many of them had
    been handed over, their verdicts held back."""

    def judged(self, *packets: FakePacket) -> dict[int, tuple[int, int | None]]:
        """The verdicts of packets that wait together."""
        self.kernel.waiting |= {one.id: one for one in packets}
        self.queue.judge_waiting()
        return self.kernel.verdicts


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    """A queue whose kernel is ours."""
    return make_scene(monkeypatch)


def make_scene(
    monkeypatch: pytest.MonkeyPatch,
    *,
    learn_blocked: bool = True,
    length: int = 1000,
    early: Sequence[FakePacket] = (),
) -> Scene:
    kernel = FakeKernel(early=early)
    monkeypatch.setattr(queue, "NetfilterQueue", lambda: kernel)
    monkeypatch.setattr(queue, "os", SimpleNamespace(dup=lambda number: number, geteuid=os.geteuid))
    monkeypatch.setattr(queue, "socket", SimpleNamespace(socket=lambda fileno: kernel))
    drops: list[bytes] = []
    pauses: list[tuple[int, int]] = []
    made = Queue(
        88,
        length,
        MARKS,
        lambda _decision, _direction, _interface, data: drops.append(data),
        lambda: pauses.append((len(kernel.waiting), kernel.held)),
        Handlers({1: Handler(judge, Direction.IN, {}, learn_blocked)}, generation=GENERATION),
    )
    return Scene(kernel, made, drops, pauses)


def expected(word: bytes, mark: int) -> tuple[int, int | None]:
    """The verdict and mark of a packet that says so and has this mark."""
    match word:
        case b"permit":
            return ACCEPT, None
        case b"learn":
            return ACCEPT, MARKS.permit(GENERATION) | mark & ~MARKS.mask
        case b"learn-block":  # it is dropped behind the queue, where it is learnt
            return ACCEPT, MARKS.block(GENERATION) | mark & ~MARKS.mask
        case b"negotiate" if mark & MARKS.protected:
            return ACCEPT, None
    return DROP, None


WORDS = [*DECISIONS, b"a defect", b""]
PACKETS = st.lists(
    st.tuples(st.sampled_from(WORDS), st.sampled_from([0, FOREIGN, MARKS.protected | 1])),
    max_size=100,
)


@given(PACKETS, st.integers(1, 40))
def test_each_packet_gets_its_own_verdict(packets: list[tuple[bytes, int]], chunk: int) -> None:
    """However verdicts are batched, and whatever fails meanwhile: none gets another's verdict or
    mark, none waits for ever, and marks of others stay."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        scene = make_scene(monkeypatch)
        waiting = [FakePacket(number, *one) for number, one in enumerate(packets, 1)]
        for start in range(0, len(waiting), chunk):
            scene.judged(*waiting[start : start + chunk])
            assert not scene.kernel.waiting
        assert scene.kernel.verdicts == {
            number: expected(*one) for number, one in enumerate(packets, 1)
        }
        assert scene.queue.faults == sum(word not in DECISIONS for word, _ in packets)
        assert scene.kernel.most_held <= BATCH
        assert not any(held for _, held in scene.pauses)


def test_answers_are_judged_at_once(scene: Scene) -> None:
    """What the kernel answers to a packet that was let in waits for nobody to be told of it."""
    scene.kernel.answers = {1: FakePacket(2, b"learn"), 2: FakePacket(3, b"block")}
    assert scene.judged(FakePacket(1, b"permit")) == {
        1: expected(b"permit", 0),
        2: expected(b"learn", 0),
        3: expected(b"block", 0),
    }


def without_end(first: int, count: int) -> dict[int, FakePacket]:
    """Answers that keep a queue from running empty for so many packets."""
    return {number: FakePacket(number + 1, b"permit") for number in range(first, first + count - 1)}


def test_a_flood_gets_less_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """While packets find none, until nothing waits or nothing comes."""
    scene = make_scene(monkeypatch, length=1024)
    dropped = iter(range(0, 100_000, 100))
    monkeypatch.setattr(queue, "health", lambda _number: Health(1024, next(dropped), 0))
    for first in (1, 100_001):
        scene.kernel.answers = without_end(first, 3 * 1024)
        scene.judged(FakePacket(first, b"permit"))
    assert scene.kernel.lengths == 2 * [768, 1024]
    scene.queue.rested()
    assert len(scene.kernel.lengths) == 4


def test_drops_are_told(scene: Scene) -> None:
    """All but those that are learnt, of which nobody wants a record, and those that are defects."""
    scene.judged(*(FakePacket(number, word) for number, word in enumerate(WORDS, 1)))
    assert scene.drops == [b"block", b"negotiate"]


def test_blocked_flows_are_learnt_on_demand_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each drop is to be recorded, the packet is dropped and told of."""
    scene = make_scene(monkeypatch, learn_blocked=False)
    assert scene.judged(FakePacket(1, b"learn-block")) == {1: (DROP, None)}
    assert scene.drops == [b"learn-block"]


def test_nothing_is_learnt_without_a_generation(scene: Scene) -> None:
    """Where there is no cache no mark is set."""
    scene.queue.use(Handlers({1: Handler(judge, Direction.IN, {}, learn_blocked=True)}))
    words = [b"learn", b"learn-block"]
    assert scene.judged(
        *(FakePacket(number, word) for number, word in enumerate(words * 2, 1))
    ) == {
        1: (ACCEPT, None),
        2: (DROP, None),
        3: (ACCEPT, None),
        4: (DROP, None),
    }


def test_what_ipsec_protects_is_counted_as_such(scene: Scene) -> None:
    """Also where clear packets of the flow pass, and one of them came before."""
    soft = Decision(Verdict.PERMIT, Reason.NEGOTIATE)
    counts: dict[Decision, Count] = {}
    scene.queue.use(Handlers({1: Handler(lambda *_: soft, Direction.IN, counts)}))
    marks = [0, MARKS.protected, 0, MARKS.protected, MARKS.protected]
    scene.judged(*(FakePacket(number, b"", mark) for number, mark in enumerate(marks, 1)))
    assert {decision: one.packets for decision, one in counts.items()} == {
        soft: 2,
        through_ipsec(soft): 3,
    }


def test_a_failing_record_drops_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The packet was blocked; that the record of it failed is a defect of ours."""
    scene = make_scene(monkeypatch)
    monkeypatch.setattr(scene.queue, "_on_drop", None)
    assert scene.judged(FakePacket(1, b"permit"), FakePacket(2, b"block")) == {
        1: (ACCEPT, None),
        2: (DROP, None),
    }
    assert scene.queue.faults == 1


def test_other_things_have_their_turn_in_a_flood(scene: Scene) -> None:
    """Each batch is followed by a pause, in which no verdict is held back."""
    scene.judged(*(FakePacket(number, b"permit") for number in range(1, 3 * BATCH + 2)))
    assert scene.pauses == [(2 * BATCH + 1, 0), (BATCH + 1, 0), (1, 0)]


@pytest.mark.parametrize("number", [errno.ENOBUFS, errno.ENOMEM, errno.EAGAIN, errno.EPERM])
def test_a_drop_that_cannot_be_given_ends_the_process(scene: Scene, number: int) -> None:
    """The kernel then drops all that wait: nothing at or above its id is accepted."""
    scene.kernel.failures = [number]
    with pytest.raises(SystemExit, match="cannot give verdicts"):
        scene.judged(*(FakePacket(one, b"permit") for one in (1, 2)), FakePacket(3, b"block"))
    assert scene.kernel.verdicts == {}


def test_a_verdict_is_tried_again(scene: Scene) -> None:
    """The kernel may have no memory for a moment."""
    scene.kernel.failures = [errno.ENOBUFS, errno.EAGAIN, errno.ENOBUFS, 0]
    assert scene.judged(FakePacket(1, b"permit"), FakePacket(2, b"block"))[2] == (DROP, None)
    assert scene.kernel.verdicts[1] == (ACCEPT, None)


def test_how_it_is_bound(scene: Scene) -> None:
    """Only headers are copied, since larger copies never come (design); large segments come whole;
    a socket without room loses packets and not the messages about it."""
    assert scene.kernel.bound["number"] == 88
    assert scene.kernel.bound["range"] == 256
    assert scene.kernel.bound["max_len"] == 1000
    assert scene.kernel.bound["sock_len"] >= 1000 * 1024
    assert struct.unpack("!I", scene.kernel.flags) == (4,)  # GSO, and not fail-open, which is blind
    assert (270, 5, 1) in scene.kernel.options


@pytest.mark.parametrize(
    ("kernel_has_queues", "said"),
    [
        (True, r".*another program.*`number` in \[queue\]"),
        (False, ".*kernel lacks nfnetlink_queue"),
    ],
)
def test_a_queue_that_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, *, kernel_has_queues: bool, said: str
) -> None:
    """The line says which one, and which key to change, or that no key helps."""
    monkeypatch.setattr(queue, "QUEUES", Mock(Path, **{"exists.return_value": kernel_has_queues}))
    refusing = Mock(**{"bind.side_effect": OSError("Failed")})
    monkeypatch.setattr(queue, "NetfilterQueue", lambda: refusing)
    monkeypatch.setattr(queue, "os", Mock(os, wraps=os, dup=lambda number: number))
    monkeypatch.setattr(queue, "socket", Mock())
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    with pytest.raises(KernelError, match=f"queue 88 {said}"):
        Queue(88, 1000, MARKS, lambda *_: None, lambda: None, Handlers({}))


def test_packets_that_come_while_it_is_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library hands over what comes before the kernel's answers to it: judged like any other,
    all have their verdicts on return, and nobody does anything else meanwhile."""
    words = [b"permit", b"block", b"learn", b"learn-block", b"a defect"] * BATCH
    early = [FakePacket(number, word) for number, word in enumerate(words, 1)]
    scene = make_scene(monkeypatch, early=early)
    assert scene.kernel.waiting == {}
    assert scene.kernel.verdicts == {one.id: expected(one.payload, 0) for one in early}
    assert scene.pauses == []
    scene.judged(*(FakePacket(1000 + one, b"permit") for one in range(BATCH)))
    assert scene.pauses == [(0, 0)]


def test_bytes_are_those_of_the_packet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of large ones only the beginning is copied; IPv6 does not count its own header."""
    ipv4 = bytes([0x45, 0, 0x05, 0xDC])
    ipv6 = bytes([0x60, 0, 0, 0, 0x05, 0xB4])
    short = bytes([0x45, 0, 0, 60])
    sizes = {ipv4: COPY_RANGE, ipv6: COPY_RANGE, short: 60}
    packets = [start.ljust(size, b"\0") for start, size in sizes.items()] * 2
    scene = make_scene(monkeypatch)
    counts: dict[Decision, Count] = {}
    scene.queue.use(Handlers({1: Handler(lambda *_: PERMIT, Direction.IN, counts)}))
    scene.judged(FakePacket(1, b"\x45"), *(FakePacket(2 + i, p) for i, p in enumerate(packets)))
    assert (counts[PERMIT].packets, counts[PERMIT].octets) == (7, 1 + 2 * (1500 + 1500 + 60))


def test_the_interface_chooses_the_judge(scene: Scene) -> None:
    """That of an inbound packet, of a sent one that by which it leaves: what carries a tunnel's
    packet seems to have come in by the tunnel's device."""
    asked: list[int] = []

    def by_interface(index: int) -> dict[int, Handler]:
        asked.append(index)
        return {1: Handler(judge, Direction.IN, {}), 4: Handler(judge, Direction.OUT, {})}

    scene.queue.use(Handlers({}, by_interface))
    scene.judged(FakePacket(1, b"permit"))
    for number, indev in ((2, 0), (3, 9)):
        scene.judged(FakePacket(number, b"permit", hook=4, indev=indev, outdev=7))
    assert asked == [2, 7, 7]
