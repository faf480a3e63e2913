"""Tests of the diagnostic log's writer."""

from __future__ import annotations

import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.agent import diagnostics as module
from ipsecfd.agent.diagnostics import CAPACITY, EVENT_CAPACITY, Diagnostics
from ipsecfd.agent.drop_fields import drop_fields, header_fields, interface_name
from ipsecfd.agent.drops import DropRecord
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.errors import IpsecfdError

NOON = 1_800_000_000.0
BLOCKED = Decision(
    Verdict.BLOCK,
    Reason.FILTER,
    policy="Packet Filters",
    rule="Block everything",
    filter_list="All",
    filter="me <-> any",
    mirrored=True,
    version=3,
)
SYN = bytes.fromhex(
    "45000034000040004006000001020304c000020a 9c4001bd 00000000 00000000 8002ffff".replace(" ", "")
)


def drop(packets: int = 1, decision: Decision = BLOCKED, data: bytes = SYN) -> DropRecord:
    """A drop at NOON, and its likes in the four seconds after it."""
    last = NOON if packets == 1 else NOON + 4
    return DropRecord(NOON, last, Direction.IN, 2, decision, data, packets, packets > 1)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until the writer has got there; fails after ten seconds."""
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "the writer did not get there"
        time.sleep(0.005)


def records(path: Path) -> list[dict[str, Any]]:
    """The log as it is now; every line must be whole."""
    text = path.read_text()
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RETRY", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log" / "diagnostic.jsonl"


@pytest.fixture
def said() -> list[str]:
    """What the log has said to whoever watches the journal."""
    return []


@pytest.fixture
def log(path: Path, said: list[str]) -> Iterator[Diagnostics]:
    log = Diagnostics(
        path, interfaces=lambda index: f"eth{index}", clock=lambda: NOON, say=said.append
    )
    yield log
    log.close()
    assert not any(one.name == "diagnostics" for one in threading.enumerate())


def test_drop_record(log: Diagnostics, path: Path) -> None:
    """A drop has exactly the fields of spec 7.2, the time first."""
    log.drops([drop()])
    log.close()
    (record,) = records(path)
    assert list(record.items()) == [
        ("time", "2027-01-15T08:00:00.000Z"),
        ("event", 4289),
        ("direction", "in"),
        ("interface", "eth2"),
        ("source", "1.2.3.4"),
        ("destination", "192.0.2.10"),
        ("protocol", "tcp"),
        ("source_port", 40000),
        ("destination_port", 445),
        ("length", 52),
        ("tcp_flags", "S"),
        ("reason", "filter"),
        ("policy", "Packet Filters"),
        ("version", 3),
        ("rule", "Block everything"),
        ("filter_list", "All"),
        ("filter", "me <-> any"),
        ("mirrored", True),
        ("detail", None),
        ("count", 1),
    ]


def test_count(log: Diagnostics, path: Path) -> None:
    """A count above 1 comes with the first and last time, and says whether addresses may vary."""
    log.drops([drop(14313)])
    log.close()
    (record,) = records(path)
    assert {key: record[key] for key in ("count", "first", "last", "mixed")} == {
        "count": 14313,
        "first": "2027-01-15T08:00:00.000Z",
        "last": "2027-01-15T08:00:04.000Z",
        "mixed": True,
    }


@pytest.mark.parametrize(
    ("direction", "reason", "event"),
    [
        (Direction.IN, Reason.MODE, 4289),
        (Direction.FORWARD, Reason.FILTER, 4289),
        (Direction.OUT, Reason.NEGOTIATE, 4290),
        (Direction.IN, Reason.MALFORMED, 4286),
        (Direction.OUT, Reason.MALFORMED, 4286),
    ],
)
def test_event_numbers(direction: Direction, reason: Reason, event: int) -> None:
    """4286 is invalid syntax, 4289 any other drop of what came in, 4290 of what goes out."""
    record = DropRecord(NOON, NOON, direction, 0, Decision(Verdict.BLOCK, reason), SYN)
    assert drop_fields(record)["event"] == event


IPV6 = bytes.fromhex("6000000000200640") + bytes(15) + b"\x01" + bytes(15) + b"\x02"
TCP_HEADER = bytes.fromhex("0050d431 00000000 00000000 5012ffff 00000000".replace(" ", ""))


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"", {}),
        (b"\x45", {}),
        (bytes(60), {}),
        (
            SYN[:20],
            {"source": "1.2.3.4", "destination": "192.0.2.10", "length": 52},
        ),
        (
            SYN[:24],
            {"source_port": 40000, "tcp_flags": None, "protocol": "tcp"},
        ),
        (IPV6, {"source": "::1", "destination": "::2", "length": 72, "protocol": None}),
        (
            IPV6 + TCP_HEADER,
            {"protocol": "tcp", "source_port": 80, "tcp_flags": "SA", "length": 72},
        ),
        (
            IPV6[:6] + b"\0" + IPV6[7:] + b"\x06\0" + bytes(6) + TCP_HEADER,
            {"protocol": "tcp", "destination_port": 54321, "tcp_flags": "SA"},
        ),
        (IPV6[:4] + b"\0\0" + IPV6[6:] + TCP_HEADER, {"length": None, "tcp_flags": "SA"}),
        (SYN[:33] + b"\xff" + SYN[34:], {"tcp_flags": "SFRPAUEC"}),
        (SYN[:33] + b"\0" + SYN[34:], {"tcp_flags": ""}),
        (SYN[:9] + b"\x32" + SYN[10:], {"protocol": 50, "source_port": None, "tcp_flags": None}),
        (SYN[:9] + b"\0" + SYN[10:], {"protocol": 0}),
        (SYN[:6] + b"\0\x05" + SYN[8:], {"protocol": "tcp", "source_port": None}),
    ],
)
def test_header_fields(data: bytes, seen: dict[str, Any]) -> None:
    """What headers tell is in the record, whatever they leave out is null."""
    fields = header_fields(data)
    assert {key: fields[key] for key in seen} == seen
    if not seen:
        assert not any(fields.values())


@given(st.binary(max_size=120) | st.binary(max_size=80).map(lambda tail: IPV6[:6] + tail))
def test_any_bytes(data: bytes) -> None:
    """Any bytes whatsoever make a record."""
    assert len(header_fields(data)) == 7


def test_interface_names() -> None:
    """An interface that is gone is shown by its number, no interface as null."""
    assert [interface_name(index) for index in (0, 1, 2**31 - 1, 2**70)] == [
        None,
        "lo",
        "#2147483647",
        f"#{2**70}",
    ]


def test_event(log: Diagnostics, path: Path) -> None:
    """An event has its number, its message and whatever else there is to say."""
    log.event(4292, "block mode", mode="block", policy=Path("/etc/policy.toml"))
    log.close()
    assert records(path) == [
        {
            "time": "2027-01-15T08:00:00.000Z",
            "event": 4292,
            "message": "block mode",
            "mode": "block",
            "policy": "/etc/policy.toml",
        }
    ]


def test_hostile_names(log: Diagnostics, path: Path) -> None:
    """Names that would command a terminal, or begin a line, are escaped in the file."""
    name = '\x1b]0;owned\x07\r\n{"event": 1}\x9b31m\u202e\ud800\x7f'
    log.drops([drop(decision=Decision(Verdict.BLOCK, Reason.FILTER, rule=name))])
    log.close()
    text = path.read_bytes()
    assert all(byte == 10 or 32 <= byte < 127 for byte in text)
    assert [one["rule"] for one in records(path)] == [name]


def test_bad_record(log: Diagnostics, path: Path) -> None:
    """A record that cannot be rendered is counted; the next one is logged."""
    log._interfaces = lambda index: [][index]
    log.drops([drop(5)])
    log.event(4294, "still here")
    log.close()
    assert {4294, 4288} == {one["event"] for one in records(path)}
    assert (log.lost_drops, log.lost_events) == (5, 0)


def test_made(log: Diagnostics, path: Path) -> None:
    """A missing directory is made, for root and the group alone."""
    modes = [oct(one.stat().st_mode & 0o777) for one in (path.parent, path)]
    assert modes == ["0o750", "0o640"]


def test_unwritable(tmp_path: Path) -> None:
    """A log that cannot be opened is refused in one line that says what to do."""
    (tmp_path / "file").touch()
    for path, why in (
        (tmp_path, "Is a directory"),
        (tmp_path / "file" / "log", "Not a directory"),
        (Path("/proc/no/log"), "No such file or directory"),
    ):
        with pytest.raises(IpsecfdError) as refused:
            Diagnostics(path, say=print)
        text = str(refused.value)
        assert text.startswith(f"{path}: cannot write the diagnostic log: {why}; ")
        assert "`log` in [diagnostics]" in text
        assert "\n" not in text


def test_appended(log: Diagnostics, path: Path) -> None:
    """A new run appends, and a half line that a crash left behind damages nothing."""
    path.write_text('{"event": 1}\n{"even')
    again = Diagnostics(path, say=print)
    again.event(4294, "secure mode")
    again.close()
    first, half, second = path.read_text().splitlines()
    assert (first, half, json.loads(second)["event"]) == ('{"event": 1}', '{"even', 4294)


def test_rotation(log: Diagnostics, path: Path) -> None:
    """A log that was moved away, or whose directory is gone, begins anew by itself; one whose
    records are lost says so first."""
    log.event(1, "before")
    wait_for(lambda: len(records(path)) == 1)
    time.sleep(0.1)  # what comes while it still writes belongs to the log that is moved
    moved = path.rename(path.with_suffix(".1"))
    log.event(2, "after")
    wait_for(lambda: path.exists() and [one["event"] for one in records(path)] == [2])
    time.sleep(0.1)
    path.unlink()
    moved.unlink()
    path.parent.rmdir()
    log.event(3, "later")
    log.close()
    deleted, later = records(path)
    assert (deleted["event"], later["event"]) == (4288, 3)
    assert deleted["message"].startswith("the diagnostic log was deleted")


def test_copytruncate(log: Diagnostics, path: Path) -> None:
    """A log that was truncated goes on from its new beginning."""
    log.event(1, "before")
    wait_for(lambda: len(records(path)) == 1)
    os.truncate(path, 0)
    log.event(2, "after")
    log.close()
    assert [one["event"] for one in records(path)] == [2]


def test_full_disk(tmp_path: Path, said: list[str]) -> None:
    """On a full disk records wait; what has no room to wait is counted exactly, and told in its
    place as soon as writing works again."""
    path = tmp_path / "diagnostic.jsonl"
    path.symlink_to("/dev/full")
    log = Diagnostics(path, clock=lambda: NOON + 2, say=said.append)
    log.event(1, "does not fit")
    wait_for(lambda: log.problem is not None)
    assert log.problem == "No space left on device"
    log.drops([drop()] * CAPACITY)
    log.drops([drop(1000), drop(7)])
    for number in range(EVENT_CAPACITY - CAPACITY + 3):
        log.event(2, str(number))
    assert (log.lost_drops, log.lost_events) == (1007, 3)
    path.unlink()
    wait_for(lambda: log.problem is None)
    log.event(3, "works again")
    log.close()
    events = [one["event"] for one in records(path)]
    waited = [1] + [4289] * CAPACITY + [2] * (EVENT_CAPACITY - CAPACITY)
    assert events == [*waited, 4288, 3]
    told = records(path)[-2]
    assert told["message"] == "1,007 drops and 3 events not logged: No space left on device"
    assert (told["drops"], told["events"]) == (1007, 3)
    assert told["first"] == "2027-01-15T08:00:00.000Z"
    assert told["last"] == "2027-01-15T08:00:04.000Z"
    full, again = said
    assert full.startswith(
        f"{path}: the diagnostic log cannot be written: No space left on device; "
    )
    assert again == (
        f"{path}: the diagnostic log is written again; not logged: 1,007 drops and 3 events"
    )


def test_disk_that_is_full_now_and_then(
    log: Diagnostics, path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once with its end, and again after a while only: nothing floods the journal."""
    real, full = path.with_name("real"), Path("/dev/full")

    def becomes(target: Path, problem: bool) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        log.event(1, "tries")
        wait_for(lambda: bool(log.problem) == problem)

    for _ in range(5):
        becomes(full, True)
        becomes(real, False)
    wait_for(lambda: len(said) == 2)
    assert "cannot be written" in said[0]
    assert said[1].endswith("is written again; nothing is missing in it")
    monkeypatch.setattr(log, "_say_again", 0.0)
    becomes(full, True)
    wait_for(lambda: len(said) == 3)
    becomes(real, False)
    wait_for(lambda: len(said) == 4)


