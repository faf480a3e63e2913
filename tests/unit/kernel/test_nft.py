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
