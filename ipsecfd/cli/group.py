"""Groups of commands: their help without noise, and wrong usage told in one line."""

from __future__ import annotations

import re
import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from ipsecfd.cli.terminal import forget_odd_sizes
from ipsecfd.policy.mistakes import printable

HELP_OPTIONS: Final = {"help_option_names": ["-h", "--help"]}
"""Context settings of the program: every command in it inherits them."""

# typer has its own copy of click or uses that of the system, by its version; only this class has a
# public name in both.
_WrongUsage: Final[type[Exception]] = typer.BadParameter.__mro__[2]

_TOO_MUCH: Final = re.compile(r"got unexpected extra argument.*? \((.*)\)")


class Group(TyperGroup):
    """A group of commands, or the program."""

    def get_params(self, ctx: Any) -> list[Any]:
        """The options of the group itself."""
        return _without_types(super().get_params(ctx))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command of the group, or None."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            _without_types(command.get_params(ctx))
        return command

    def main(self, *args: Any, standalone_mode: bool = True, **settings: Any) -> Any:
        """Run a command and exit."""
        forget_odd_sizes()
        settings["standalone_mode"] = False
        if not standalone_mode:
            return super().main(*args, **settings)
        try:
            status = super().main(*args, **settings)
        except _WrongUsage as error:
            _tell(error)
            sys.exit(2)
        except typer.Abort:
            sys.exit(1)
        except SystemExit as end:  # nobody reads what was printed, which the library ends with 1
            if isinstance(end.__context__, BrokenPipeError):
                raise end.__context__ from None
            raise
        sys.exit(status)


def _without_types(parameters: list[Any]) -> list[Any]:
    """Parameters whose help does not say that a switch is a bool and a word a str."""
    for one in parameters:
        if one.param_type_name == "argument":
            one.display_type_rich = lambda **_: None
        elif one.is_flag:
            one.metavar = ""
    return parameters


def _tell(error: Any) -> None:
    """Say what was wrong, in the words of our own errors."""
    if type(error).__name__ == "NoArgsIsHelpError":  # the help has been shown
        return
    if type(error) is typer.BadParameter and error.param is not None:
        message = f"{_name(error.param)} {error.message}"
    else:
        message = error.format_message().removesuffix(".")
        message = _TOO_MUCH.sub(r"\1: expected nothing more", message[:1].lower() + message[1:])
        if error.ctx is not None:
            takes = any(one.param_type_name == "argument" for one in error.ctx.command.params)
            if takes and message.endswith("expected nothing more"):
                message += "; what has blanks needs quotes"
            message += f" (see `{error.ctx.command_path} --help`)"
    print(f"ipsecfd: {printable(message)}", file=sys.stderr)


def _name(parameter: Any) -> str:
    if parameter.param_type_name == "argument":
        return str(parameter.metavar)
    return str(max(parameter.opts, key=len))
