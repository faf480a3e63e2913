"""A disk that loses power, or whose writer is killed, before any step of what is written to it.

With the power goes all of a file that was not synced, and all that was done to names in a directory
that was not: new ones, renamed ones and removals alike. No real file system is as bad.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest


class CutError(BaseException):
    """The writer is dead: nobody may catch this and do something else."""


class Disk:
    """Counts the steps that change what is under a directory, and ends them where told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[str] = []
        """What was done since `begin`."""
        self.cut = False
        self._root = Path("/nowhere")
        self._last: int | None = None
        self._files: dict[int, Path] = {}  # by descriptor
        self._names: dict[Path, dict[str, int | None]] = {}  # that are safe; a file by its number
        self._data: dict[int, bytes] = {}  # that are safe, by the file's number
        self._close, self._open = os.close, os.open
        self._replace, self._unlink, self._mkdir = os.replace, os.unlink, os.mkdir
        self._write = os.write
        for name in ("open", "write", "fsync", "close", "replace", "unlink", "mkdir"):
            monkeypatch.setattr(os, name, getattr(self, name))

    def begin(self, root: Path, last: int) -> None:
        """All that is there is safe; whoever writes under `root` dies after `last` steps."""
        self._root, self._last = root, last
        self.steps, self.cut = [], False
        self._names, self._data = {}, {}
        for name, _, files in os.walk(root.parent):
            directory = Path(name)
            self._sync_names(directory)
            for file in files:
                self._sync_data(directory / file)

    def end(self) -> None:
        """Whoever writes from now on lives."""
        self._last = None

    def lose_power(self) -> None:
        """Leave what is safe, and nothing else."""
        shutil.rmtree(self._root, ignore_errors=True)
        if self._root.name in self._names[self._root.parent]:
            self._restore(self._root)

    def _restore(self, directory: Path) -> None:
        directory.mkdir()
        for name, number in self._names.get(directory, {}).items():
            if number is None:
                self._restore(directory / name)
            else:
                (directory / name).write_bytes(self._data.get(number, b""))

    def _sync_names(self, directory: Path) -> None:
        with os.scandir(directory) as found:
            self._names[directory] = {
                one.name: None if one.is_dir() else one.inode() for one in found
            }

    def _sync_data(self, file: Path) -> None:
        self._data[file.stat().st_ino] = file.read_bytes()

    def _step(self, what: str, path: Any) -> None:
        """One step more, if it is about our files; raises CutError instead of the first too many,
        and of all that follow."""
        if isinstance(path, str | Path) and Path(path).is_relative_to(self._root):
            if self._last is not None and len(self.steps) >= self._last:
                self.cut = True
                raise CutError
            self.steps.append(f"{what} {Path(path).relative_to(self._root)}")

    # in place of the functions of `os`

    def open(self, path: Any, flags: int, mode: int = 0o777, **others: Any) -> int:
        made = flags & os.O_CREAT and not Path(path).exists()
        if made:
            self._step("create", path)
        descriptor = self._open(path, flags, mode, **others)
        if made:
            self._data.pop(os.fstat(descriptor).st_ino, None)
        if isinstance(path, str | Path):
            self._files[descriptor] = Path(path)
        return descriptor

    def write(self, descriptor: int, data: bytes) -> int:
        dead = self.cut
        try:
            self._step("write", self._files.get(descriptor))
        except CutError:
            if not dead:
                self._write(descriptor, data[: len(data) // 2])
            raise
        return self._write(descriptor, data)

    def fsync(self, descriptor: int) -> None:
        path = self._files[descriptor]
        self._step("sync", path)
        if path.is_dir():
            self._sync_names(path)
        else:
            self._sync_data(path)

    def close(self, descriptor: int) -> None:
        self._files.pop(descriptor, None)
        self._close(descriptor)

    def replace(self, source: Any, target: Any, **others: Any) -> None:
        self._step("replace", target)
        self._replace(source, target, **others)

    def unlink(self, path: Any, **others: Any) -> None:
        if Path(path).is_file():
            self._step("remove", path)
        self._unlink(path, **others)

    def mkdir(self, path: Any, mode: int = 0o777, **others: Any) -> None:
        self._step("make", path)
        self._mkdir(path, mode, **others)
