"""TOML as a person would lay it out: a header for each table, one filter a line.

Libraries choose between headers and inline tables by length, and lists of filters would look
different from file to file.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Mapping, Sequence
from typing import TypeAlias

Scalar: TypeAlias = str | bool | int | datetime.datetime
Value: TypeAlias = Scalar | Sequence["Value"] | Mapping[str, "Value"]


def keys(pairs: Mapping[str, Value]) -> str:
    """A line for each key, lists with a line for each item."""
    return "".join(f"{key} = {_value(value)}\n" for key, value in pairs.items())


def table(header: str, pairs: Mapping[str, Value]) -> str:
    """A table behind an empty line and its header, `[name]` or `[[name]]`."""
    return f"\n{header}\n{keys(pairs)}"


def inline(value: Value) -> str:
    """A value on one line."""
    match value:
        case bool():
            return "true" if value else "false"
        case int():
            return str(value)
        case str():
            # JSON's escapes are TOML's, but for the one character that JSON leaves alone.
            return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
        case datetime.datetime():
            return value.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        case Mapping():
            inner = ", ".join(f"{key} = {inline(one)}" for key, one in value.items())
            return f"{{ {inner} }}"
        case _:
            return f"[{', '.join(map(inline, value))}]"


def _value(value: Value) -> str:
    if isinstance(value, str) or not isinstance(value, Sequence) or not value:
        return inline(value)
    lines = "".join(f"  {inline(one)},\n" for one in value)
    return f"[\n{lines}]"