def test_torn_line(path: Path) -> None:
    """A line of which a full disk took a part is completed when there is room again."""
    log = Diagnostics(path, say=print)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        for number in range(20):
            log.event(number, "a record of some length")
        wait_for(lambda: log.problem is not None)
        assert path.stat().st_size == 1000
        assert not path.read_text().endswith("\n")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    wait_for(lambda: log.problem is None)
    log.close()
    assert [one["event"] for one in records(path)] == list(range(20))


def test_slow_disk(log: Diagnostics, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a write hangs, logging returns at once and counts what there is no room for."""
    hangs, goes_on = threading.Event(), threading.Event()
    write = os.write

    def slow(file: int, data: bytes) -> int:
        hangs.set()
        goes_on.wait(10)
        return write(file, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", slow)
        log.event(1, "hangs")
        assert hangs.wait(10)
        for _ in range(CAPACITY + 10):
            log.drops([drop()])
        assert log.lost_drops == 10
        goes_on.set()
        log.close()
    events = [one["event"] for one in records(path)]
    assert events == [1] + [4289] * CAPACITY + [4288]
    assert "faster than they could be written" in records(path)[-1]["message"]


def test_close_does_not_hang(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that hangs for good does not hold up the end of the agent."""
    goes_on = threading.Event()
    monkeypatch.setattr(module, "CLOSE_SECONDS", 0.05)
    log = Diagnostics(path, say=print)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda *_: goes_on.wait(10) and 0)
        log.event(1, "hangs")
        log.close()
        log.event(2, "too late")
        goes_on.set()
    log._writer.join(10)


def test_pipe(tmp_path: Path) -> None:
    """A named pipe that nobody reads holds up neither the start nor the end."""
    path = tmp_path / "pipe"
    os.mkfifo(path)
    log = Diagnostics(path, say=print)
    for _ in range(50):
        log.drops([drop()] * 100)
    wait_for(lambda: log.problem is not None)
    log.close()
