"""Policy files in TOML: strict, and with every mistake reported at once (design, policy file)."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from ipsecfd.policy.grammar import (
    PROTOCOL_FORM,
    GrammarError,
    check_filter,
    filter_of,
    has_host_bits,
    parse_address,
    parse_protocol,
    split_filter,
)
from ipsecfd.policy.mistakes import Mistake, PolicyError, known_names
from ipsecfd.policy.model import (
    Action,
    Address,
    Connection,
    Filter,
    FilterAction,
    FilterList,
    Policy,
    Rule,
)
from ipsecfd.policy.names import Names, NamesError
from ipsecfd.policy.review import WrittenList, review
from ipsecfd.policy.shapes import (
    FilterActionTable,
    FilterListTable,
    FilterTable,
    PolicyTable,
    RuleTable,
)
from ipsecfd.policy.tables import TextReader, kind, text_of
from ipsecfd.policy.text import parse_toml

_ACTION_OF_TYPE: Final = {
    "permit": Action.PERMIT,
    "block": Action.BLOCK,
    "negotiate": Action.NEGOTIATE,
}
BUILT_IN_ACTIONS: Final = {
    name: FilterAction.both(name, action) for name, action in _ACTION_OF_TYPE.items()
}
"""What a rule's `action` can always name; no `[[filter_action]]` may take such a name, so that
`action = "block"` never means anything else."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A valid policy, and what is probably not meant in it."""

    policy: Policy
    warnings: tuple[Mistake, ...] = ()


def parse_policy(text: str, file: str, names: Names) -> Loaded:
    """The policy that a TOML text means; `file` is what mistakes call it.

    Answers for DNS names not seen before are kept if the policy is valid. Raises PolicyError.
    """
    reader = _Reader(file, names)
    policy = reader.policy(parse_toml(text, file))
    if policy is None:
        raise PolicyError(reader.mistakes)
    try:
        names.save()
    except NamesError as error:
        reader.warnings.append(Mistake(file, "", "", str(error)))
    return Loaded(policy, tuple(reader.warnings))


