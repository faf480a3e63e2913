"""Tests of `ipsecfd log`."""

from __future__ import annotations

import datetime
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from ipsecfd.cli import log
from ipsecfd.cli.log_files import NoLogError, open_log
from ipsecfd.cli.log_text import format_damaged, format_record
from ipsecfd.cli.main import app
from ipsecfd.cli.wanted import Wanted
from ipsecfd.errors import IpsecfdError

DROP: dict[str, Any] = {
    "time": "2026-11-21T12:00:01.123Z",
    "event": 4289,
    "direction": "in",
    "interface": "eth0",
    "source": "203.0.113.66",
    "destination": "192.0.2.10",
    "protocol": "tcp",
    "source_port": 40000,
    "destination_port": 445,
    "length": 60,
    "tcp_flags": "S",
    "reason": "filter",
    "policy": "Packet Filters",
    "version": 1,
    "rule": "Block everything",
    "filter_list": "All",
    "filter": "me <-> any",
    "mirrored": True,
    "detail": None,
    "count": 1,
}
BLOCK_MODE = {
    "time": "2026-11-21T12:00:02.000Z",
    "event": 4292,
    "message": "block mode: every packet in and out is dropped",
}
COUNTED = {
    "count": 14313,
    "first": "2026-11-21T12:00:01.123Z",
    "last": "2026-11-21T12:00:05.000Z",
    "mixed": False,
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The tests' time zone, no colours, no width."""
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.delenv("COLUMNS", raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "diagnostic.jsonl"


def write(path: Path, *records: dict[str, Any]) -> None:
    with path.open("a") as file:
        for record in records:
            print(json.dumps(record), file=file)


def show(path: Path, *options: str, status: int = 0) -> str:
    """What `ipsecfd log` prints on stdout."""
    result = CliRunner().invoke(app, ["log", "--log", str(path), *options])
    assert result.exit_code == status, result.output
    return result.stdout


def test_at_80_columns() -> None:
    """A drop says when, which way, from where to where, and what dropped it."""
    assert format_record(DROP, 80, color=False).splitlines() == [
        "12:00:01.123 drop in  eth0 tcp  203.0.113.66:40000 -> 192.0.2.10:445 [S]",
        '      rule "Block everything": me <-> any (its mirror)',
    ]


def test_count() -> None:
    """A count names the others, and says when they may have other addresses."""
    lines = format_record(DROP | COUNTED, 80, color=False).splitlines()
    assert lines[-1] == "      and 14,312 more like this between 12:00:01 and 12:00:05"
    lines = format_record(DROP | COUNTED | {"mixed": True}, 80, color=False).splitlines()
    assert lines[-2:] == [
        "      and 14,312 more like this between 12:00:01 and 12:00:05",
        "      their addresses and ports may vary",
    ]


def test_one_line() -> None:
    """What fits is one line; width 0 means everything fits, and gives the date as well."""
    short = 'rule "Block everything": me <-> any (its mirror)'
    assert format_record(DROP, 200, color=False).endswith(f"[S]  {short}")
    line = format_record(DROP | COUNTED, 0, color=False)
    assert line.startswith("2026-11-21 12:00:01.123 drop in  eth0 tcp ")
    assert line.endswith("more like this between 12:00:01 and 12:00:05")
    assert "\n" not in line


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"reason": "mode", "detail": "block", "filter": None}, "mode: block"),
        (
            {"reason": "negotiate", "mirrored": False},
            'negotiate, rule "Block everything": me <-> any',
        ),
        ({"reason": "fragment", "detail": "too short", "filter": None}, "fragment: too short"),
        ({"reason": "no-filter", "filter": None}, "no-filter"),
    ],
)
def test_causes(changes: dict[str, Any], line: str) -> None:
    """Without a filter, the reason and its detail are the cause."""
    assert format_record(DROP | changes, 80, color=False).splitlines()[1].strip() == line


