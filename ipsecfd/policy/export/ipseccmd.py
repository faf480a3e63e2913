"""A store as commands for `ipseccmd -file` (spec 8.4).

This tool makes a rule together with a list and an action of its own and has no descriptions, so
every command is tried on an empty store as it is written, and what comes out different is noted.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from ipsecfd.policy.export.exported import Exported
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.ipseccmd.commands import run
from ipsecfd.policy.ipseccmd.filters import format_filter
from ipsecfd.policy.ipseccmd.lines import join_line
from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.model import Action, Connection, DnsName, Filter, IPAddress, Store
from ipsecfd.policy.stores.content import (
    DEFAULT_MAIN_MODE_LIFETIME,
    DEFAULT_POLLING,
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
    rule_key,
)
from ipsecfd.policy.stores.distinct import DistinctNames
from ipsecfd.policy.stores.dynamic import DynamicContent, DynamicDraft, DynamicRule
from ipsecfd.policy.workspace import Workspace

_WORDS: Final = {
    "polling": "polling interval",
    "mmpfs": "master key PFS",
    "qmpermm": "limit of quick modes",
    "mmlifetime": "main mode lifetime",
    "mmsecmethods": "main mode methods",
    "default_rule": "default response rule",
    "filter_list": "filter list's name",
    "filter_action": "filter action's name",
}
"""Fields as notes call them, where their own names would not do."""
_ACTIONS: Final = {
    Action.PERMIT: ("-n", "PASS"),
    Action.BLOCK: ("-n", "BLOCK"),
    Action.NEGOTIATE: (),
    Action.INPASS: ("-n", "INPASS"),
    Action.SOFT: ("-soft",),
}
_LIFETIME: Final = re.compile(r":(\d+)k/(\d+)s", re.IGNORECASE)
_LIKE_POLLING: Final = re.compile(r".+:[0-9]{1,8}", re.DOTALL)
"""A policy's name that needs its polling interval behind it to be told from it."""

_NO_MIRRORS: Final = "mirrors do not count in a tunnel rule; not written"

_Command: TypeAlias = tuple[str, Sequence[str], Sequence[str]]
"""What a command makes, its switches, and those of them that matter to packets here."""
Stored = TypeVar("Stored", StoredPolicy, StoredRule, StoredList, StoredAction)


def write(content: Content, dynamic: DynamicContent | None = None) -> Exported:
    """The commands that make this store, and these dynamic rules, and what they do not say."""
    script = _Script(content)
    script.store(content)
    if dynamic is not None:
        script.dynamic(dynamic)
    return script.exported()


