"""The text of a store, read strictly: damage anywhere refuses it whole, with all that is wrong."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeVar

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import (
    PROTOCOL_FORM,
    GrammarError,
    check_filter,
    parse_address,
    parse_filter,
    parse_protocol,
)
from ipsecfd.policy.mistakes import Mistake, PolicyError, known_names
from ipsecfd.policy.model import Address, Connection, DnsName, Filter, IPAddress
from ipsecfd.policy.stores.content import (
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
    new_guid,
    rule_key,
)
from ipsecfd.policy.stores.shapes import (
    ActionTable,
    AuthenticationTable,
    DefaultRuleTable,
    ListTable,
    ObjectTable,
    PolicyTable,
    RuleTable,
    StoredFilterTable,
    StoreTable,
)
from ipsecfd.policy.stores.text import VERSION
from ipsecfd.policy.tables import TextReader, kind
from ipsecfd.policy.text import parse_toml

_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_SECOND: Final = datetime.timedelta(seconds=1)
_NEW_NAME: Final = "expected a name that is not taken yet"

Named = TypeVar("Named", StoredAction, StoredList, StoredPolicy)


class StoreFileError(IpsecfdError):
    """A store that cannot be read or kept; `mistakes` says why, a line each in the text."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


def parse(text: str, file: str) -> Content:
    """The store that `stores.text.render` wrote; `file` is what mistakes call it.

    Raises StoreFileError with every mistake.
    """
    try:
        data = parse_toml(text, file)
    except PolicyError as error:
        raise StoreFileError(error.mistakes) from error
    reader = _Reader(file)
    content = reader.content(data)
    if reader.mistakes or content is None:
        raise StoreFileError(reader.mistakes)
    return content


def is_store(text: str) -> bool:
    """Whether a TOML text is a store, not a policy file, whether or not it is in order."""
    try:
        data = parse_toml(text, "")
    except PolicyError:
        return False
    return "version" in data and "name" not in data


