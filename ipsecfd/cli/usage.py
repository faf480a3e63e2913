"""Options and arguments that make no sense: one line on stderr, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import printable


class UsageError(IpsecfdError):
    """An option or argument that says nothing sensible; exit status 2."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a UsageError into one line on stderr and exit status 2."""
    try:
        yield
    except UsageError as error:
        print(f"ipsecfd: {printable(str(error))}", file=sys.stderr)
        raise typer.Exit(2) from None
