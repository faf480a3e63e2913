"""The keys of the two kinds of TOML file, from the comments and the models that explain them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from tools.man import roff

_SETTING = re.compile(r"(?P<unset># )?(?P<key>\w+) = (?P<value>.*)")
_TABLE = re.compile(r"\[(?P<name>\w+)\]")
_INDENT = 2
"""How far in a comment a list of values stands."""


def introduction(path: Path) -> str:
    """The comment at the head of a TOML file."""
    return _comment(path.read_text().partition("\n\n")[0].splitlines())


def settings(path: Path) -> Iterator[str]:
    """Each key of a TOML file with its default and the comment above it, table by table."""
    comment: list[str] = []
    for line in path.read_text().partition("\n\n")[2].splitlines():
        if table := _TABLE.fullmatch(line):
            yield roff.subheading(roff.plain(f"[{table['name']}]"))
        elif setting := _SETTING.fullmatch(line):
            key, value = setting["key"], setting["value"]
            default = f"{key} = {value}"
            long = len(default) > roff.COLUMNS
            if long:
                comment.append(f"Default: `{value}`")
            shown = key if long or setting["unset"] else default
            yield f".TP\n{roff.bold(shown)}\n" + _comment(comment).removeprefix(".PP\n")
            comment = []
        elif line:
            comment.append(line)


def keys(model: type[BaseModel]) -> Iterator[str]:
    """Each key of a table: what it takes, and what it is when left out."""
    for name, field in model.model_fields.items():
        yield roff.entry(roff.bold(name), roff.plain(f"{field.description}; {_default(field)}"))


def _default(field: FieldInfo) -> str:
    match field.default:
        case _ if field.is_required():
            return "required"
        case "" | []:
            return "may be left out"
        case str(value):
            return f'default "{value}"'
        case value:
            return f"default {str(value).lower()}"


def _comment(comment: list[str]) -> str:
    """The lines of a comment; what is indented in them is a list of values."""
    page, meaning = "", False
    text = [line.removeprefix("#").removeprefix(" ") for line in comment]
    for number, line in enumerate(text):
        indent = len(line) - len(line.lstrip())
        if not line:
            page += ".PP\n"
        elif indent == _INDENT:
            value, _, rest = line.strip().partition("  ")
            page += ("" if meaning else ".RS\n") + f".TP\n{roff.bold(value)}\n"
            page += roff.lines(roff.with_literals(rest.strip())) if rest else ""
            meaning = True
        else:
            if meaning and not indent:
                page += ".RE\n.IP\n" if number else ""
                meaning = False
            page += roff.lines(roff.with_literals(line.strip()))
    return ".PP\n" + page + (".RE\n" if meaning else "")
