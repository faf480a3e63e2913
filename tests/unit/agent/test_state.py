"""The agent's memory between runs."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path

import pytest

from ipsecfd.agent.state import FILE_NAME, State, StateError, load, save
from ipsecfd.policy import durable


def test_never_assigned(tmp_path: Path) -> None:
    """A memory that never existed is "nothing was ever assigned"."""
    assert State() == load(tmp_path / "missing")


@pytest.mark.parametrize("assigned", [None, Path("/etc/ipsecfd/web.toml")])
def test_remembers(tmp_path: Path, assigned: Path | None) -> None:
    """What was saved is found again, and that a policy was ever assigned."""
    save(tmp_path / "state", assigned)
    assert State(ever_assigned=True, assigned=assigned) == load(tmp_path / "state")


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"{}", b'{"assigned": 1}', b'{"assigned": "x"}', b"\xff"]
)
def test_damage_is_not_nothing(tmp_path: Path, content: bytes) -> None:
    """A damaged memory is an error that says what to do, never an empty one."""
    (tmp_path / FILE_NAME).write_bytes(content)
    with pytest.raises(StateError, match=r"damaged.*policy assign"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('{"assigned":\n"/a" x', ': line 2, column 6: ""/a" x": damaged'),
        ('{"assigned": "web.toml"}', ': assigned: "web.toml": damaged'),
        ("[]\n", ': "[]": damaged'),
        ("", ": damaged"),
    ],
)
def test_damage_is_shown(tmp_path: Path, content: str, where: str) -> None:
    """The error names file, place and offending text."""
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(StateError, match=re.escape(f"{tmp_path / FILE_NAME}{where}: expected")):
        load(tmp_path)


def test_unwritable(tmp_path: Path) -> None:
    """A directory that cannot be made is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="state_dir"):
        save(tmp_path / "file" / "state", None)


def test_a_full_disk_is_all_there_is_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory is as it should be, so nothing is said of it."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(durable, "keep", full)
    with pytest.raises(StateError, match=r"No space left on device$"):
        save(tmp_path, None)