class _Reader(TextReader):
    """Reads one store."""

    def __init__(self, file: str) -> None:
        super().__init__(file)
        self._named: dict[str, dict[str, str]] = {}

    def content(self, data: dict[str, Any]) -> Content | None:
        """What the store holds; None or half of it when there are mistakes."""
        top = self._table(StoreTable, data, "")
        if top is None:
            return None
        if top.version != VERSION:
            wrong = f"expected {VERSION}; another version of ipsecfd wrote this"
            self._refuse("version", str(top.version), wrong)
            return None
        for key, items in (
            ("filter list", top.filter_list),
            ("filter action", top.filter_action),
            ("policy", top.policy),
        ):
            self._named[key] = dict(_names(items))
        assigned = None
        if top.assigned is not None:
            self._check_reference("assigned", "policy", top.assigned)
            assigned = name_key(top.assigned)
        return Content(
            self._objects("policy", top.policy, self._policy),
            self._objects("filter_list", top.filter_list, self._filter_list),
            self._objects("filter_action", top.filter_action, self._filter_action),
            assigned,
        )

    def _objects(
        self, key: str, items: list[Any], make: Callable[[object, str], Named | None]
    ) -> dict[str, Named]:
        """The objects of one kind by `name_key`, without those that are refused."""
        found: dict[str, Named] = {}
        for number, item in enumerate(items, 1):
            place = f"{key}[{number}]"
            one = make(item, place)
            if one is None:
                continue
            if name_key(one.name) in found:
                self._refuse(f"{place}.name", one.name, _NEW_NAME)
            found[name_key(one.name)] = one
        return found

    def _policy(self, item: object, place: str) -> StoredPolicy | None:
        table = self._table(PolicyTable, item, place)
        if table is None:
            return None
        default = self._default_rule(table.default_rule, f"{place}.default_rule")
        rules: dict[str, StoredRule] = {}
        for number, written in enumerate(table.rule, 1):
            where = f"{place}.rule[{number}]"
            rule = self._rule(written, where)
            if rule is None:
                continue
            if rule_key(rule) in rules:
                self._refuse(f"{where}.name", rule.name, _NEW_NAME)
            rules[rule_key(rule)] = rule
        return StoredPolicy(
            table.name,
            table.description,
            tuple(rules.values()),
            table.polling,
            table.mmpfs,
            table.qmpermm,
            table.mmlifetime,
            table.mmsecmethods,
            default,
            table.guid or new_guid(),
            _seconds(table),
        )

    def _default_rule(self, item: object, place: str) -> DefaultRule:
        table = self._table(DefaultRuleTable, item, place)
        if table is None:
            return DefaultRule()
        return DefaultRule(
            table.active,
            table.qmpfs,
            table.qmsecmethods,
            self._authentication(table.authentication, place),
        )

    def _rule(self, item: object, place: str) -> StoredRule | None:
        table = self._table(RuleTable, item, place)
        if table is None:
            return None
        self._check_reference(f"{place}.filter_list", "filter list", table.filter_list)
        self._check_reference(f"{place}.action", "filter action", table.action)
        return StoredRule(
            table.name,
            table.filter_list,
            table.action,
            table.description,
            table.active,
            Connection(table.connection),
            table.tunnel,
            self._authentication(table.authentication, place),
            table.guid or new_guid(),
            _seconds(table),
        )

    def _authentication(self, items: list[Any] | None, place: str) -> tuple[Authentication, ...]:
        if items is None:
            return KERBEROS
        tables = [
            self._table(AuthenticationTable, item, f"{place}.authentication[{number}]")
            for number, item in enumerate(items, 1)
        ]
        return tuple(Authentication(table.kind, table.value) for table in tables if table)

    def _filter_action(self, item: object, place: str) -> StoredAction | None:
        table = self._table(ActionTable, item, place)
        if table is None:
            return None
        return StoredAction(
            table.name,
            Behaviour(table.type),
            table.inpass,
            table.soft,
            table.qmpfs,
            table.qmsecmethods,
            table.description,
            table.guid or new_guid(),
            _seconds(table),
        )

    def _filter_list(self, item: object, place: str) -> StoredList | None:
        table = self._table(ListTable, item, place)
        if table is None:
            return None
        filters = [
            self._filter(written, f"{place}.filters[{number}]")
            for number, written in enumerate(table.filters, 1)
        ]
        return StoredList(
            table.name,
            tuple(one for one in filters if one),
            table.description,
            table.guid or new_guid(),
            _seconds(table),
        )

    def _filter(self, written: object, place: str) -> Filter | None:
        try:
            if isinstance(written, str):
                return parse_filter(written, _no_addresses)
            if isinstance(written, dict):
                return self._filter_table(written, place)
        except GrammarError as error:
            expected = error.expected if error.text == written else str(error)
            self._refuse(place, written if isinstance(written, str) else "", expected)
            return None
        self._refuse(place, "", f"expected a filter as text or table, not {kind(written)}")
        return None

    def _filter_table(self, written: dict[str, Any], place: str) -> Filter | None:
        table = self._table(StoredFilterTable, written, place)
        if table is None:
            return None
        one = Filter(
            _address(table.source, table.source_addresses),
            _address(table.destination, table.destination_addresses),
            table.source_port,
            table.destination_port,
            _protocol(table.protocol),
            table.mirrored,
            table.description,
        )
        check_filter(one)
        return one

    def _check_reference(self, place: str, what: str, name: str) -> None:
        known = self._named[what]
        if name_key(name) not in known:
            self._refuse(place, name, f"unknown {what}; {known_names(name, known.values())}")


def _names(items: list[Any]) -> Iterator[tuple[str, str]]:
    """The names of objects by `name_key`, of refused ones, too: what names them is right."""
    for item in items:
        name = item.get("name") if isinstance(item, dict) else None
        if isinstance(name, str):
            yield name_key(name), name


def _no_addresses(name: str) -> tuple[IPAddress, ...]:
    raise GrammarError(name, "expected its addresses, in a table with source_addresses")


def _address(text: str, addresses: list[str] | None) -> Address:
    """The address of one side; a DNS name has the addresses that stand beside it."""
    if addresses is None:
        return parse_address(text, _no_addresses)
    try:
        kept = tuple(ipaddress.ip_address(one) for one in addresses)
    except ValueError as error:
        raise GrammarError(text, f"expected its addresses: {error}") from error
    if not kept:
        raise GrammarError(text, "expected at least one address of this name")
    found = parse_address(text, lambda _: kept)
    if not isinstance(found, DnsName):
        raise GrammarError(text, "expected a DNS name, since addresses stand beside it")
    return DnsName(text, kept)


def _protocol(value: object) -> int:
    if isinstance(value, str) or (type(value) is int and 0 <= value <= 255):
        return parse_protocol(str(value))
    raise GrammarError(kind(value), f"expected a protocol: {PROTOCOL_FORM}")


def _seconds(table: ObjectTable) -> int:
    """When the object was changed, in seconds since 1970; 0 when nobody knows."""
    return 0 if table.modified is None else (table.modified - _EPOCH) // _SECOND
