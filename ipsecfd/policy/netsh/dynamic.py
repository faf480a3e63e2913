"""The commands of `netsh ipsec dynamic`, on the rules of the running service (spec 8.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ipsecfd.policy.netsh import dynamic_rules as rules
from ipsecfd.policy.netsh import values
from ipsecfd.policy.netsh.config import SET_CONFIG
from ipsecfd.policy.netsh.errors import ServiceError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Run, Tag
from ipsecfd.policy.netsh.tags import (
    AUTHENTICATION,
    CONNECTION,
    DESTINATION,
    DESTINATION_MASK,
    DESTINATION_PORT,
    MAIN_MODE,
    MIRRORED,
    PROTOCOL,
    SHOW_ADDRESSES,
    SOURCE,
    SOURCE_MASK,
    SOURCE_PORT,
    show_request,
)
from ipsecfd.policy.netsh.values import NAME, TEXT, YES_NO, choice

_NAME: Final = Tag("name", NAME, "Its name", required=True, field="name")
_WHICH: Final = Tag("name", NAME, "Its name", required=True, one_of="which")
_ALL: Final = Tag("all", YES_NO, "Every one", required=True, one_of="which", bare=True)
_MM_POLICY: Final = (
    *MAIN_MODE,
    Tag(
        "softsaexpirationtime",
        values.SECONDS,
        "Life of a soft association",
        default="300",
        field="softsaexpirationtime",
    ),
    Tag("mmsecmethods", TEXT, "Main mode methods (kept)", field="mmsecmethods"),
)
_QM_POLICY: Final = (
    Tag("soft", YES_NO, "Accept peers without IPsec", default="no", field="soft"),
    Tag(
        "pfsgroup",
        choice(grp1="GRP1", grp2="GRP2", grp3="GRP3", grpmm="GRPMM", nopfs="NOPFS"),
        "Session key PFS (kept)",
        default="NOPFS",
        field="pfsgroup",
    ),
    Tag("qmsecmethods", TEXT, "Quick mode methods (kept)", field="qmsecmethods"),
)
_POLICIES: Final = (
    Tag("mmpolicy", NAME, "Main mode policy; needed to negotiate"),
    Tag("qmpolicy", NAME, "Quick mode policy; needed to negotiate"),
)
_IDENTITY: Final = (PROTOCOL, SOURCE_PORT, DESTINATION_PORT, MIRRORED, CONNECTION)
_ACTIONS: Final = (
    Tag("actioninbound", values.BEHAVIOUR, "Of packets coming in", default="negotiate"),
    Tag("actionoutbound", values.BEHAVIOUR, "Of packets going out", default="negotiate"),
)
_MASKS: Final = (SOURCE_MASK, DESTINATION_MASK)
_TUNNEL: Final = Tag("tunneldstaddress", values.TUNNEL, "Tunnel end point (kept)")
_EXACT_ACTIONS: Final = tuple(tag.optional() for tag in _ACTIONS)
_RESOLVE: Final = Tag("resolvedns", YES_NO, "Show the names of addresses", default="no")


def _show(kind: str, about: str, *tags: Tag) -> Command:
    def run(state: State, arguments: Arguments) -> str:
        if kind != "config" and state.workspace.dynamic is None:
            raise ServiceError
        from ipsecfd.policy.netsh import show

        request = show_request(kind, arguments, state.workspace.profile)
        return show.dynamic(request, state.workspace, silent=state.silent)

    return Command("show", kind, about, run, tags)


def _dump(state: State, _: Arguments) -> str:
    from ipsecfd.policy.netsh import dump

    return "" if state.silent else dump.dynamic(state.workspace)


def _show_filters(kind: str, about: str, *more: Tag) -> Command:
    return _show(
        kind,
        about,
        *_NAMED,
        Tag("type", choice(generic="generic", specific="specific"), "As written, or expanded"),
        *SHOW_ADDRESSES,
        *more,
        _RESOLVE,
    )


_NAMED: Final = (_WHICH.optional(), _ALL.optional())
_PORTS: Final = tuple(tag.optional() for tag in (PROTOCOL, SOURCE_PORT, DESTINATION_PORT))
_SAS: Final = (
    _ALL.optional(),
    *SHOW_ADDRESSES[:2],
    Tag("format", choice(list="list", table="table"), "Layout", default="list"),
    _RESOLVE,
)


def _changes(tags: tuple[Tag, ...]) -> tuple[Tag, ...]:
    return (replace(_NAME, field=""), *(tag.optional() for tag in tags))


def _delete(kind: str, about: str, run: Run) -> Command:
    return Command("delete", kind, about, run, (_WHICH, _ALL))


COMMANDS: Final = (
    Command(
        "add",
        "mmpolicy",
        "Makes a main mode policy",
        rules.add_mmpolicy,
        (_NAME, *_MM_POLICY),
    ),
    Command(
        "add",
        "qmpolicy",
        "Makes a quick mode policy",
        rules.add_qmpolicy,
        (_NAME, *_QM_POLICY),
    ),
    Command(
        "add",
        "rule",
        "Makes a rule; its filter is its identity",
        rules.add_rule,
        (SOURCE, DESTINATION, *_POLICIES, *_IDENTITY, *_ACTIONS, *_MASKS, _TUNNEL, *AUTHENTICATION),
        "add rule any me proto=TCP dstport=23 actionin=block actionout=block",
    ),
    Command(
        "set",
        "mmpolicy",
        "Changes a main mode policy",
        rules.set_mmpolicy,
        _changes(_MM_POLICY),
    ),
    Command(
        "set",
        "qmpolicy",
        "Changes a quick mode policy",
        rules.set_qmpolicy,
        _changes(_QM_POLICY),
    ),
    Command(
        "set",
        "rule",
        "Changes the policies, actions or authentication of a rule",
        rules.set_rule,
        (
            *(SOURCE, DESTINATION, *_IDENTITY, *_MASKS, _TUNNEL, *_POLICIES),
            *(*_EXACT_ACTIONS, *AUTHENTICATION),
        ),
    ),
    SET_CONFIG,
    _delete("mmpolicy", "Deletes main mode policies no rule uses", rules.delete_mmpolicy),
    _delete("qmpolicy", "Deletes quick mode policies no rule uses", rules.delete_qmpolicy),
    Command(
        "delete",
        "rule",
        "Deletes the rule with these values",
        rules.delete_rule,
        (SOURCE, DESTINATION, *_IDENTITY, *_MASKS, _TUNNEL),
    ),
    Command("delete", "sa", "Is accepted; there are no security associations", rules.delete_sa),
    Command("delete", "all", "Deletes all dynamic rules and policies", rules.delete_all),
    Command("dump", "", "Prints the commands that set the properties and make the rules", _dump),
    _show("all", "Shows everything", _RESOLVE),
    _show("config", "Shows the properties of the driver"),
    _show_filters("mmfilter", "Shows main mode filters"),
    _show("mmpolicy", "Shows main mode policies", *_NAMED),
    _show("mmsas", "Shows main mode associations, of which there are none", *_SAS),
    _show_filters("qmfilter", "Shows quick mode filters", *_PORTS, *_EXACT_ACTIONS),
    _show("qmpolicy", "Shows quick mode policies", *_NAMED),
    _show(
        "qmsas",
        "Shows quick mode associations, of which there are none",
        *(*_SAS[:3], PROTOCOL.optional(), *_SAS[3:]),
    ),
    _show(
        "rule",
        "Shows rules",
        _ALL.optional(),
        Tag("type", choice(transport="transport", tunnel="tunnel"), "Only rules of this type"),
        *(*SHOW_ADDRESSES, *_PORTS, *_EXACT_ACTIONS, _RESOLVE),
    ),
    _show(
        "stats",
        "Shows counters",
        Tag("type", choice(all="", ike="ike", ipsec="ipsec"), "Which", default="all"),
    ),
)
"""Everything that `netsh ipsec dynamic` can do."""
