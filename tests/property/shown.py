"""Reads what `show ... format=list` prints, as an administrator's own program would."""

from __future__ import annotations

import ast
import ipaddress
import itertools
import re
from collections.abc import Mapping

from ipsecfd.policy.model import (
    PROTOCOL_NUMBERS,
    Action,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    Me,
    Prefix,
    Server,
    ServerKind,
)
from ipsecfd.policy.stores.content import (
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)

FIRST = ("Policy Name", "Rule ID", "FilterList Name", "FilterAction Name", "Filter Name")
KINDS = {"PRESHARED KEY": "psk", "ROOT CA": "rootca", "KERBEROS": "kerberos"}
SERVERS = {
    "<WINS Servers>": ServerKind.WINS,
    "<DNS Servers>": ServerKind.DNS,
    "<DHCP Servers>": ServerKind.DHCP,
    "<Default Gateway>": ServerKind.GATEWAY,
}
ACTIONS = {
    "PERMIT": Action.PERMIT,
    "BLOCK": Action.BLOCK,
    "NEGOTIATE": Action.NEGOTIATE,
    "NEGOTIATE (INPASS)": Action.INPASS,
    "NEGOTIATE (SOFT)": Action.SOFT,
}


class Record(dict[str, str]):
    """The lines of one object, by label; `kind` is its first label."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.authentication: list[Authentication] = []

    def text(self, label: str) -> str:
        return "" if self[label] == "NONE" else unquoted(self[label])

    def name(self, label: str) -> str:
        return unquoted(self[label])

    def yes(self, label: str) -> bool:
        return {"YES": True, "NO": False}[self[label]]

    def number(self, label: str) -> int:
        return int(self[label].partition(" ")[0])


def unquoted(value: str) -> str:
    return str(ast.literal_eval(value)) if value.startswith('"') else value


def records(text: str) -> list[Record]:
    """The objects in a text, in its order; a filter of a list begins at its description."""
    found: list[Record] = [Record("")]
    lines = [*text.splitlines(), ""]
    for one, following in itertools.pairwise(lines):
        label, colon, value = one.partition(":")
        label, value = label.strip(), value.strip()
        if one.startswith("    "):
            value = "" if value == "NONE" else unquoted(value)
            found[-1].authentication.append(Authentication(KINDS[label], value))
        elif label == "Description" and following.startswith("Mirrored"):
            found.append(Record("Filter"))
        elif (colon and label in FIRST) or one == "Default Response Rule":
            found.append(Record(label))
        if colon:
            found[-1][label] = value
    return found[1:]


def read_content(text: str) -> Content:
    """The store that `show all format=list` shows."""
    policies: dict[str, StoredPolicy] = {}
    lists: dict[str, StoredList] = {}
    actions: dict[str, StoredAction] = {}
    assigned = None
    rules: list[tuple[Record, str]] = []
    policy, filters = Record(""), Record("")
    for one in records(text):
        match one.kind:
            case "Policy Name":
                policy, rules = one, []
                if one.yes("Assigned"):
                    assigned = name_key(one.name("Policy Name"))
            case "Rule ID":
                rules.append((one, ""))
            case "FilterList Name":
                filters = one
                name = one.name("FilterList Name")
                lists[name_key(name)] = StoredList(name, (), one.text("Description"))
                if rules and not rules[-1][1]:
                    rules[-1] = rules[-1][0], name
            case "Filter":
                key = name_key(filters.name("FilterList Name"))
                old = lists[key]
                lists[key] = StoredList(old.name, (*old.filters, a_filter(one)), old.description)
            case "FilterAction Name":
                made = an_action(one)
                actions[name_key(made.name)] = made
                if rules and "action" not in rules[-1][0]:
                    rules[-1][0]["action"] = made.name
            case "Default Response Rule":
                read = a_policy(policy, [a_rule(*rule) for rule in rules], one)
                policies[name_key(read.name)] = read
                rules = []
    return Content(policies, lists, actions, assigned)


def a_policy(one: Record, rules: list[StoredRule], default: Record) -> StoredPolicy:
    seconds = one.number("Polling Interval") * (60 if "minutes" in one["Polling Interval"] else 1)
    return StoredPolicy(
        one.name("Policy Name"),
        one.text("Description"),
        tuple(rules),
        seconds,
        one.yes("Master PFS"),
        one.number("Quick Mode Limit"),
        one.number("Main Mode Lifetime"),
        one.text("Main Mode Methods"),
        DefaultRule(
            default.yes("Activated"),
            default.yes("QMPFS"),
            default.text("Security Methods"),
            tuple(default.authentication),
        ),
    )


def a_rule(one: Record, filter_list: str) -> StoredRule:
    return StoredRule(
        one.text("Rule Name"),
        filter_list,
        one["action"],
        one.text("Description"),
        one.yes("Activated"),
        Connection(one["Connection Type"].lower()),
        one.name("Tunnel Endpoint") if "Tunnel Endpoint" in one else "",
        tuple(one.authentication),
    )


def an_action(one: Record) -> StoredAction:
    name, behaviour = one.name("FilterAction Name"), Behaviour(one["Action"].lower())
    if "QMPFS" not in one:
        return StoredAction(name, behaviour, description=one.text("Description"))
    return StoredAction(
        name,
        behaviour,
        one.yes("Inbound Passthrough"),
        one.yes("AllowUnsecure(Fallback)"),
        one.yes("QMPFS"),
        one.text("Security Methods"),
        one.text("Description"),
    )


def a_filter(one: Record) -> Filter:
    return Filter(
        an_address(one, "Source"),
        an_address(one, "Destination"),
        a_port(one["Source Port"]),
        a_port(one["Destination Port"]),
        a_protocol(one["Protocol"]),
        one.yes("Mirrored"),
        one.text("Description"),
    )


def an_address(one: Mapping[str, str], side: str) -> Address:
    address, mask = one[f"{side} IP Address"], one[f"{side} Mask"]
    name = one[f"{side} DNS Name"]
    if address == "<Any IP Address>":
        return AnyAddress()
    if address == "<My IP Address>":
        return Me()
    if address in SERVERS:
        return Server(SERVERS[address])
    if name == "<A specific IP Range>":
        first, last = map(ipaddress.ip_address, address.split("-"))
        return AddressRange(first, last)
    if name.startswith("<"):
        return Prefix.of(ipaddress.ip_network(f"{address}/{mask}"))
    found = () if address == "NONE" else tuple(map(ipaddress.ip_address, address.split(", ")))
    return DnsName(name, found)


def a_port(text: str) -> int:
    return 0 if text == "ANY" else int(text)


def a_protocol(text: str) -> int:
    return int(text) if text.isdigit() else PROTOCOL_NUMBERS[text.lower()]


def read_dynamic(rules: str, mmpolicies: str, qmpolicies: str) -> DynamicContent:
    """The dynamic store that `show rule`, `show mmpolicy` and `show qmpolicy` show."""
    made = [a_dynamic_rule(one) for one in records(rules) if re.match("Dynamic", one["Store"])]
    main_mode = [
        MainModePolicy(
            one.name("Policy Name"),
            one.number("Quick Mode Limit"),
            one.number("Main Mode Lifetime"),
            one.number("Soft SA Expiration"),
            one.text("Security Methods"),
        )
        for one in records(mmpolicies)
    ]
    quick_mode = [
        QuickModePolicy(
            one.name("Policy Name"),
            one.yes("Soft"),
            one.text("PFS Group"),
            one.text("Security Methods"),
        )
        for one in records(qmpolicies)
    ]
    return DynamicContent(
        {name_key(one.name): one for one in main_mode},
        {name_key(one.name): one for one in quick_mode},
        {one.identity: one for one in made},
    )


def a_dynamic_rule(one: Record) -> DynamicRule:
    return DynamicRule(
        a_filter(one),
        ACTIONS[one["Inbound Action"]],
        ACTIONS[one["Outbound Action"]],
        Connection(one["Connection Type"].lower()),
        one.text("Main Mode Policy"),
        one.text("Quick Mode Policy"),
        one.text("Tunnel Endpoint"),
        tuple(one.authentication),
    )
