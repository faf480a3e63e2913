"""nft(8) that cannot be run: one clear line, as for what it refuses."""

from __future__ import annotations

import errno
import os
import subprocess

import pytest

from ipsecfd.kernel import nft
from ipsecfd.kernel.errors import KernelError


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM])
def test_no_room_for_another_process(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without processes, files or memory left for a moment."""

    def run(*_words: object, **_options: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(KernelError, match=f"nft cannot be run: {os.strerror(number)}"):
        nft.apply("")
    with pytest.raises(KernelError):
        nft.check("")


@pytest.mark.parametrize(
    ("number", "known"),
    [
        (0, True),
        (errno.ENOENT, False),
        (errno.EOPNOTSUPP, False),
        (errno.EINVAL, False),
        (errno.ENOMEM, None),
        (errno.EBUSY, None),
    ],
)
def test_what_a_kernel_knows(
    number: int, known: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kernel that is short of memory is not one that lacks something: that would be remembered
    for as long as the process lives."""

    def run(command: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        error = f"/dev/stdin:1:1-9: Error: Could not process rule: {os.strerror(number)}"
        return subprocess.CompletedProcess(command, bool(number), "", error if number else "")

    monkeypatch.setattr(subprocess, "run", run)
    if known is None:
        with pytest.raises(KernelError, match=os.strerror(number)):
            nft.accepts("")
    else:
        assert nft.accepts("") is known
