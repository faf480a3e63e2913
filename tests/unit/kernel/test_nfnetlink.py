"""Netlink that fails: told as KernelError, whatever goes wrong, so that the service goes on."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from ipsecfd.kernel import counters, flows, nfnetlink, standing
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.rules import RulesConfig

FULL = OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))


class Failing:
    """A socket that takes every question, or none, and has no answer."""

    def __init__(self, sending: OSError | None, receiving: OSError) -> None:
        self._sending, self._receiving = sending, receiving

    def __enter__(self) -> Failing:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def settimeout(self, _seconds: float) -> None:
        pass

    def send(self, _data: bytes) -> None:
        if self._sending is not None:
            raise self._sending

    def recv(self, _size: int) -> bytes:
        raise self._receiving


@pytest.mark.parametrize(
    ("sending", "receiving", "words"),
    [
        (None, TimeoutError("timed out"), "nftables did not answer within 5 s"),
        (None, FULL, "nftables cannot be asked: No buffer space"),
        (FULL, FULL, "nftables cannot be asked: No buffer space"),
    ],
)
def test_no_answer(
    sending: OSError | None, receiving: OSError, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither to a short question nor to a long one."""
    monkeypatch.setattr(socket, "socket", lambda *_: Failing(sending, receiving))
    with pytest.raises(KernelError, match=words):
        list(flows.read_all(RulesConfig(), Generation(1)))
    with pytest.raises(KernelError, match=words):
        counters.read()
    with pytest.raises(KernelError, match=words):
        standing.read("ipsecfd")
    with pytest.raises(KernelError, match=words):
        nfnetlink.add_queue_chain("ipsecfd", "judge", 88, 1, bypass=False)


def test_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has too many files open."""

    def none(*_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(socket, "socket", none)
    with pytest.raises(KernelError, match="Too many open files"):
        standing.read("ipsecfd")
    with pytest.raises(KernelError, match="Too many open files"):
        nfnetlink.listen()
