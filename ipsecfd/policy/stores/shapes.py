"""The tables of a store's file: their keys, and in plain words what each expects.

Names are any text: what an import brought stays as it was.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import AwareDatetime, Field

from ipsecfd.policy.shapes import FilterTable
from ipsecfd.policy.stores.content import DEFAULT_MAIN_MODE_LIFETIME, DEFAULT_POLLING
from ipsecfd.policy.tables import Table

_TEXT = "text in quotes"
_SWITCH = "true or false"
_NUMBER = "a number from 0"
_METHODS = "security methods in quotes, as netsh writes them"
_WAYS = 'a list of tables as { kind = "kerberos" }'
_ADDRESSES = "the addresses of the DNS name, a list in brackets"


class StoreTable(Table):
    """The file itself."""

    version: int = Field(description="the version of the file's format")
    assigned: str | None = Field(None, description="the name of the assigned policy in quotes")
    policy: list[Any] = Field([], description="[[policy]] in double brackets, for each policy")
    filter_list: list[Any] = Field(
        [], description="[[filter_list]] in double brackets, for each list"
    )
    filter_action: list[Any] = Field(
        [], description="[[filter_action]] in double brackets, for each action"
    )


class ObjectTable(Table):
    """What every object has."""

    name: str = Field(description="the name in quotes")
    description: str = Field("", description=_TEXT)
    guid: str = Field("", description="the identity as {XXXXXXXX-XXXX-...} in quotes")
    modified: AwareDatetime | None = Field(
        None, description="a date and time with its zone, as 2005-11-23T10:00:00Z"
    )


class DefaultRuleTable(Table):
    """`[policy.default_rule]`: the default response rule."""

    active: bool = Field(True, description=_SWITCH)
    qmpfs: bool = Field(False, description=_SWITCH)
    qmsecmethods: str = Field("", description=_METHODS)
    authentication: list[Any] | None = Field(None, description=_WAYS)


class PolicyTable(ObjectTable):
    """`[[policy]]`."""

    polling: int = Field(DEFAULT_POLLING, ge=0, description=f"{_NUMBER}, seconds")
    mmpfs: bool = Field(False, description=_SWITCH)
    qmpermm: int = Field(0, ge=0, description=_NUMBER)
    mmlifetime: int = Field(DEFAULT_MAIN_MODE_LIFETIME, ge=0, description=f"{_NUMBER}, minutes")
    mmsecmethods: str = Field("", description=_METHODS)
    default_rule: dict[str, Any] = Field({}, description="[policy.default_rule] in brackets")
    rule: list[Any] = Field([], description="[[policy.rule]] in double brackets, for each rule")


class RuleTable(ObjectTable):
    """`[[policy.rule]]`."""

    filter_list: str = Field(description="the name of a [[filter_list]] in quotes")
    action: str = Field(description="the name of a [[filter_action]] in quotes")
    active: bool = Field(True, description=_SWITCH)
    connection: Literal["all", "lan", "dialup"] = Field(
        "all", description='"all", "lan" or "dialup"'
    )
    tunnel: str = Field("", description="the tunnel's end point in quotes")
    authentication: list[Any] | None = Field(None, description=_WAYS)


class AuthenticationTable(Table):
    """One of the ways of `authentication`."""

    kind: Literal["kerberos", "psk", "rootca"] = Field(description='"kerberos", "psk" or "rootca"')
    value: str = Field("", description=_TEXT)


class ListTable(ObjectTable):
    """`[[filter_list]]`."""

    filters: list[Any] = Field(description="a list of filters in brackets")


class ActionTable(ObjectTable):
    """`[[filter_action]]`."""

    type: Literal["permit", "block", "negotiate"] = Field(
        description='"permit", "block" or "negotiate"'
    )
    inpass: bool = Field(False, description=_SWITCH)
    soft: bool = Field(False, description=_SWITCH)
    qmpfs: bool = Field(False, description=_SWITCH)
    qmsecmethods: str = Field("", description=_METHODS)


class StoredFilterTable(FilterTable):
    """A filter written as a table; a DNS name comes with the addresses it had (spec 2.1)."""

    description: str = Field("", description=_TEXT)
    source_addresses: list[str] | None = Field(None, description=_ADDRESSES)
    destination_addresses: list[str] | None = Field(None, description=_ADDRESSES)
