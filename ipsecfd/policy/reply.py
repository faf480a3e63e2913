"""What an administration command answers."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one command; who ran it prints the text and chooses the exit status."""

    text: str
    """Lines to print, without a newline at the end; empty for nothing."""
    failed: bool
    done: bool = False
    """Whether the session that the command was typed into is over."""
    script: str = ""
    """A file whose lines are to be run next, by whoever can read it: `exec` of netsh."""
    note: str = ""
    """Of a command that was done, what is probably not meant; lines for standard error."""
    understood: bool = True
    """False when it was no command at all: unknown words or tags; Windows knows no such line."""
