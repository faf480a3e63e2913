"""The tables of a policy file: their keys, and in plain words what each expects."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ipsecfd.policy.grammar import ADDRESS_FORM, PORT_FORM, PROTOCOL_FORM
from ipsecfd.policy.mistakes import Mistake, known_names

# Names and the descriptions of filters stand in log lines: none may break or fake one.
_LINE: Final = r"[^\p{Cc}\p{Zl}\p{Zp}]*"
_Name: TypeAlias = Annotated[str, Field(pattern=rf"^{_LINE}[^\s\p{{Cc}}]{_LINE}$")]
_Line: TypeAlias = Annotated[str, Field(pattern=rf"^{_LINE}$")]
_TEXT: Final = "text in quotes"
_SWITCH: Final = "true or false"
_FILTERS: Final = "a list of filters in brackets"


class Table(BaseModel):
    """A table of the file: values are never converted, unknown keys are refused.

    The description of a key completes the sentence "expected ...".
    """

    model_config = ConfigDict(strict=True, extra="forbid")


class PolicyTable(Table):
    """The file itself."""

    name: _Name = Field(description="the policy's name in quotes, on one line")
    description: str = Field("", description=_TEXT)
    rule: list[Any] = Field([], description="[[rule]] in double brackets, once for each rule")
    filter_list: list[Any] = Field(
        [], description="[[filter_list]] in double brackets, once for each list"
    )
    filter_action: list[Any] = Field(
        [], description="[[filter_action]] in double brackets, once for each action"
    )


class RuleTable(Table):
    """`[[rule]]`: `filters` or `filter_list`, and an action."""

    name: _Name = Field("", description="the rule's name in quotes, on one line")
    action: str = Field(
        description='"permit", "block", "negotiate" or the name of a [[filter_action]]'
    )
    filters: list[Any] = Field([], description=_FILTERS)
    filter_list: str = Field("", description="the name of a [[filter_list]] in quotes")
    description: str = Field("", description=_TEXT)
    active: bool = Field(True, description=_SWITCH)
    connection: Literal["all", "lan", "dialup"] = Field(
        "all", description='"all", "lan" or "dialup"'
    )


class FilterListTable(Table):
    """`[[filter_list]]`: filters that rules refer to by name."""

    name: _Name = Field(description="the filter list's name in quotes, on one line")
    filters: list[Any] = Field(description=_FILTERS)
    description: str = Field("", description=_TEXT)


class FilterActionTable(Table):
    """`[[filter_action]]`: an action that rules refer to by name (spec 1.2)."""

    name: _Name = Field(description="the filter action's name in quotes, on one line")
    type: Literal["permit", "block", "negotiate"] = Field(
        description='"permit", "block" or "negotiate"'
    )
    inpass: bool = Field(False, description=_SWITCH)
    soft: bool = Field(False, description=_SWITCH)
    description: str = Field("", description=_TEXT)


class FilterTable(Table):
    """A filter written as a table."""

    source: str = Field(description=f"an address in quotes: {ADDRESS_FORM}")
    destination: str = Field(description=f"an address in quotes: {ADDRESS_FORM}")
    source_port: int = Field(0, ge=0, le=65535, description=PORT_FORM)
    destination_port: int = Field(0, ge=0, le=65535, description=PORT_FORM)
    protocol: Any = Field("any", description=f"a protocol: {PROTOCOL_FORM}")
    mirrored: bool = Field(True, description=_SWITCH)
    description: _Line = Field("", description=f"{_TEXT}, on one line")


TableT = TypeVar("TableT", bound=Table)


def read_table(
    shape: type[TableT], value: object, file: str, place: str
) -> tuple[TableT | None, list[Mistake]]:
    """The value as a table of this shape, or None and all that is wrong with its keys."""
    if not isinstance(value, dict):
        return None, [Mistake(file, place, "", f"expected a table, not {kind(value)}")]
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
        case int() | float():
            return "a number"
        case list():
            return "a list"
        case dict():
            return "a table"
        case datetime.datetime() | datetime.date() | datetime.time():
            return "a date or time"
        case _:
            return "something else"


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
        elif isinstance(value, int) and abs(value) < 1 << 64 and "_than_" in one["type"]:
            yield Mistake(file, where, str(value), expected)
        else:
            yield Mistake(file, where, "", f"{expected}, not {kind(value)}")
