"""The prompt of netsh: one line after another, with history and completion."""

from __future__ import annotations

import contextlib
import readline
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ipsecfd.cli.administration import Administration
from ipsecfd.cli.netsh_script import Scripts, interruptible, say
from ipsecfd.cli.policy_files import PolicyFiles
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.netsh.completion import complete
from ipsecfd.policy.netsh.errors import as_text
from ipsecfd.policy.netsh.session import Session


def prompt(host: Administration, context: str) -> bool:
    """Ask for lines until the session ends; whether any failed.

    Each line is kept before the next is asked for, but for those between `set batch mode=enable`
    and `disable`; meanwhile nobody else can change anything.
    """
    failed = False
    with host.workspace() as workspace:
        session = Session(workspace, PolicyFiles())
        session.begin(context)
    with _completion(session), contextlib.ExitStack() as batch:
        done = False
        while not done:
            line = _ask(session)
            try:
                if not session.batch:
                    batch.close()
                    session.state.workspace = batch.enter_context(host.workspace())
                reply = session.execute("exit" if line is None else line)
                with interruptible() as interrupted:
                    scripts = Scripts(interrupted)
                    scripts.follow(session, reply)
                if not session.batch or reply.done:
                    batch.close()
            except IpsecfdError as error:
                print(as_text(error))
                failed = True
            else:
                say(reply)
                failed |= scripts.failed
                done = reply.done
    return failed


def _ask(session: Session) -> str | None:
    """A line; None at the end of the input, nothing after Ctrl-C."""
    try:
        return input(session.prompt)
    except EOFError:
        print()
        return None
    except KeyboardInterrupt:
        print()
        return ""


@contextmanager
def _completion(session: Session) -> Iterator[None]:
    """Have readline offer what `complete` offers; the words of netsh end where it says."""
    offers: list[str] = []

    def offer(line: str, number: int) -> str | None:
        if number == 0:
            offers.clear()
            with contextlib.suppress(IpsecfdError):
                offers.extend(complete(session, line))
        if number >= len(offers):
            return None
        whole = len(offers) == 1 and not offers[0].endswith("=")
        return line[: last_word(line)] + offers[number] + " " * whole

    def show(_: str, __: object, ___: object) -> None:
        print(f"\n{'  '.join(offers)}\n{session.prompt}{readline.get_line_buffer()}", end="")
        sys.stdout.flush()

    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer_delims("")
    readline.set_completer(offer)
    readline.set_completion_display_matches_hook(show)
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
        readline.set_completion_display_matches_hook()


def last_word(line: str) -> int:
    """Where the last word of a line begins; blanks in quotes do not end a word."""
    begin, quoted = 0, False
    for position, letter in enumerate(line):
        if letter == '"':
            quoted = not quoted
        elif letter in " \t" and not quoted:
            begin = position + 1
    return begin
