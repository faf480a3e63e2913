"""What is heard of changes of nftables, and of more changes than a socket holds."""

from __future__ import annotations

import os
import sys

import pytest

from ipsecfd.lab import Lab

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

_LISTENER = """
import asyncio, subprocess, sys
from ipsecfd.kernel.rulewatch import RuleWatch

async def main():
    async with RuleWatch() as watch:
        # Nobody reads meanwhile: the process is busy with something else.
        subprocess.run(["nft", "-f", sys.argv[1]], check=True)
        heard = await watch.changed(1) is not None
        print(heard, await watch.changed(0.3) is not None)

asyncio.run(main())
"""


def heard(lab: Lab, table: str, elements: int) -> str:
    """Whether a change of a table is told, and whether another one is told after that."""
    guard = lab["guard"]
    numbers = ", ".join(map(str, range(elements)))
    guard.path("/run/change.nft").write_text(
        f"add table inet {table}\n"
        f"add set inet {table} numbers {{ type mark; elements = {{ {numbers} }}; }}\n"
    )
    done = guard.run([sys.executable, "-c", _LISTENER, "/run/change.nft"])
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_change_of_our_table_is_told_once() -> None:
    """Whatever a transaction changes of our table, and only of ours, is one change."""
    with Lab() as lab:
        assert heard(lab, "ipsecfd", 10) == "True False"
        assert heard(lab, "others", 10) == "False False"


def test_changes_that_did_not_fit_count_as_changes_of_our_table() -> None:
    """More than the socket holds may have hidden one of ours (ENOBUFS): somebody has to look."""
    with Lab() as lab:
        assert heard(lab, "others", 100_000) == "True False"
