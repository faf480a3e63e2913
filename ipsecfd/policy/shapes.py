"""The tables of a policy file: their keys, and in plain words what each expects."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import Field

from ipsecfd.policy.grammar import ADDRESS_FORM, PORT_FORM, PROTOCOL_FORM
from ipsecfd.policy.tables import Table

# Names and the descriptions of filters stand in log lines: none may break or fake one.
_LINE: Final = r"[^\p{Cc}\p{Zl}\p{Zp}]*"
_Name: TypeAlias = Annotated[str, Field(pattern=rf"^{_LINE}[^\s\p{{Cc}}]{_LINE}$")]
_Line: TypeAlias = Annotated[str, Field(pattern=rf"^{_LINE}$")]
_TEXT: Final = "text in quotes"
_SWITCH: Final = "true or false"
_FILTERS: Final = "a list of filters in brackets"


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
