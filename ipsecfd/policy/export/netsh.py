"""A store as a script for `netsh -f` (spec 8.1 to 8.3)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.export.exported import Exported, one_line
from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    Connection,
    DnsName,
    Filter,
    Prefix,
    Server,
    protocol_name,
)
from ipsecfd.policy.netsh.values import LONGEST_NAME, TUNNEL
from ipsecfd.policy.netsh.words import quoted
from ipsecfd.policy.stores.content import (
    DEFAULT_MAIN_MODE_LIFETIME,
    DEFAULT_POLLING,
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    filter_identity,
    name_key,
)
from ipsecfd.policy.stores.distinct import DistinctNames
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)

_MAIN_MODE_NAME: Final = "default"


def write(content: Content, dynamic: DynamicContent | None = None) -> Exported:
    """The commands that make this store, and these dynamic rules, and what they do not say."""
    script = _Script()
    script.comment("Policies of ipsecfd. Read them back with: netsh -f FILE")
    rules = DynamicContent() if dynamic is None else dynamic
    if content != Content() or rules == DynamicContent():
        script.static(content)
    if rules != DynamicContent():
        script.dynamic(rules)
    return script.exported()


class _Script:
    """Collects the lines of a script, and what they do not say."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._notes: list[str] = []
        self._resolved = 0

    def exported(self) -> Exported:
        """The script as it is now."""
        if self._resolved:
            filters = "1 filter" if self._resolved == 1 else f"{self._resolved} filters"
            self._notes.append(f"the DNS names of {filters} are resolved anew by who reads this")
        return Exported("\n".join((*self._lines, "")), tuple(dict.fromkeys(self._notes)))

    def line(self, text: str) -> None:
        self._lines.append(text)

    def comment(self, text: str) -> None:
        self._lines.append(f"# {text}")

    def command(self, *words: str) -> None:
        self._lines.append(" ".join(word for word in words if word))

    def note(self, what: str, name: str, lost: str) -> None:
        self._notes.append(f"{what} '{printable(name)}': {lost}")

    def name(self, tag: str, name: str) -> str:
        """A name as the value of a tag."""
        if len(name) > LONGEST_NAME:
            self.note("name", f"{name[:20]}...", f"longer than netsh takes ({LONGEST_NAME})")
        return self.text(tag, name)

    def text(self, tag: str, text: str) -> str:
        """A text as the value of a tag; nothing for an empty one."""
        line = one_line(text)
        if line != text:
            self.note(tag, line[:40], "control characters and line breaks are blanks here")
        return f"{tag}={quoted(line)}" if line else ""

    def static(self, content: Content) -> None:
        """The commands for a whole store."""
        self.line("pushd ipsec static")
        for filters in content.filter_lists.values():
            self.filter_list(filters)
        for action in content.filter_actions.values():
            self.filter_action(action)
        for policy in content.policies.values():
            self.policy(policy)
        if content.assigned is not None:
            name = content.policies[content.assigned].name
            self.command("set policy", self.name("name", name), "assign=yes")
        self.line("popd")

    def filter_list(self, filters: StoredList) -> None:
        """The commands that make a filter list."""
        self.command(
            "add filterlist",
            self.name("name", filters.name),
            self.text("description", filters.description),
        )
        seen = set()
        for one in filters.filters:
            if filter_identity(one) in seen:
                self.note("filter list", filters.name, f"{one} is twice in it; written once")
                continue
            seen.add(filter_identity(one))
            self.command(
                "add filter",
                self.name("filterlist", filters.name),
                *self._sides(one),
                self.text("description", one.description),
            )

    def filter_action(self, action: StoredAction) -> None:
        """The command that makes a filter action."""
        methods = action.qmsecmethods
        if methods and action.behaviour is not Behaviour.NEGOTIATE:
            self.note("filter action", action.name, "its methods mean nothing; not written")
            methods = ""
        self.command(
            "add filteraction",
            self.name("name", action.name),
            self.text("description", action.description),
            f"action={action.behaviour.value}",
            "inpass=yes" if action.inpass else "",
            "soft=yes" if action.soft else "",
            "qmpfs=yes" if action.qmpfs else "",
            self.text("qmsecmethods", methods),
        )

    def policy(self, policy: StoredPolicy) -> None:
        """The commands that make a policy and its rules."""
        minutes = -(-(policy.polling or DEFAULT_POLLING) // 60)
        if minutes * 60 != policy.polling:
            lost = f"its polling interval is {minutes} minutes here, not {policy.polling} seconds"
            self.note("policy", policy.name, lost)
        self.command(
            "add policy",
            self.name("name", policy.name),
            self.text("description", policy.description),
            "mmpfs=yes" if policy.mmpfs else "",
            f"qmpermm={policy.qmpermm}" if policy.qmpermm else "",
            ""
            if policy.mmlifetime == DEFAULT_MAIN_MODE_LIFETIME
            else f"mmlifetime={policy.mmlifetime}",
            "" if policy.default_rule.active else "activatedefaultrule=no",
            "" if policy.polling == DEFAULT_POLLING else f"pollinginterval={minutes}",
            self.text("mmsecmethods", policy.mmsecmethods),
        )
        self._default_rule(policy)
        names, taken = DistinctNames(), {name_key(one.name) for one in policy.rules}
        for rule in policy.rules:
            name = rule.name
            if not name:
                name = names.of(rule.filter_list, taken)
                taken.add(name_key(name))
                self.note("policy", policy.name, f"a rule without a name is named '{name}' here")
            self._rule(policy.name, name, rule)

    def dynamic(self, content: DynamicContent) -> None:
        """The commands that make dynamic rules."""
        self.line("pushd ipsec dynamic")
        policies = list(content.mmpolicies.values())
        if any(_needs_main_mode(rule) for rule in content.rules.values()):
            name = DistinctNames().of(_MAIN_MODE_NAME, content.mmpolicies)
            policies.append(MainModePolicy(name))
            self.note("main mode policy", name, "made for the rules that negotiate without one")
        for main_mode in policies:
            self._main_mode(main_mode)
        for quick_mode in content.qmpolicies.values():
            self._quick_mode(quick_mode)
        for rule in content.rules.values():
            self._dynamic_rule(rule, policies[-1].name if policies else "", content)
        self.line("popd")

    def _default_rule(self, policy: StoredPolicy) -> None:
        rule = policy.default_rule
        if rule != DefaultRule(rule.active):
            self.command(
                "set defaultrule",
                self.name("policy", policy.name),
                "qmpfs=yes" if rule.qmpfs else "",
                self.text("qmsecmethods", rule.qmsecmethods),
                *self._authentication("policy", policy.name, rule.authentication),
            )

    def _rule(self, policy: str, name: str, rule: StoredRule) -> None:
        self.command(
            "add rule",
            self.name("name", name),
            self.name("policy", policy),
            self.name("filterlist", rule.filter_list),
            self.name("filteraction", rule.filter_action),
            self._tunnel("tunnel", name, rule.tunnel),
            _connection(rule.connection),
            "" if rule.active else "activate=no",
            self.text("description", rule.description),
            *self._authentication("rule", name, rule.authentication),
        )

    def _main_mode(self, policy: MainModePolicy) -> None:
        self.command(
            "add mmpolicy",
            self.name("name", policy.name),
            f"qmpermm={policy.qmpermm}",
            f"mmlifetime={policy.mmlifetime}",
            f"softsaexpirationtime={policy.softsaexpirationtime}",
            self.text("mmsecmethods", policy.mmsecmethods),
        )

    def _quick_mode(self, policy: QuickModePolicy) -> None:
        self.command(
            "add qmpolicy",
            self.name("name", policy.name),
            "soft=yes" if policy.soft else "",
            f"pfsgroup={policy.pfsgroup}",
            self.text("qmsecmethods", policy.qmsecmethods),
        )

    def _dynamic_rule(self, rule: DynamicRule, main_mode: str, content: DynamicContent) -> None:
        quick_mode = content.qmpolicies.get(name_key(rule.qmpolicy))
        soft = quick_mode is not None and quick_mode.soft
        for direction, action in (("inbound", rule.inbound), ("outbound", rule.outbound)):
            if action.negotiates and action is not (Action.SOFT if soft else Action.NEGOTIATE):
                words = f"its {direction} action is {action.name.lower()}; not written"
                self.note("dynamic rule", str(rule.filter), words)
        mmpolicy = main_mode if _needs_main_mode(rule) else rule.mmpolicy
        self.command(
            "add rule",
            *self._sides(rule.filter),
            self.name("mmpolicy", mmpolicy) if mmpolicy else "",
            self.name("qmpolicy", rule.qmpolicy) if rule.qmpolicy else "",
            _connection(rule.connection),
            f"actioninbound={_dynamic_action(rule.inbound)}",
            f"actionoutbound={_dynamic_action(rule.outbound)}",
            self._tunnel("tunneldstaddress", str(rule.filter), rule.tunnel),
            *self._authentication("dynamic rule", str(rule.filter), rule.authentication),
        )

    def _sides(self, one: Filter) -> Sequence[str]:
        """The tags that say which packets a filter is for."""
        self._resolved += any(isinstance(side, DnsName) for side in (one.source, one.destination))
        protocol = protocol_name(one.protocol).upper()
        return (
            *self._address("src", one.source, one),
            *self._address("dst", one.destination, one),
            f"protocol={protocol if protocol != 'ICMPV6' else one.protocol}",
            f"srcport={one.source_port}" if one.source_port else "",
            f"dstport={one.destination_port}" if one.destination_port else "",
            f"mirrored={_yes(one.mirrored)}",
        )

    def _address(self, side: str, address: Address, one: Filter) -> Iterable[str]:
        match address:
            case Server(kind):
                yield f"{side}addr={kind.value.upper()}"
            case Prefix(network) if _is_a_word_of_netsh(network):
                self.note("filter", str(one), f"{network} is written as a range")
                yield f"{side}addr={AddressRange(network[0], network[-1])}"
            case Prefix(ipaddress.IPv4Network() as network) if network.prefixlen < 32:
                yield f"{side}addr={network.network_address}"
                yield f"{side}mask={network.netmask}"
            case _:
                yield f"{side}addr={address}"

    def _tunnel(self, tag: str, name: str, end_point: str) -> str:
        if not end_point:
            return ""
        try:
            TUNNEL.parse(end_point)
        except IpsecfdError:
            self.note("rule", name, f"its tunnel ends at '{printable(end_point)}'; not written")
            return ""
        return f"{tag}={end_point}"

    def _authentication(
        self, what: str, name: str, methods: Sequence[Authentication]
    ) -> Iterable[str]:
        if methods == KERBEROS:
            return
        if not methods:
            self.note(what, name, "it has no authentication method, which means Kerberos here")
        used = set()
        for one in methods:
            if one.kind in used and one.kind != "rootca":
                self.note(what, name, f"netsh takes one {one.kind}; the first is written")
                continue
            used.add(one.kind)
            if one.kind == "kerberos":
                yield "kerberos=yes"
            else:
                yield self.text(one.kind, one.value) or f'{one.kind}=""'


def _is_a_word_of_netsh(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether netsh takes a prefix for any or me, or refuses it (spec 2.1)."""
    if network.version == 6:
        return network.prefixlen == 0
    return not int(network.network_address) and network.prefixlen in (0, 32)


def _needs_main_mode(rule: DynamicRule) -> bool:
    return not rule.mmpolicy and (rule.inbound.negotiates or rule.outbound.negotiates)


def _dynamic_action(action: Action) -> str:
    return "negotiate" if action.negotiates else action.name.lower()


def _connection(connection: Connection) -> str:
    return "" if connection is Connection.ALL else f"conntype={connection.value}"


def _yes(value: bool) -> str:
    return "yes" if value else "no"
