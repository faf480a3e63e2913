"""How a command ends: when what it prints cannot be written, and where its caller is nowhere."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest


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


@pytest.mark.parametrize(
    ("words", "errors"),
    [
        (["--help"], False),
        (["--version"], False),
        (["check", "--json", "no.toml"], False),
        (["check"], True),
        (["check", "no.toml"], True),
        (["export", "--config", "/nowhere.toml"], True),
    ],
)
def test_nobody_reads_what_is_printed(words: list[str], errors: bool) -> None:
    """A command ends quietly, with the status of what SIGPIPE ends; `errors` are printed there."""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "ipsecfd", *words],
        stdout=writing,
        stderr=writing if errors else subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert done.returncode == 128 + signal.SIGPIPE
    assert not done.stderr


@pytest.mark.parametrize("command", ["apply", "shadow"])
def test_a_current_directory_that_is_gone_is_named(tmp_path: Path, command: str) -> None:
    """No path in it can be given to the service, which is somewhere else."""
    here = tmp_path / "here"
    here.mkdir()
    done = subprocess.run(
        ["sh", "-c", 'rmdir "$PWD"; exec "$0" -P -m ipsecfd "$1" a.toml', sys.executable, command],
        cwd=here,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "ipsecfd: the current directory was removed: expected paths that begin with /, or `cd`"
        " elsewhere first\n"
    )
