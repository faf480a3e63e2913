"""The time that no clock setting moves."""

from __future__ import annotations

import time

from ipsecfd.kernel.boottime import boottime


def test_grows_within_one_boot() -> None:
    """The boot has a name, and its seconds pass."""
    first = boottime()
    time.sleep(0.01)
    second = boottime()
    assert first.boot == second.boot
    assert len(first.boot) == 36
    assert second.seconds > first.seconds