@pytest.mark.parametrize(
    ("changes", "flow"),
    [
        ({"direction": "out"}, "drop out eth0 tcp  203."),
        ({"direction": "forward"}, "drop fwd eth0 tcp  203."),
        ({"protocol": 50}, "eth0 protocol 50 203."),
        ({"protocol": None, "interface": None}, "in  - ?    203."),
        ({"source": "2001:db8::1"}, "[2001:db8::1]:40000 -> "),
        ({"source": "::1", "source_port": None}, "tcp  ::1 -> "),
        ({"source": None, "source_port": None}, "tcp  ? -> "),
    ],
)
def test_flows(changes: dict[str, Any], flow: str) -> None:
    """Every kind of packet has a readable flow."""
    assert flow in format_record(DROP | changes, 80, color=False)


@pytest.mark.parametrize(
    ("event", "tag"),
    [
        (4292, "MODE 4292"),
        (4294, "MODE 4294"),
        (5461, "FAIL 5461"),
        (4288, "FAIL 4288"),
        (5460, "NOTE 5460"),
        (None, "NOTE ?"),
    ],
)
def test_events(event: int | None, tag: str) -> None:
    """Mode changes, failures and gaps look different from drops, also without colour."""
    line = format_record(BLOCK_MODE | {"event": event}, 80, color=False)
    assert line.startswith(f"12:00:02.000 {tag} block mode")


def test_long_event() -> None:
    """A message of several lines keeps them, indented, so that none looks like a record."""
    message = "policies not reloaded: " + "word " * 20 + "\n12:00:01.123 drop in  a lie"
    lines = format_record(BLOCK_MODE | {"message": message}, 80, color=False).splitlines()
    assert len(lines) == 3
    assert all(line.startswith("      ") and len(line) <= 80 for line in lines[1:])


def test_colours() -> None:
    """Colours change nothing else, and each ends on its own line."""
    for record in (DROP, DROP | COUNTED, BLOCK_MODE):
        for width in (0, 60, 80, 200):
            colored = format_record(record, width, color=True)
            plain = colored
            for code in ("2", "31", "33", "1;31", "1;36", "0"):
                plain = plain.replace(f"\x1b[{code}m", "")
            assert plain == format_record(record, width, color=False)
            assert all(
                line.count("\x1b[") == 2 * line.count("\x1b[0m") for line in colored.splitlines()
            )


def test_terminal_commands() -> None:
    """Names that would command a terminal are shown, not obeyed."""
    hostile = "\x1b]0;owned\x07\r\n\x9b2J\u202e"
    for key in DROP | BLOCK_MODE:
        record = {**DROP, key: hostile} if key in DROP else {**BLOCK_MODE, key: hostile}
        for color in (False, True):
            text = format_record(record, 80, color).replace("\x1b[", "")
            assert all(one == "\n" or one.isprintable() for one in text)
    assert "\x1b" not in format_damaged(hostile.encode(), 80, color=False)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([*DROP, *COUNTED, "message"]) | st.text(), json_values),
    st.integers(0, 300),
)
def test_any_record(record: dict[str, Any], width: int) -> None:
    """Any JSON object whatsoever is shown without an error or a control character."""
    for one in (record, DROP | record):
        text = format_record(one, width, color=False)
        assert all(char == "\n" or char.isprintable() for char in text)
        Wanted(port=1, since=datetime.datetime.now(datetime.UTC)).matches(one)
        Wanted.of_options("10.0.0.0/8", None, "Rule", "in", None).matches(one)


@pytest.mark.parametrize("record", [DROP, DROP | COUNTED, BLOCK_MODE])
def test_a_field_that_is_missing(record: dict[str, Any]) -> None:
    """Nobody sees how the program spells that nothing is there."""
    for key in record:
        shown = format_record({**record, key: None}, 0, color=False)
        assert "None" not in shown
        less = {name: value for name, value in record.items() if name != key}
        assert "None" not in format_record(less, 0, color=False)


