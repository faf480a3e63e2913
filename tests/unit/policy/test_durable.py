"""Files that outlast a crash or a power loss: the old content or the new, and nothing beside it."""

from __future__ import annotations

import errno
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.policy import durable
from ipsecfd.policy.durable import LockedError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with old content."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    return path


def failing(_: object, *_more: object) -> Any:
    raise FULL


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_replaced_whole(file: Path) -> None:
    """The new content, for root alone, whoever could read the old one."""
    file.chmod(0o644)
    durable.write(file, b"new")
    assert file.read_bytes() == b"new"
    assert mode(file) == 0o600
    assert list(file.parent.iterdir()) == [file]


def test_written_before_it_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on the disk before the name is, and the name before it returns."""
    happened: list[str] = []

    def noted(what: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            kind = what
            if what == "sync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode):
                kind = "sync directory"
            happened.append(kind)
            return real(*arguments)

        return call

    monkeypatch.setattr(os, "write", noted("write", os.write))
    monkeypatch.setattr(os, "fsync", noted("sync", os.fsync))
    monkeypatch.setattr(Path, "replace", noted("rename", Path.replace))
    durable.write(file, b"new")
    assert happened == ["write", "sync", "rename", "sync directory"]


def test_written_to_the_end(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk may take a part of it at a time."""
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, data[:3]))
    durable.write(file, b"new content")
    assert file.read_bytes() == b"new content"


@pytest.mark.parametrize(("where", "what"), [(os, "write"), (os, "fsync"), (Path, "replace")])
def test_failure_leaves_the_old_one(
    file: Path, monkeypatch: pytest.MonkeyPatch, where: object, what: str
) -> None:
    """Nothing is left beside it, and the next try succeeds."""
    with monkeypatch.context() as patched:
        patched.setattr(where, what, failing)
        with pytest.raises(OSError, match="No space left"):
            durable.write(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(file.parent.iterdir()) == [file]
    durable.write(file, b"new")
    assert file.read_bytes() == b"new"


def test_leftovers_of_a_crash(file: Path) -> None:
    """Whatever stands in the place of the file that is being written is not followed or kept."""
    victim = file.with_name("victim")
    victim.write_bytes(b"somebody else's")
    file.with_name(".file.new").symlink_to(victim)
    durable.write(file, b"new")
    assert (file.read_bytes(), victim.read_bytes()) == (b"new", b"somebody else's")
    assert not file.is_symlink()


def test_directories_are_made(tmp_path: Path) -> None:
    """All that are missing, for root alone; one that is there stays as it is."""
    durable.keep(tmp_path / "a" / "b" / "file", b"new")
    assert (tmp_path / "a" / "b" / "file").read_bytes() == b"new"
    assert {mode(tmp_path / "a"), mode(tmp_path / "a" / "b")} == {0o700}
    (tmp_path / "a").chmod(0o755)
    durable.keep(tmp_path / "a" / "file", b"new")
    assert mode(tmp_path / "a") == 0o755


def test_empty_file(tmp_path: Path) -> None:
    """One that is there keeps its content."""
    durable.touch(tmp_path / "mark")
    assert (tmp_path / "mark").read_bytes() == b""
    (tmp_path / "mark").write_bytes(b"content")
    durable.touch(tmp_path / "mark")
    assert (tmp_path / "mark").read_bytes() == b"content"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_file_system_that_cannot_sync_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """It does what it can; a disk that fails is told."""

    def refuse(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    durable.sync_directory(tmp_path)
    number = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        durable.sync_directory(tmp_path)


def test_lock(tmp_path: Path) -> None:
    """One at a time, also within a process; who waits in vain is told, who waits long enough has
    it next."""
    path = tmp_path / "lock"
    with durable.locked(path, 1.0):
        with pytest.raises(LockedError, match="another process"), durable.locked(path, 0.0):
            pass
        taken = threading.Event()

        def next_one() -> None:
            with durable.locked(path, 30.0):
                taken.set()

        waiting = threading.Thread(target=next_one)
        waiting.start()
        time.sleep(0.05)
        assert not taken.is_set()
    assert taken.wait(20)
    waiting.join()
    assert mode(path) == 0o600
