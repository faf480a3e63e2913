"""What `?` and `help` print, made from the table of commands."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from typing import Final

from ipsecfd.policy.netsh.contexts import Context, Place
from ipsecfd.policy.netsh.syntax import Command, Tag

_WIDTH: Final = 79
_EVERYWHERE: Final = (
    ("..", "Goes up one context level"),
    ("?, help", "Lists commands"),
    ("bye, exit, quit", "Ends the session"),
    ("popd", "Goes back to the context that pushd kept"),
    ("pushd", "Keeps the context, and changes it to the one that follows"),
)


def text(place: Place) -> str:
    """Help for where words lead."""
    if place.command is not None:
        return _command(place.command)
    if place.verb:
        commands = place.context.verbs[place.verb].values()
        return _list("Commands:", ((one.name, one.about) for one in commands))
    return _context(place.context)


def _context(context: Context) -> str:
    names = [
        *((name, below.about) for name, below in context.contexts.items()),
        *((verb, _verb(list(objects.values()))) for verb, objects in context.verbs.items()),
    ]
    where = f"Commands in netsh {context.path}:" if context.path else "Commands in netsh:"
    return f"{_list(where, sorted(names))}\n\n{_list('Everywhere:', _EVERYWHERE)}"


def _verb(commands: list[Command]) -> str:
    if len(commands) == 1 and not commands[0].object:
        return commands[0].about
    return ", ".join(command.object for command in commands)


def _list(title: str, lines: Iterable[tuple[str, str]]) -> str:
    rows = list(lines)
    width = max(len(name) for name, _ in rows)
    return "\n".join((title, *(_row(name, about, width) for name, about in rows)))


def _row(name: str, about: str, width: int) -> str:
    indent = " " * (width + 5)
    return textwrap.fill(
        f"{name.ljust(width)} - {about}", _WIDTH, initial_indent="  ", subsequent_indent=indent
    )


def _command(command: Command) -> str:
    forms = " ".join(_form(tag) for tag in command.tags)
    usage = textwrap.fill(
        f"Usage: {command.name} {forms}",
        _WIDTH,
        subsequent_indent=" " * 7,
        break_on_hyphens=False,
        break_long_words=False,
    )
    parts = [usage, f"{command.about}."]
    if command.tags:
        parts.append(_list("Tags:", ((tag.name, _about(tag)) for tag in command.tags)))
    if command.example:
        parts.append(f"Example: {command.example}")
    return "\n\n".join(parts)


def _form(tag: Tag) -> str:
    form = tag.name if tag.bare else f"[{tag.name}=]{tag.kind.form}"
    return form if tag.required else f"[{form}]"


def _about(tag: Tag) -> str:
    if tag.default is not None:
        return f"{tag.about} (default {tag.default})"
    return f"{tag.about} (required)" if tag.required and not tag.one_of else tag.about