class _Reader(TextReader):
    """Reads one policy file."""

    def __init__(self, file: str, names: Names) -> None:
        super().__init__(file)
        self.warnings: list[Mistake] = []
        self._resolve = names.resolve

    def policy(self, data: dict[str, Any]) -> Policy | None:
        """The policy, or None if there is any mistake."""
        head = self._table(PolicyTable, data, "")
        actions = self._filter_actions(_items(data, "filter_action"))
        lists = self._filter_lists(_items(data, "filter_list"))
        rules = [
            self._rule(item, f"rule[{number}]", f"rule {number}", actions, lists)
            for number, item in enumerate(_items(data, "rule"), 1)
        ]
        if head is None or self.mistakes:
            return None
        policy = Policy(head.name, tuple(rule for rule in rules if rule), head.description)
        for place, text, why in review(policy, _written_lists(policy, lists)):
            self._doubt(place, text, why)
        self._doubt_unused("filter_action", list(actions)[len(BUILT_IN_ACTIONS) :], data)
        self._doubt_unused("filter_list", list(lists), data)
        return policy

    def _filter_actions(self, items: list[Any]) -> dict[str, FilterAction]:
        actions: dict[str, FilterAction] = dict(BUILT_IN_ACTIONS)
        for number, item in enumerate(items, 1):
            place = f"filter_action[{number}]"
            table = self._table(FilterActionTable, item, place)
            name = self._new_name(item, place, actions)
            # A refused action still has its name, or every rule that uses it would be refused too.
            action = Action.BLOCK if table is None else self._action(table, place)
            actions.setdefault(name, FilterAction.both(name, action))
        return actions

    def _action(self, table: FilterActionTable, place: str) -> Action:
        for key, wanted in (("inpass", table.inpass), ("soft", table.soft)):
            if wanted and table.type != "negotiate":
                wrong = 'expected false, since type is not "negotiate"'
                self._refuse(f"{place}.{key}", "true", wrong)
        if table.soft:
            return Action.SOFT  # accepts everything that inpass accepts
        return Action.INPASS if table.inpass else _ACTION_OF_TYPE[table.type]

    def _filter_lists(self, items: list[Any]) -> dict[str, FilterList]:
        lists: dict[str, FilterList] = {}
        for number, item in enumerate(items, 1):
            place = f"filter_list[{number}]"
            self._table(FilterListTable, item, place)
            name = self._new_name(item, place, lists)
            lists.setdefault(name, FilterList(name, self._filters(item, place)))
        return lists

    def _new_name(self, item: object, place: str, taken: Container[str]) -> str:
        """The name of a shared object, which must be new; empty if it has none."""
        name = item.get("name") if isinstance(item, dict) else None
        if not isinstance(name, str):
            return ""
        if name in taken:
            self._refuse(f"{place}.name", name, "expected a name that is not taken yet")
        return name

    def _rule(
        self,
        item: object,
        place: str,
        default_name: str,
        actions: Mapping[str, FilterAction],
        lists: Mapping[str, FilterList],
    ) -> Rule | None:
        table = self._table(RuleTable, item, place)
        if not isinstance(item, dict):
            return None
        filters = self._filters(item, place)
        if "filters" in item and "filter_list" in item:
            self._refuse(place, "", "expected filters or filter_list, not both")
        elif "filters" not in item and "filter_list" not in item:
            self._refuse(place, "", "expected filters or filter_list")
        self._check_reference(item, "action", place, actions)
        self._check_reference(item, "filter_list", place, lists)
        if table is None or self.mistakes:
            return None
        name = table.name or default_name
        shared = "filter_list" in item
        return Rule(
            name,
            lists[table.filter_list] if shared else FilterList(name, filters),
            actions[table.action],
            table.description,
            table.active,
            Connection(table.connection),
        )

    def _check_reference(
        self, item: dict[str, Any], key: str, place: str, known: Mapping[str, object]
    ) -> None:
        name = item.get(key)
        if isinstance(name, str) and name not in known:
            what = key.replace("_", " ")
            self._refuse(f"{place}.{key}", name, f"unknown {what}; {known_names(name, known)}")

    def _filters(self, item: object, place: str) -> tuple[Filter, ...]:
        """The filters under the key `filters`, without those that are refused."""
        found = _items(item, "filters") if isinstance(item, dict) else []
        made = []
        for number, written in enumerate(found, 1):
            where = f"{place}.filters[{number}]"
            if isinstance(written, str):
                one = self._filter_line(written, where)
            elif isinstance(written, dict):
                one = self._filter_table(written, where)
            else:
                wrong = f"expected a filter as text or table, not {kind(written)}"
                self._refuse(where, text_of(written), wrong)
                continue
            if one is not None:
                made.append(one)
        return tuple(made)

    def _filter_line(self, text: str, place: str) -> Filter | None:
        try:
            words = split_filter(text)
            made = filter_of(words, text, self._resolve)
        except GrammarError as error:
            self._refuse(place, text, error.expected if error.text == text else str(error))
            return None
        if "/" in text:
            source, _, destination, _ = words
            self._doubt_host_bits(place, source, made.source)
            self._doubt_host_bits(place, destination, made.destination)
        return made

    def _filter_table(self, written: dict[str, Any], place: str) -> Filter | None:
        table = self._table(FilterTable, written, place)
        source = self._address(written, "source", place)
        destination = self._address(written, "destination", place)
        protocol = self._protocol(written, place)
        if table is None or source is None or destination is None or protocol is None:
            return None
        made = Filter(
            source,
            destination,
            table.source_port,
            table.destination_port,
            protocol,
            table.mirrored,
            table.description,
        )
        try:
            check_filter(made)
        except GrammarError as error:
            self._refuse(place, error.text, error.expected)
            return None
        return made

    def _address(self, written: dict[str, Any], key: str, place: str) -> Address | None:
        text = written.get(key)
        if not isinstance(text, str):
            return None  # noted with the table's keys
        try:
            address = parse_address(text, self._resolve)
        except GrammarError as error:
            self._refuse(
                f"{place}.{key}", text, error.expected if error.text == text else str(error)
            )
            return None
        self._doubt_host_bits(f"{place}.{key}", text, address)
        return address

    def _protocol(self, written: dict[str, Any], place: str) -> int | None:
        value = written.get("protocol", "any")
        where = f"{place}.protocol"
        if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() <= 64:
            value = str(value)
        if not isinstance(value, str):
            expected = f"expected a protocol: {PROTOCOL_FORM}, not {kind(value)}"
            self._refuse(where, text_of(value), expected)
            return None
        try:
            return parse_protocol(value)
        except GrammarError as error:
            self._refuse(where, value, error.expected)
            return None

    def _doubt(self, place: str, text: str, why: str) -> None:
        self.warnings.append(Mistake(self._file, place, text, why))

    def _doubt_host_bits(self, place: str, text: str, address: Address) -> None:
        if has_host_bits(text, address):
            self._doubt(place, text, f"host bits are set; it means {address}")

    def _doubt_unused(self, key: str, names: list[str], data: dict[str, Any]) -> None:
        rule_key = "action" if key == "filter_action" else key
        used = {rule.get(rule_key) for rule in _items(data, "rule")}
        for number, name in enumerate(names, 1):
            if name not in used:
                self._doubt(f"{key}[{number}]", name, "no rule uses it")


def _items(table: dict[str, Any], key: str) -> list[Any]:
    """The list under a key; empty if there is none, or something else (noted elsewhere)."""
    found = table.get(key)
    return found if isinstance(found, list) else []


def _written_lists(policy: Policy, lists: Mapping[str, FilterList]) -> Iterator[WrittenList]:
    for number, one in enumerate(lists.values(), 1):
        using = [rule for rule in policy.rules if rule.filter_list is one]
        connections = frozenset(rule.connection for rule in using if rule.active)
        yield WrittenList(f"filter_list[{number}].filters", one.filters, connections)
    shared = {id(one) for one in lists.values()}
    for number, rule in enumerate(policy.rules, 1):
        if id(rule.filter_list) not in shared:
            connections = frozenset({rule.connection} if rule.active else ())
            yield WrittenList(f"rule[{number}].filters", rule.filter_list.filters, connections)
