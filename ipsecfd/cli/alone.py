"""The commands that systemd runs, loaded without all the others: meanwhile the host is closed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final

import typer

from ipsecfd.cli.ending import run_to_its_end
from ipsecfd.cli.group import HELP_OPTIONS, Group

_FUNCTIONS: Final = {"run": "run", "after-stop": "after_stop"}
"""Where each is: a module of this package, with a function of the same name."""


def program(words: Sequence[str]) -> Callable[[], None]:
    """What is to run for this command line, loaded."""
    function = _FUNCTIONS.get(words[0]) if words else None
    if function is None or "_IPSECFD_COMPLETE" in os.environ:
        from ipsecfd.cli.main import main

        return main
    return partial(run_to_its_end, _with_one(words[0], function))


def _with_one(name: str, function: str) -> typer.Typer:
    """The program as it would be with one command."""
    command: Callable[..., Any] = getattr(import_module(f"ipsecfd.cli.{function}"), function)
    app = typer.Typer(
        name="ipsecfd",
        cls=Group,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings=HELP_OPTIONS,
    )
    app.callback()(_group)
    app.command(name)(command)
    return app


def _group() -> None:
    """With it, typer asks for the command's name although there is no other."""
