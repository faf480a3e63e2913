"""The program before any command of it runs."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys

SMALL = 4096


def test_interrupt_while_it_is_loaded_is_quiet() -> None:
    """Ctrl-C ends it at once, and Python says nothing about it."""
    command = [sys.executable, "-X", "importtime", "-m", "ipsecfd", "log", "--help"]
    with subprocess.Popen(  # it cannot get far while nobody reads what it writes
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0, pipesize=SMALL
    ) as program:
        assert program.stderr is not None
        for line in program.stderr:
            if b"ipsecfd.errors" in line:  # one of the first modules of many
                break
        program.send_signal(signal.SIGINT)
        said, complaints = program.communicate(timeout=20)
    assert b"Traceback" not in complaints
    assert (program.returncode, said) == (-signal.SIGINT, b"")


def test_closed_standard_files() -> None:
    """A shell or a service may start it without them: it does its work all the same."""
    program = f"{shlex.quote(sys.executable)} -m ipsecfd check /nowhere"
    for closed in (">&-", "2>&-", "<&- >&- 2>&-"):
        done = subprocess.run(["sh", "-c", f"{program} {closed}"], capture_output=True, check=False)
        assert (done.returncode, done.stdout) == (1, b""), closed
        assert b"Traceback" not in done.stderr
