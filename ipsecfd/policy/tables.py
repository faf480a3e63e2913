"""Tables of a TOML text read strictly: every key is checked, every mistake told in plain words."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from ipsecfd.policy.mistakes import Mistake, known_names


class Table(BaseModel):
    """A table of the file: values are never converted, unknown keys are refused.

    The description of a key completes the sentence "expected ...".
    """

    model_config = ConfigDict(strict=True, extra="forbid")


TableT = TypeVar("TableT", bound=Table)


def read_table(
    shape: type[TableT], value: object, file: str, place: str
) -> tuple[TableT | None, list[Mistake]]:
    """The value as a table of this shape, or None and all that is wrong with its keys."""
    if not isinstance(value, dict):
        return None, [Mistake(file, place, text_of(value), f"expected a table, not {kind(value)}")]
    try:
        return shape.model_validate(value), []
    except ValidationError as error:
        return None, list(_mistakes(shape, error, file, place))


def kind(value: object) -> str:
    """What a TOML value is, in words."""
    match value:
        case bool():
            return "true or false"
        case str():
            return "text"
        case int():
            return "a number"
        case float():
            return "a number with a point"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime.datetime() | datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return "something else"


def text_of(value: object) -> str:
    """A TOML value as its author wrote it; empty where that is long: lists, tables, many digits."""
    match value:
        case bool():
            return str(value).lower()
        case int() if value.bit_length() > _BITS:
            return ""
        case str() | int() | float() | datetime.datetime() | datetime.date() | datetime.time():
            return str(value)
    return ""


_BITS: Final = 64  # of the numbers that TOML promises to keep


def _mistakes(
    shape: type[Table], error: ValidationError, file: str, place: str
) -> Iterator[Mistake]:
    for one in error.errors(include_url=False, include_context=False):
        key = str(one["loc"][0])
        if one["type"] == "extra_forbidden":
            hint = known_names(key, shape.model_fields)
            yield Mistake(file, place, key, f"unknown key; {hint}")
            continue
        where = f"{place}.{key}" if place else key
        expected = f"expected {shape.model_fields[key].description}"
        value = one["input"]
        if one["type"] == "missing":
            yield Mistake(file, where, "", f"missing; {expected}")
        elif isinstance(value, str) and not value.strip():
            yield Mistake(file, where, "", f"{expected}, not empty text")
        elif isinstance(value, str) and not one["type"].endswith("_type"):
            yield Mistake(file, where, value, expected)
        elif isinstance(value, int) and "_than_" in one["type"]:
            yield Mistake(file, where, text_of(value), expected)
        else:
            yield Mistake(file, where, text_of(value), f"{expected}, not {kind(value)}")


class TextReader:
    """Reads one text to its end, whatever is wrong in it, and collects all that is."""

    def __init__(self, file: str) -> None:
        self.mistakes: list[Mistake] = []
        self._file = file

    def _table(self, shape: type[TableT], value: object, place: str) -> TableT | None:
        """The value as a table of this shape; None when it is not."""
        table, mistakes = read_table(shape, value, self._file, place)
        self.mistakes += mistakes
        return table

    def _refuse(self, place: str, text: str, expected: str) -> None:
        self.mistakes.append(Mistake(self._file, place, text, expected))
