"""`ipsecfd log` and the files that logrotate has moved away."""

from __future__ import annotations

import gzip
import json
import os
import threading
from datetime import datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.cli.main import app
from ipsecfd.errors import IpsecfdError
from tests.unit.cli.test_log import DROP, Follower, write

DAYS = {"": 20, ".1": 19, ".2.gz": 18, ".3.gz": 17}
"""What the names of the files end with, and of which day in November they are."""


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A log and three that were rotated, of two records each: "19 a" and "19 b"."""
    monkeypatch.delenv("COLUMNS", raising=False)
    path = tmp_path / "diagnostic.jsonl"
    for end, day in DAYS.items():
        file = Path(f"{path}{end}")
        when = f"2026-11-{day}T12:00:00.000Z"
        write(file, *(DROP | {"time": when, "rule": f"{day} {one}"} for one in "ab"))
        if end.endswith(".gz"):
            file.write_bytes(gzip.compress(file.read_bytes()))
        os.utime(file, (0, datetime.fromisoformat(when).timestamp()))
    path.with_name("diagnostic.jsonl.bak").write_text("nothing of ours\n")
    path.with_name("other.jsonl.1").write_text("nothing of ours\n")
    return path


def shown(path: Path, *options: str) -> tuple[list[str], str]:
    """The rules of the records shown, and what is said beside."""
    done = CliRunner().invoke(
        app, ["log", "--log", str(path), "--json", *options], catch_exceptions=False
    )
    assert done.exit_code == 0
    return [json.loads(line)["rule"] for line in done.stdout.splitlines()], done.stderr


def before(path: Path) -> str:
    return f"note: {path}: no record since it was rotated; those before are in {path}.1\n"


@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ([], ["20 a", "20 b"]),
        (["-n", "1"], ["20 b"]),
        (["-n", "3"], ["19 b", "20 a", "20 b"]),
        (["-n", "5"], ["18 b", "19 a", "19 b", "20 a", "20 b"]),
        (["-n", "1", "--rule", "17 a"], ["17 a"]),
        (["-n", "0"], []),
        (["-n", "99"], [f"{day} {one}" for day in (17, 18, 19, 20) for one in "ab"]),
    ],
)
def test_goes_back_as_far_as_n_says(path: Path, options: list[str], rules: list[str]) -> None:
    """The oldest record first, over all rotations; without -n, since the last one."""
    assert shown(path, *options) == (rules, "")


def test_goes_back_as_far_as_since_says(path: Path) -> None:
    """Files that were written last before that time are not even opened."""
    Path(f"{path}.3.gz").write_bytes(b"damaged")
    os.utime(f"{path}.3.gz", (0, 0))
    rules, _ = shown(path, "--since", "2026-11-18T12:00Z")
    assert rules == ["18 a", "18 b", "19 a", "19 b", "20 a", "20 b"]


@pytest.mark.parametrize("missing", [False, True])
def test_right_after_a_rotation(path: Path, missing: bool) -> None:
    """The log is empty or not there yet: the last records before are shown, and it is said."""
    path.unlink() if missing else path.write_text("")
    assert shown(path) == (["19 a", "19 b"], before(path))
    assert shown(path, "-n", "3") == (["18 b", "19 a", "19 b"], before(path))
    assert shown(path, "--since", "2027-01-01") == ([], before(path))


def test_nothing_matches(path: Path) -> None:
    """A misspelt rule does not look like a quiet night."""
    assert shown(path, "--rule", "20 a") == (["20 a"], "")
    for options in (("--rule", "20 aa"), ("--port", "1"), ("--rule", "x", "--since", "2026-11-01")):
        assert shown(path, *options) == ([], "note: no record matches\n")
    assert shown(path, "--since", "2027-01-01") == ([], "")
    assert shown(path, "--rule", "x", "-n", "0") == ([], "")
    with path.open("a") as file:
        file.write("damaged\n")
    assert "note: no record matches" in shown(path, "--rule", "x")[1]


def test_never_written(tmp_path: Path) -> None:
    """Without any file the service never ran."""
    with pytest.raises(IpsecfdError, match="it begins when ipsecfd first runs"):
        shown(tmp_path / "diagnostic.jsonl")


def test_a_rotated_file_by_its_name(path: Path) -> None:
    """Compressed or not."""
    assert shown(Path(f"{path}.1")) == (["19 a", "19 b"], "")
    assert shown(Path(f"{path}.3.gz")) == (["17 a", "17 b"], "")


def test_a_pipe(path: Path) -> None:
    """It is read once, by whoever opens it first."""
    text, pipe = path.read_text(), path.with_name("pipe")
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_text, args=(text,), daemon=True)
    writer.start()
    assert shown(pipe) == (["20 a", "20 b"], "")
    writer.join(10)


def test_a_damaged_file_alone(path: Path) -> None:
    """What can be read of it is shown, also the last of it."""
    file = Path(f"{path}.3.gz")
    file.write_bytes(file.read_bytes()[:-4])
    for options in ((), ("-n", "2"), ("-n", "9")):
        done = CliRunner().invoke(app, ["log", "--log", str(file), "--json", *options])
        rules = [json.loads(line)["rule"] for line in done.stdout.splitlines()]
        assert rules == ["17 a", "17 b"]
        assert done.stderr.startswith(f"ipsecfd: {file}: cannot read the diagnostic log: ")
        assert done.exit_code == 1


@pytest.mark.parametrize("kept", [0, 0.5, 0.999])
def test_a_damaged_rotated_file(path: Path, kept: float) -> None:
    """It is named, and costs nobody the records of other files or those before the damage."""
    file, many = Path(f"{path}.2.gz"), [f"18 {number}" for number in range(2000)]
    plain = "".join(json.dumps(DROP | {"rule": rule}) + "\n" for rule in many).encode()
    packed = gzip.compress(plain)
    file.write_bytes(packed[: int(len(packed) * kept)] or b"damaged")
    os.utime(file, (0, datetime.fromisoformat("2026-11-18T12:00Z").timestamp()))
    done = CliRunner().invoke(app, ["log", "--log", str(path), "--json", "-n", "9999"])
    rules = [json.loads(line)["rule"] for line in done.stdout.splitlines()]
    read = [rule for rule in rules if rule in many]
    assert read == many[: len(read)]
    assert (len(read) > 0) == (kept > 0)
    assert rules == ["17 a", "17 b", *read, "19 a", "19 b", "20 a", "20 b"]
    assert done.stderr.startswith(f"ipsecfd: {file}: cannot read the diagnostic log: ")
    assert done.stderr.count("\n") == 1
    assert done.exit_code == 1


def test_dates_for_numbers(path: Path) -> None:
    """What dateext of logrotate appends is understood as well."""
    Path(f"{path}.1").rename(f"{path}-20261119")
    assert shown(path, "-n", "3")[0] == ["19 b", "20 a", "20 b"]


def test_follows_from_before_a_rotation(path: Path) -> None:
    """-f begins with records of before, and goes on with the new file when it comes."""
    path.unlink()
    follower = Follower(path, "-n", "3")
    for rule in ("18 b", "19 a", "19 b"):
        assert f'"{rule}"' in follower.line()
    assert follower.process.stderr is not None
    assert follower.process.stderr.readline() == before(path)
    follower.waits()
    write(path, DROP | {"rule": "new"})
    assert '"new"' in follower.line()
    assert follower.end() == ""
