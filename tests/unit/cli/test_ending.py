"""How a command ends when what it prints cannot be written."""

import subprocess
import sys
from pathlib import Path


def test_a_full_disk_under_the_output_is_named() -> None:
    """One line says that it is the output, and Python adds nothing at its end."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ipsecfd", "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "ipsecfd: standard output: cannot be written: No space left on device\n"
