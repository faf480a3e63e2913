"""The program: `ipsecfd`, or `python -m ipsecfd`."""

import signal


def main() -> None:
    """Run a command. A Ctrl-C while it is being loaded ends it without a word."""
    interrupted = signal.getsignal(signal.SIGINT)
    if interrupted is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from ipsecfd.cli.main import main as run

    signal.signal(signal.SIGINT, interrupted)
    run()


if __name__ == "__main__":
    main()
