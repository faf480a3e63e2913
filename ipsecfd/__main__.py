"""The program: `ipsecfd`, or `python -m ipsecfd`."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run a command. A Ctrl-C while it is being loaded ends it without a word."""
    _have_standard_files()
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ipsecfd.cli.alone import program

    run = program(sys.argv[1:])
    signal.signal(signal.SIGINT, interrupted)
    run()


def _have_standard_files() -> None:
    """Put /dev/null where somebody has closed standard input, output or errors: nothing else may
    get their numbers, and Python has no object for them."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            file = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - for good
            setattr(sys, name, file)


if __name__ == "__main__":
    main()