class _Script:
    """Collects commands that work, and what they do not say."""

    def __init__(self, content: Content) -> None:
        self._lines = ["REM Policies of ipsecfd. Read them back with: ipseccmd -file FILE"]
        self._notes: list[str] = []
        self._kept = _kept_addresses(content)
        self._made = Workspace(self._resolve, dynamic=DynamicDraft())

    def exported(self) -> Exported:
        """The script as it is now."""
        if self._kept:
            self._notes.append("DNS names are resolved anew by who reads this")
        if any("%" in line for line in self._lines):
            self._notes.append("a % has to be doubled where the commands go to a batch file")
        return Exported("\n".join((*self._lines, "")), tuple(dict.fromkeys(self._notes)))

    def store(self, content: Content) -> None:
        """The commands for a whole store."""
        for policy in content.policies.values():
            self._policy(content, policy)
        if content.assigned is not None:
            policy = content.policies[content.assigned]
            words = ["-w", "REG", "-p", _policy_name(policy), "-x"]
            self._run(f"policy '{policy.name}', assigned", words)
        self._compare(content, self._made.stores[Store.LOCAL].content())

    def dynamic(self, content: DynamicContent) -> None:
        """The commands for dynamic rules."""
        if any(content.mmpolicies) or any(one.qmsecmethods for one in content.qmpolicies.values()):
            self._notes.append("main mode and quick mode policies of dynamic rules: not written")
        for rule in content.rules.values():
            self._dynamic_rule(rule)

    def _policy(self, content: Content, policy: StoredPolicy) -> None:
        what = f"policy '{policy.name}'"
        start = ["-w", "REG", "-p", _policy_name(policy)]
        settings, written = _settings(policy), False
        for place, full, plain in (
            *_default_rule(what, policy),
            *self._rules(content, what, policy),
        ):
            if self._run(place, [*start, *full, *settings], [*start, *full], [*start, *plain]):
                settings, written = [], True
        if not written:
            self._run(what, [*start, *settings, "-x"], [*start, "-x"])
            self._run(what, [*start, "-y"])

    def _rules(self, content: Content, what: str, policy: StoredPolicy) -> Iterator[_Command]:
        names, taken = DistinctNames(), {name_key(one.name) for one in policy.rules}
        for rule in policy.rules:
            name = rule.name or names.of(rule.filter_list, taken)
            taken.add(name_key(name))
            place = f"rule '{name}' of {what}"
            if not rule.active:
                self._note(place, "it is inactive, for which there is no switch; not written")
            elif specs := self._specs(place, content, rule):
                if not rule.name:
                    self._note(place, "it has no name, and that of its filter list here")
                action = content.filter_actions[name_key(rule.filter_action)]
                plain = ["-r", name, "-f", *specs, *_connection(rule.connection)]
                yield (
                    place,
                    [*plain, *_action(action), *_rest(rule)],
                    [*plain, *_ACTIONS[action.action]],
                )
            else:
                self._note(place, "it has no filter to write; not written")

    def _specs(self, place: str, content: Content, rule: StoredRule) -> list[str]:
        """The filters of a rule that have a form here."""
        specs = []
        for one in content.filter_lists[name_key(rule.filter_list)].filters:
            spec = _spec(one, rule)
            if spec is None:
                self._note(place, f"the filter {one} has no form here; not written")
            else:
                specs.append(spec)
            if one.description:
                self._note(place, "descriptions of filters are not written")
            if one.mirrored and rule.tunnel:
                self._note(place, _NO_MIRRORS)
        return list(dict.fromkeys(specs))  # without mirrors two may be the same

    def _dynamic_rule(self, rule: DynamicRule) -> None:
        what = f"dynamic rule {rule.filter}"
        spec = _spec(rule.filter, rule)
        if spec is None or rule.inbound is not rule.outbound:
            self._note(what, "it has no form here; not written")
        else:
            plain = ["-f", spec, *_connection(rule.connection), *_ACTIONS[rule.inbound]]
            self._run(what, [*plain, *_rest(rule)])
            if rule.filter.mirrored and rule.tunnel:
                self._note(what, _NO_MIRRORS)

    def _run(self, what: str, *variants: Sequence[str]) -> bool:
        """Write the first variant of a command that works; whether one did."""
        for words in variants:
            reply = run(words, self._made)
            if not reply.failed:
                self._lines.append(f"ipseccmd {join_line(words)}")
                return True
        self._note(what, f"not written: {reply.text}")
        return False

    def _resolve(self, name: str) -> tuple[IPAddress, ...]:
        """The addresses that the store has for a name."""
        if name not in self._kept:
            raise GrammarError(name, "expected a name of the store")
        return self._kept[name]

    def _note(self, what: str, lost: str) -> None:
        self._notes.append(printable(f"{what}: {lost}"))

    def _compare(self, wanted: Content, made: Content) -> None:
        """Note what became different."""
        for key, policy in wanted.policies.items():
            what = f"policy '{policy.name}'"
            found = made.policies.get(key)
            if found is None:
                self._note(what, "not written")
                continue
            self._differences(what, policy, found, "rules")
            rules = {rule_key(rule): rule for rule in found.rules}
            for rule in policy.rules:
                if rule_key(rule) in rules:
                    self._compare_rules(wanted, made, policy, rule, rules[rule_key(rule)])
        used_lists = {name_key(one.filter_list) for one in _rules(wanted)}
        used_actions = {name_key(one.filter_action) for one in _rules(wanted)}
        for kind, objects, used in (
            ("filter list", wanted.filter_lists, used_lists),
            ("filter action", wanted.filter_actions, used_actions),
        ):
            for key, one in objects.items():
                if key not in used:
                    self._note(f"{kind} '{one.name}'", "no rule uses it; not written")
                elif one.description:
                    self._note(f"{kind} '{one.name}'", "its description is not written")

    def _compare_rules(
        self,
        wanted: Content,
        made: Content,
        policy: StoredPolicy,
        rule: StoredRule,
        found: StoredRule,
    ) -> None:
        what = f"rule '{rule.name}' of policy '{policy.name}'"
        self._differences(what, rule, found)
        wanted_list = wanted.filter_lists[name_key(rule.filter_list)]
        made_list = made.filter_lists[name_key(found.filter_list)]
        specs = {_spec(one, rule) for one in wanted_list.filters} - {None}
        if specs != {_spec(one, found) for one in made_list.filters}:
            self._note(what, "filters not kept")
        actions = [
            content.filter_actions[name_key(one.filter_action)]
            for content, one in ((wanted, rule), (made, found))
        ]
        self._differences(what, actions[0], actions[1], "name", "description")

    def _differences(self, what: str, wanted: Stored, found: Stored, *without: str) -> None:
        """Note the fields of an object that became different."""
        for field in dataclasses.fields(wanted):
            compared = field.compare and field.name not in without
            if compared and getattr(wanted, field.name) != getattr(found, field.name):
                self._note(what, f"{_WORDS.get(field.name, field.name)} not kept")


