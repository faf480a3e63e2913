"""Options and arguments that make no sense: one line on stderr, and exit status 2."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from ipsecfd.errors import IpsecfdError

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}
"""Typer's context settings of the whole program: every command inherits them."""


class UsageError(IpsecfdError):
    """An option or argument that says nothing sensible; exit status 2."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn a UsageError into one line on stderr and exit status 2."""
    try:
        yield
    except UsageError as error:
        print(f"ipsecfd: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
