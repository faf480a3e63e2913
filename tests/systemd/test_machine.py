"""Where no systemd can be booted, the reason is known before anything is tried."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.systemd.machine import CHECKOUT, missing

_ASK = "from tests.systemd.machine import missing; print(missing())"


@pytest.mark.live
@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_root_without_the_right_to_mount_is_told_why() -> None:
    """As in a container of somebody else's: what the system answered is the reason."""
    lacking = ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]
    result = subprocess.run(
        [*lacking, sys.executable, "-c", _ASK],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert result.stdout == (
        "no systemd can be booted here: unshare: unshare failed: Operation not permitted\n"
    )