def _kept_addresses(content: Content) -> Mapping[str, tuple[IPAddress, ...]]:
    """The addresses of all DNS names of a store."""
    filters = itertools.chain.from_iterable(one.filters for one in content.filter_lists.values())
    sides = itertools.chain.from_iterable((one.source, one.destination) for one in filters)
    return {one.name: one.addresses for one in sides if isinstance(one, DnsName)}


def _spec(one: Filter, rule: StoredRule | DynamicRule) -> str | None:
    """The form here of a filter of a rule, but for its description; in a tunnel rule without the
    mirror, which does not count there (spec 2.3) and which -t refuses."""
    mirrored = one.mirrored and not rule.tunnel
    return format_filter(replace(one, description="", mirrored=mirrored))


def _policy_name(policy: StoredPolicy) -> str:
    """The value of -p, with minutes where they are not the usual or keep the name apart."""
    if policy.polling in (0, DEFAULT_POLLING) and not _LIKE_POLLING.fullmatch(policy.name):
        return policy.name
    return f"{policy.name}:{-(-policy.polling // 60)}"


def _settings(policy: StoredPolicy) -> list[str]:
    """The switches of main mode."""
    words = ["-1s", *policy.mmsecmethods.split()] if policy.mmsecmethods else []
    rekey = [f"{policy.qmpermm}Q"] if policy.qmpermm else []
    if policy.mmlifetime != DEFAULT_MAIN_MODE_LIFETIME:
        rekey.append(f"{policy.mmlifetime * 60}S")
    if rekey:
        words += ["-1k", "/".join(rekey)]
    return [*words, "-1p"] if policy.mmpfs else words


def _default_rule(what: str, policy: StoredPolicy) -> Iterator[_Command]:
    answer = policy.default_rule
    if answer.active:
        methods = _methods(answer.qmsecmethods, answer.qmpfs)
        full = ["-f", "DEFAULT", *methods, *_ways(answer.authentication)]
        yield f"default response rule of {what}", full, ["-f", "DEFAULT"]


def _methods(methods: str, pfs: bool, *more: str) -> Sequence[str]:
    """The switch of security methods as this tool writes them."""
    words = [_LIFETIME.sub(r"\1K/\2S", method) for method in methods.split()]
    if words and pfs:
        words[0] += "P"
    return ("-n", *words, *more) if words or more else ()


def _action(action: StoredAction) -> Sequence[str]:
    if action.behaviour is not Behaviour.NEGOTIATE:
        return _ACTIONS[action.action]
    words = _methods(action.qmsecmethods, action.qmpfs, *(("INPASS",) if action.inpass else ()))
    return (*words, "-soft") if action.soft else words


def _connection(connection: Connection) -> Sequence[str]:
    return () if connection is Connection.ALL else (f"-{connection.value}",)


def _rest(rule: StoredRule | DynamicRule) -> Iterable[str]:
    """The switches of a rule that decide nothing about packets here."""
    if rule.tunnel:
        yield from ("-t", rule.tunnel)
    yield from _ways(rule.authentication)


def _ways(methods: Sequence[Authentication]) -> Iterable[str]:
    if methods not in (KERBEROS, ()):
        kinds = {"kerberos": "KERBEROS", "psk": "PRESHARE", "rootca": "CERT"}
        yield "-a"
        for one in methods:
            yield kinds[one.kind] if one.kind == "kerberos" else f'{kinds[one.kind]}:"{one.value}"'


def _rules(content: Content) -> Iterable[StoredRule]:
    return (rule for policy in content.policies.values() for rule in policy.rules)
