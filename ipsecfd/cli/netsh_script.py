"""Scripts for netsh: line after line, with those of scripts that `exec` names."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ipsecfd.cli.script_file import script_text
from ipsecfd.errors import IpsecfdError

if TYPE_CHECKING:
    from ipsecfd.policy.netsh.session import Session
    from ipsecfd.policy.reply import Reply

DEEPEST: Final = 8
"""Scripts that name one another; a script that names itself must come to an end."""


class Scripts:
    """Runs scripts and prints what their commands answer, until `interrupted` is not empty."""

    def __init__(self, interrupted: Sequence[int]) -> None:
        self.failed = False
        """Whether any command did."""
        self._interrupted = interrupted
        self._stopped = False
        self._depth = 0

    def run(self, session: Session, text: str, name: str = "") -> None:
        """Run the lines of a script; those that fail are named on standard error by `name`."""
        for number, line in enumerate(text.split("\n"), 1):
            reply = session.execute(line)
            say(reply)
            if self.follow(session, reply) and name:
                print(f"{name}:{number}: {line.strip()}", file=sys.stderr)
            if reply.done or self._stopped:
                return
            if self._interrupted:
                self._stopped = True
                print(f"ipsecfd: interrupted after line {number}", file=sys.stderr)
                return

    def follow(self, session: Session, reply: Reply) -> bool:
        """Run the script that an answer names, if it does; whether the command itself failed."""
        failed = reply.failed
        if reply.script:
            failed = not self._run_named(session, reply.script)
        self.failed |= failed
        return failed

    def _run_named(self, session: Session, path: str) -> bool:
        from ipsecfd.policy.netsh.errors import as_text

        try:
            if self._depth == DEEPEST:
                raise IpsecfdError(f"more than {DEEPEST} scripts that name one another")
            text = script_text(Path(path))
        except IpsecfdError as error:
            print(as_text(error))
            return False
        self._depth += 1
        self.run(session.of_script(), text, path)
        self._depth -= 1
        return True


def say(reply: Reply) -> None:
    """Print an answer, if there is one, and on standard error what is to be noted."""
    if reply.text:
        print(reply.text)
    for note in reply.note.splitlines():
        print(f"note: {note}", file=sys.stderr)


@contextmanager
def interruptible() -> Iterator[list[int]]:
    """Note SIGINT and SIGTERM instead of ending in the middle of a command."""
    seen: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: seen.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
