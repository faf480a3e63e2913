"""A configuration in words: its values as the file spells them, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from pydantic import BaseModel, ValidationError

from ipsecfd.policy.mistakes import Mistake, known_names


def mistakes(shape: type[BaseModel], error: ValidationError, file: str) -> Iterator[Mistake]:
    """Pydantic's findings about a file of this shape, in an administrator's words.

    The description of a key completes the sentence "expected ...".
    """
    for one in error.errors(include_url=False):
        *section, key = one["loc"] or ("",)
        table = shape
        expected = ""
        for step in one["loc"]:
            if step not in table.model_fields:
                break
            field = table.model_fields[str(step)]
            expected = f"expected {field.description}"
            if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
                table = field.annotation
        if one["type"] == "extra_forbidden":
            hint = known_names(str(key), table.model_fields)
            yield Mistake(file, _place(section), str(key), f"unknown key; {hint}")
            continue
        why = str(one["ctx"]["error"]) if one["type"] == "value_error" else expected
        yield Mistake(file, _place(one["loc"]), toml_text(one["input"]), why)


def toml_text(value: object) -> str:
    """A value roughly as the file spells it, for messages."""
    match value:
        case None:
            return "unset"
        case bool():
            return str(value).lower()
        case list() | tuple():
            return "[" + ", ".join(toml_text(one) for one in value) + "]"
        case dict():
            return "{" + ", ".join(f"{key} = {toml_text(one)}" for key, one in value.items()) + "}"
    return str(value)


def flat(section: BaseModel, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """All keys with their values, by key path."""
    for key, value in section:
        if isinstance(value, BaseModel):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _place(location: Iterable[int | str]) -> str:
    """A key path that counts from 1."""
    place = ""
    for key in location:
        place += f"[{key + 1}]" if isinstance(key, int) else f".{key}" if place else key
    return place
