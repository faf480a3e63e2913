"""What shells complete on the command line."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

_PROGRAM = "import sys; sys.argv = ['ipsecfd']; from ipsecfd.__main__ import main; main()"


def completed(line: str) -> list[str]:
    """What bash gets for the last word of a line; where there is nothing it completes files."""
    asking = {
        "_IPSECFD_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(line.count(" ")),
    }
    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROGRAM],
        env={**os.environ, **asking},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("ipsecfd shadow ", ["show", "off"]),
        ("ipsecfd shadow /etc", []),
        ("ipsecfd lab run web-s", ["web-server"]),
        ("ipsecfd lab run ./", []),
        ("ipsecfd stats ", ["filters"]),
        ("ipsecfd apply ", []),
    ],
)
def test_arguments(line: str, words: list[str]) -> None:
    """Words that an argument knows are offered, and else files."""
    assert completed(line) == words
