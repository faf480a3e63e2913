"""From the bytes of a file to text: what is read, and what is refused unread."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.text import read_plain_text


def listening_socket(path: Path) -> None:
    """A socket's file, which stays when nobody listens any more."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(path))


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, lambda path: path.symlink_to("/dev/zero"), listening_socket],
    ids=["pipe", "device", "socket"],
)
def test_only_a_plain_file_is_read_by_the_service(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """Whoever reads anything else may wait for ever."""
    path = tmp_path / "ipsecfd.toml"
    make(path)
    with pytest.raises(PolicyError) as caught:
        read_plain_text(path)
    assert str(caught.value) == (
        f"{path}: cannot be read: expected a plain file, not a pipe, a socket or a device"
    )


def test_links_and_nothing_at_all_are_plain(tmp_path: Path) -> None:
    """A link to a plain file is one; /dev/null is an empty one."""
    (tmp_path / "real").write_text("exempt = 1")
    (tmp_path / "link").symlink_to("real")
    assert read_plain_text(tmp_path / "link") == "exempt = 1"
    assert read_plain_text(Path(os.devnull)) == ""


def test_what_cannot_be_read_is_told_as_ever(tmp_path: Path) -> None:
    """A directory, and what is not there."""
    for path, why in ((tmp_path, "Is a directory"), (tmp_path / "gone", "No such file")):
        with pytest.raises(PolicyError, match=f"{path}: cannot be read: {why}"):
            read_plain_text(path)