OTHER = DROP | {
    "time": "2026-11-20T10:00:00.000Z",
    "direction": "out",
    "source": "2001:db8::1",
    "destination": "10.1.2.3",
    "destination_port": 80,
    "rule": "Web",
}


@pytest.mark.parametrize(
    ("options", "shown"),
    [
        ([], [0, 1, 2]),
        (["-n", "2"], [1, 2]),
        (["-n", "0"], []),
        (["--address", "10.0.0.0/8"], [1]),
        (["--address", "10.9.9.9/8"], [1]),
        (["--address", "203.0.113.66"], [0]),
        (["--address", "2001:db8::/32"], [1]),
        (["--address", "172.16.0.0/12"], []),
        (["--port", "445"], [0]),
        (["--port", "40000"], [0, 1]),
        (["--port", "40000", "-n", "1"], [1]),
        (["--rule", "block EVERYTHING"], [0]),
        (["--rule", "block"], []),
        (["--rule", "None"], []),
        (["--direction", "OUT"], [1]),
        (["--direction", "in", "--port", "80"], []),
        (["--since", "2026-11-21 12:00"], [0, 2]),
        (["--since", "2026-11-21T12:00:01.5Z"], [2]),
        (["--since", "2026-11-21T13:00+01:00"], [0, 2]),
    ],
)
def test_filters(path: Path, options: list[str], shown: list[int]) -> None:
    """Options choose records; --json gives the lines as they are in the file."""
    write(path, DROP, OTHER, BLOCK_MODE)
    lines = path.read_text().splitlines()
    assert show(path, "--json", *options).splitlines() == [lines[one] for one in shown]
    assert len(show(path, *options).splitlines()) == len(shown)


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("--address", "10.0.0", "an address or a prefix"),
        ("--direction", "sideways", "in, out or forward"),
        ("--since", "yesterday", "10m"),
        ("--since", "999999999d", "10m"),
    ],
)
def test_usage(path: Path, option: str, value: str, expected: str) -> None:
    """What an option cannot mean is refused with what was expected, status 2."""
    result = CliRunner().invoke(app, ["log", "--log", str(path), option, value])
    assert result.exit_code == 2
    assert f"{option} {value!r}" in result.stderr
    assert expected in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_aggregate_since(path: Path) -> None:
    """An aggregate counts for the whole time it covers."""
    write(path, DROP | COUNTED)
    assert show(path, "--since", "2026-11-21 12:00:04") != ""
    assert show(path, "--since", "2026-11-21 12:00:06") == ""


def test_damaged(path: Path) -> None:
    """Damaged lines are shown as such, and cost nobody else a line."""
    for damage in (b'{"ti', b"\xff\xfe", b"5", b"[" * 100_000, b"{}\x1b[2J", b"1" * 5000):
        path.write_bytes(json.dumps(DROP).encode() + b"\n" + damage + b"\n\n")
        write(path, BLOCK_MODE)
        lines = show(path).splitlines()
        assert "drop in" in lines[0]
        assert "MODE 4292" in lines[-1]
        assert len(lines) >= 3
        assert all(
            line.startswith("damaged line skipped: ") and len(line) <= 80 for line in lines[1:-1]
        )
        result = CliRunner().invoke(app, ["log", "--log", str(path), "--json"])
        assert [json.loads(line) for line in result.stdout.splitlines()] == [DROP, BLOCK_MODE]
        assert "damaged line skipped: " in result.stderr


@pytest.mark.parametrize("length", [65_535, 65_536, 65_537, 1_000_000])
def test_one_long_damaged_line(path: Path, length: int) -> None:
    """However long it is, it is one line, and hides none of the last ones."""
    path.write_bytes(json.dumps(DROP).encode() + b"\n" + b"x" * length + b"\n")
    write(path, BLOCK_MODE)
    lines = show(path, "-n", "3").splitlines()
    assert "drop in" in lines[0]
    assert lines[1].startswith("damaged line skipped: ")
    assert "MODE 4292" in lines[2]
    assert len(lines) == 3


