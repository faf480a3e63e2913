"""How a command ends: its exit status, and what an error looks like."""

from __future__ import annotations

import errno
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import printable

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


def run_to_its_end(app: Callable[[], object]) -> None:
    """Run a command; exit status 0 done, 2 usage, 1 or the error's own refused or failed.

    Where nobody reads what it prints any more (`| head`) it ends without a word, with the status
    that shells give for SIGPIPE. Not by the signal: a service that hangs up is an error to tell.
    """
    try:
        _run(app)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        _give_stdout_up()
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        _give_stdout_up()
        print(f"ipsecfd: {_words(error)}", file=sys.stderr)
        sys.exit(1)


def _run(app: Callable[[], object]) -> None:
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except IpsecfdError as error:
        for line in str(error).split("\n"):
            print(f"ipsecfd: {printable(line)}", file=sys.stderr)
        sys.exit(error.status)


def _words(error: OSError) -> str:
    """A file's errors are told where it is written; one that names none is of what was printed, or
    of where the caller is."""
    if error.filename is None and error.errno == errno.ENOENT and _is_nowhere():
        return (
            "the current directory was removed: expected paths that begin with /, or `cd` elsewhere"
            " first"
        )
    if error.filename is None and error.errno in _UNWRITABLE:
        return f"standard output: cannot be written: {error.strerror}"
    return str(error)


def _is_nowhere() -> bool:
    try:
        Path.cwd()
    except OSError:
        return True
    return False


def _give_stdout_up() -> None:
    """Nobody reads it, or the disk is full: Python's own try at its end would only tell again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
