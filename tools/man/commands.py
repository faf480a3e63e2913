"""The commands as a page lists them: what `--help` says of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import typer

from ipsecfd.cli.main import app
from tools.man import roff

_ALIGNED = re.compile(r"(\S+) {2,}(.+)")
_TYPE = re.compile(r" <.*>$")


def commands() -> Iterator[str]:
    """Every command that `--help` shows, with its arguments and options."""
    root: Any = typer.main.get_command(app)
    yield from _commands(root, typer.Context(root, info_name="ipsecfd"))


def _commands(group: Any, context: Any) -> Iterator[str]:
    for command in group.commands.values():
        if command.hidden:
            continue
        inner = typer.Context(command, parent=context, info_name=command.name)
        if hasattr(command, "commands"):
            yield from _commands(command, inner)
        else:
            yield _command(command, inner)


def _command(command: Any, context: Any) -> str:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    usage = " ".join([roff.bold(context.command_path), *map(_usage, arguments)])
    if len(arguments) < len(command.params):
        usage += " [" + roff.italic("options") + "]"
    page = roff.subheading(usage)
    for text in re.split(r"\n\s*\n", command.help):
        aligned = _ALIGNED.fullmatch(text)
        if aligned:
            page += roff.entry(roff.bold(aligned[1]), roff.with_literals(aligned[2]))
        else:
            page += roff.paragraph(roff.with_literals(text))
    for parameter in sorted(command.params, key=lambda one: one not in arguments):
        names, meaning = parameter.get_help_record(context)
        page += roff.entry(_names(names), _meaning(meaning))
    return page


def _meaning(text: str) -> str:
    """The help of an option, without what the usage shows already."""
    return roff.with_literals(text.replace("  [required]", "").replace("  [", " ["))


def _usage(argument: Any) -> str:
    text = roff.italic(_metavar(argument))
    if argument.nargs != 1 and not text.endswith(r"...\fR"):
        text += "..."
    return text if argument.required else f"[{text}]"


def _metavar(argument: Any) -> str:
    return str(argument.metavar or argument.name.upper())


def _names(names: str) -> str:
    """`-n, --lines N` in the fonts of a page."""
    shown = []
    for name in _TYPE.sub("", names).split(", "):
        option, _, value = name.partition(" ")
        shown.append(roff.bold(option) if option.startswith("-") else roff.italic(option))
        if value:
            shown[-1] += f" {roff.italic(value)}"
    return ", ".join(shown)
