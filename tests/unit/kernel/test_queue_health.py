"""What the kernel says of a queue, by the table in /proc."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.kernel.queue_health import Health, health

TABLE = """\
   88  31337     7 2   256     3     5        9  1
   89  31338     0 2   256     0     0        0  1
"""


def test_a_bound_queue(tmp_path: Path) -> None:
    """Packets waiting, dropped because it was full, and dropped at the socket."""
    table = tmp_path / "nfnetlink_queue"
    table.write_text(TABLE)
    assert health(88, table) == Health(7, 3, 5)
    assert health(89, table) == Health(0, 0, 0)


def test_a_queue_without_anybody(tmp_path: Path) -> None:
    """Nobody is bound to it, or the kernel has no queues at all."""
    table = tmp_path / "nfnetlink_queue"
    assert health(88, table) is None
    table.write_text(TABLE)
    assert health(8, table) is None


@pytest.mark.parametrize("line", ["88", "88 x", "88 4021 many 2 256 0 0 9 1"])
def test_a_table_that_nobody_understands(tmp_path: Path, line: str) -> None:
    """Nothing is known, and nothing raised: the packet path asks as well."""
    table = tmp_path / "nfnetlink_queue"
    table.write_text(f"{line}\n")
    assert health(88, table) is None