def test_empty_lines(path: Path) -> None:
    """They are no records: none of the last ones is one."""
    path.write_text(f"{json.dumps(DROP)}\n\n \n\n")
    assert "drop in" in show(path, "-n", "1")


def test_half_last_line(path: Path) -> None:
    """A last line without its end is read if it is whole, and damaged if not."""
    path.write_text(json.dumps(DROP))
    assert "drop in" in show(path)
    path.write_text(json.dumps(DROP)[:-5])
    assert show(path).startswith("damaged line")


def test_columns(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a width records are wrapped, and a line says when a new day begins."""
    monkeypatch.setenv("COLUMNS", "80")
    write(path, OTHER, OTHER, DROP)
    lines = show(path).splitlines()
    assert [number for number, line in enumerate(lines) if line.startswith("-- 2026-11-2")] == [
        0,
        5,
    ]
    assert all(len(line) <= 80 for line in lines)


def test_no_log(path: Path) -> None:
    """A log that is not there, or not readable, is one clear line."""
    for place, text in ((path, "there is no diagnostic log"), (path.parent, "Is a directory")):
        result = CliRunner().invoke(app, ["log", "--log", str(place)])
        assert isinstance(result.exception, IpsecfdError)
        assert text in str(result.exception)
        assert str(result.exception).startswith(f"{place}: ")


def test_follow_what_is_no_log(path: Path) -> None:
    """A mistake of the caller is told at once, not waited out."""
    result = CliRunner().invoke(app, ["log", "-f", "--log", str(path.parent)])
    assert isinstance(result.exception, IpsecfdError)
    assert "Is a directory" in str(result.exception)


def test_configured(path: Path) -> None:
    """Without --log, the configuration says where the log is."""
    write(path, DROP)
    config = path.with_name("ipsecfd.toml")
    config.write_text(f'[diagnostics]\nlog = "{path}"\n')
    result = CliRunner().invoke(app, ["log", "--config", str(config)])
    assert "drop in" in result.stdout


def test_mistake_in_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and the log shown where it usually is: it may tell of that very mistake."""
    wrong = tmp_path / "ipsecfd.toml"
    wrong.write_text("levle = 1\n")
    monkeypatch.setattr("ipsecfd.agent.config.DEFAULT_PATH", wrong)
    said = CliRunner().invoke(app, ["log", "-n", "0"]).stderr
    assert '"levle": unknown key' in said
    assert "this is /var/log/ipsecfd/diagnostic.jsonl; --log names another" in said
    with pytest.raises(IpsecfdError, match="levle"):
        CliRunner().invoke(app, ["log", "--config", str(wrong)], catch_exceptions=False)


class Follower:
    """`ipsecfd log -f` in a process of its own."""

    def __init__(self, path: Path, *options: str) -> None:
        plain = {key: value for key, value in os.environ.items() if key != "COLUMNS"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ipsecfd", "log", "-f", "--log", str(path), *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**plain, "TZ": "UTC"},
        )
        self._timer = threading.Timer(60, self.process.kill)
        self._timer.start()

    def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def waits(self, why: str = "waiting for") -> None:
        """Until it says that it waits for the file."""
        assert self.process.stderr is not None
        assert why in self.process.stderr.readline()

    def end(self) -> str:
        """Interrupt it; what it had left to say."""
        self.process.send_signal(signal.SIGINT)
        out, errors = self.process.communicate()
        self._timer.cancel()
        assert (self.process.returncode, errors) == (0, "")
        return out


def test_follow(path: Path) -> None:
    """-f waits for the file, follows it over rotation, removal and truncation, and ends quietly."""
    follower = Follower(path)
    follower.waits()
    write(path, DROP | {"rule": "first"})
    assert '"first"' in follower.line()
    with path.open("a") as file:
        text = json.dumps(DROP | {"rule": "in two pieces"})
        file.write(text[:50])
        file.flush()
        time.sleep(0.5)
        file.write(text[50:] + "\n")
    assert '"in two pieces"' in follower.line()
    with path.open("a") as file:
        for piece in ("x" * 100_000, "y" * 100_000, "z\n"):
            file.write(piece)
            file.flush()
            time.sleep(0.5)
    assert follower.line().startswith("damaged line skipped: xxx")
    path.rename(path.with_suffix(".1"))
    write(path.with_suffix(".1"), DROP | {"rule": "last words"})
    write(path, DROP | {"rule": "rotated"})
    assert '"last words"' in follower.line()
    assert '"rotated"' in follower.line()
    write(path, DROP | {"rule": "more"})
    assert '"more"' in follower.line()
    path.write_text(json.dumps(DROP | {"rule": "truncated"}) + "\n")
    assert '"truncated"' in follower.line()
    path.unlink()
    time.sleep(0.5)
    write(path, DROP | {"rule": "again"})
    assert '"again"' in follower.line()
    assert follower.end() == ""


def test_follow_what_cannot_be_read_for_a_while(path: Path) -> None:
    """-f goes on as soon as there is a log again, as the service does."""
    write(path, DROP | {"rule": "first"})
    follower = Follower(path)
    assert '"first"' in follower.line()
    path.unlink()
    path.mkdir()
    follower.waits(f"waiting: {path}: cannot read the diagnostic log: Is a directory")
    path.rmdir()
    follower.waits(f"waiting for {path}")
    write(path, DROP | {"rule": "again"})
    assert '"again"' in follower.line()
    assert follower.end() == ""


def test_follow_what_is_moved_away_in_between(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A log that is rotated just as -f opens it is waited for."""
    write(path, DROP | {"rule": "first"})
    opened: list[BinaryIO] = []
    looks = 0

    def open_later(file: Path) -> BinaryIO:
        nonlocal looks
        looks += 1
        if looks == 1:
            raise NoLogError
        opened.append(open_log(file))
        return opened[-1]

    def interrupt(_seconds: float) -> None:
        if looks > 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(log, "open_log", open_later)
    monkeypatch.setattr(time, "sleep", interrupt)
    done = CliRunner().invoke(app, ["log", "-f", "--log", str(path)], catch_exceptions=False)
    opened.pop().close()
    assert '"first"' in done.stdout
    assert done.exit_code == 0


def test_follow_last_lines(path: Path) -> None:
    """-f begins with the last ten records, or as many as -n says, and filters what comes."""
    write(path, *(DROP | {"rule": f"rule {number}"} for number in range(20)))
    follower = Follower(path, "--direction", "in")
    for number in range(10, 20):
        assert f'"rule {number}"' in follower.line()
    write(path, OTHER, DROP | {"rule": "wanted"})
    assert '"wanted"' in follower.line()
    assert follower.end() == ""


def test_follow_nothing_but_what_comes(path: Path) -> None:
    """-f -n 0 leaves out what is there already."""
    write(path, DROP | {"rule": "old"})
    follower = Follower(path, "-n", "0")
    seen = threading.Event()

    def keep_writing() -> None:
        while not seen.wait(0.1):
            write(path, DROP | {"rule": "new"})

    writer = threading.Thread(target=keep_writing)
    writer.start()
    try:
        first = follower.line()
    finally:
        seen.set()
        writer.join()
    assert '"new"' in first
    assert '"old"' not in follower.end()


def test_broken_pipe(path: Path) -> None:
    """`| head` ends it without a word, and with the status of other programs."""
    write(path, *(DROP for _ in range(5000)))
    with subprocess.Popen(
        [sys.executable, "-m", "ipsecfd", "log", "--log", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ},  # not what readline, loaded by pytest, puts behind its back
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "drop in" in process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
    assert process.returncode == 128 + signal.SIGPIPE
