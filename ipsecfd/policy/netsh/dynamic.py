"""The commands of `netsh ipsec dynamic`, on the rules of the running service (spec 8.3)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from ipsecfd.policy.dynamic import (
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)
from ipsecfd.policy.model import Action, DnsName
from ipsecfd.policy.netsh import values
from ipsecfd.policy.netsh.config import SET_CONFIG
from ipsecfd.policy.netsh.errors import Code, CommandError, ServiceError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Tag
from ipsecfd.policy.netsh.tags import (
    AUTHENTICATION,
    CONNECTION,
    DESTINATION,
    DESTINATION_MASK,
    DESTINATION_PORT,
    MIRRORED,
    PROTOCOL,
    SHOW_ADDRESSES,
    SOURCE,
    SOURCE_MASK,
    SOURCE_PORT,
    authentication,
    authentication_given,
    filter_from,
    filter_key,
    show_request,
    sought_filter,
)
from ipsecfd.policy.netsh.values import NAME, TEXT, YES_NO, choice
from ipsecfd.policy.store import Behaviour, NotFoundError, name_key

_NAME: Final = Tag("name", NAME, "Its name", required=True, field="name")
_WHICH: Final = Tag("name", NAME, "Its name", required=True, one_of="which")
_ALL: Final = Tag("all", YES_NO, "Every one", required=True, one_of="which", bare=True)
_MM_POLICY: Final = (
    Tag("qmpermm", values.COUNT, "Quick modes per main mode", default="0", field="qmpermm"),
    Tag("mmlifetime", values.MINUTES, "A new key after so long", default="480", field="mmlifetime"),
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


def _add_mmpolicy(state: State, arguments: Arguments) -> str:
    state.dynamic.add_mmpolicy(MainModePolicy(**arguments.fields))
    return ""


def _set_mmpolicy(state: State, arguments: Arguments) -> str:
    draft, name = state.dynamic, arguments["name"]
    old = draft.mmpolicies.get(name_key(name)) or MainModePolicy(name)
    draft.set_mmpolicy(name, replace(old, **arguments.fields))
    return ""


def _add_qmpolicy(state: State, arguments: Arguments) -> str:
    state.dynamic.add_qmpolicy(QuickModePolicy(**arguments.fields))
    return ""


def _set_qmpolicy(state: State, arguments: Arguments) -> str:
    """Rules that negotiate by it follow its `soft`."""
    draft, name = state.dynamic, arguments["name"]
    old = draft.qmpolicies.get(name_key(name)) or QuickModePolicy(name)
    new = replace(old, **arguments.fields)
    draft.set_qmpolicy(name, new)
    negotiated = _negotiated(new)
    for rule in list(draft.rules.values()):
        if name_key(rule.qmpolicy) == name_key(name):
            draft.set_rule(
                replace(
                    rule,
                    inbound=negotiated if rule.inbound.negotiates else rule.inbound,
                    outbound=negotiated if rule.outbound.negotiates else rule.outbound,
                )
            )
    return ""


def _add_rule(state: State, arguments: Arguments) -> str:
    draft, workspace = state.dynamic, state.workspace
    _check_policies(draft, arguments)
    behaviours = arguments["actioninbound"], arguments["actionoutbound"]
    # Spec 8.3 wants a main mode policy in every rule, T6 has none: without a key exchange it
    # matters only to a rule that negotiates.
    missing = [tag for tag in ("mmpolicy", "qmpolicy") if tag not in arguments]
    if missing and Behaviour.NEGOTIATE in behaviours:
        raise CommandError(
            Code.MISSING, f'"add rule" with an action that negotiates needs {" and ".join(missing)}'
        )
    qmpolicy = arguments["qmpolicy"] or ""
    draft.add_rule(
        DynamicRule(
            filter_from(arguments, workspace.resolve, workspace.profile),
            _action(draft, behaviours[0], qmpolicy),
            _action(draft, behaviours[1], qmpolicy),
            arguments["conntype"],
            arguments["mmpolicy"] or "",
            qmpolicy,
            arguments["tunneldstaddress"] or "",
            authentication(arguments),
        )
    )
    return ""


def _set_rule(state: State, arguments: Arguments) -> str:
    draft = state.dynamic
    old = _chosen(state, arguments)
    _check_policies(draft, arguments)
    qmpolicy = arguments["qmpolicy"] or old.qmpolicy
    inbound, outbound = (
        _changed(draft, was, given, qmpolicy)
        for was, given in (
            (old.inbound, arguments["actioninbound"]),
            (old.outbound, arguments["actionoutbound"]),
        )
    )
    if not qmpolicy and (inbound.negotiates or outbound.negotiates):
        raise CommandError(Code.MISSING, "an action that negotiates needs qmpolicy")
    new = replace(
        old,
        inbound=inbound,
        outbound=outbound,
        mmpolicy=arguments["mmpolicy"] or old.mmpolicy,
        qmpolicy=qmpolicy,
    )
    if "tunneldstaddress" in arguments:
        new = replace(new, tunnel=arguments["tunneldstaddress"])
    if authentication_given(arguments):
        new = replace(new, authentication=authentication(arguments))
    draft.set_rule(new)
    return ""


def _delete_rule(state: State, arguments: Arguments) -> str:
    state.dynamic.delete_rule(_chosen(state, arguments).identity)
    return ""


def _delete_mmpolicy(state: State, arguments: Arguments) -> str:
    draft = state.dynamic
    if "all" not in arguments:
        draft.delete_mmpolicy(arguments["name"])
        return ""
    used = [rule.mmpolicy for rule in draft.rules.values() if rule.mmpolicy]
    for name in (*used, *(one.name for one in draft.mmpolicies.values())):  # used: refused first
        draft.delete_mmpolicy(name)
    return ""


def _delete_qmpolicy(state: State, arguments: Arguments) -> str:
    draft = state.dynamic
    if "all" not in arguments:
        draft.delete_qmpolicy(arguments["name"])
        return ""
    used = [rule.qmpolicy for rule in draft.rules.values() if rule.qmpolicy]
    for name in (*used, *(one.name for one in draft.qmpolicies.values())):  # used: refused first
        draft.delete_qmpolicy(name)
    return ""


def _delete_all(state: State, _: Arguments) -> str:
    state.dynamic.clear()
    return ""


def _delete_sa(_: State, __: Arguments) -> str:
    return "There are no security associations."


def _check_policies(draft: DynamicDraft, arguments: Arguments) -> None:
    mmpolicy, qmpolicy = arguments["mmpolicy"], arguments["qmpolicy"]
    if mmpolicy is not None and name_key(mmpolicy) not in draft.mmpolicies:
        raise NotFoundError(f"there is no main mode policy with the name '{mmpolicy}'")
    if qmpolicy is not None and name_key(qmpolicy) not in draft.qmpolicies:
        raise NotFoundError(f"there is no quick mode policy with the name '{qmpolicy}'")


def _action(draft: DynamicDraft, behaviour: Behaviour, qmpolicy: str) -> Action:
    if behaviour is Behaviour.NEGOTIATE:
        policy = draft.qmpolicies.get(name_key(qmpolicy))
        return Action.NEGOTIATE if policy is None else _negotiated(policy)
    return Action.PERMIT if behaviour is Behaviour.PERMIT else Action.BLOCK


def _changed(draft: DynamicDraft, was: Action, given: Behaviour | None, qmpolicy: str) -> Action:
    """An action after `set rule`, which may have brought another quick mode policy."""
    if given is None:
        return _action(draft, Behaviour.NEGOTIATE, qmpolicy) if was.negotiates else was
    return _action(draft, given, qmpolicy)


def _negotiated(policy: QuickModePolicy) -> Action:
    return Action.SOFT if policy.soft else Action.NEGOTIATE


def _chosen(state: State, arguments: Arguments) -> DynamicRule:
    """The rule of this identity (spec 8.3); a DNS name is compared, not resolved."""
    rules = state.dynamic.rules
    sought = sought_filter(arguments, state.workspace.profile)
    found = rules.get(
        DynamicRule(sought, Action.BLOCK, Action.BLOCK, arguments["conntype"]).identity
    )
    if found is not None:
        return found
    if isinstance(sought.source, DnsName) or isinstance(sought.destination, DnsName):
        for rule in rules.values():
            same = filter_key(rule.filter) == filter_key(sought)
            if same and rule.connection is arguments["conntype"]:
                return rule
    raise NotFoundError("there is no dynamic rule with these values")


def _show(kind: str, about: str, *tags: Tag) -> Command:
    def run(state: State, arguments: Arguments) -> str:
        from ipsecfd.policy.netsh import show

        if kind != "config" and state.workspace.dynamic is None:
            raise ServiceError
        request = show_request(kind, arguments, state.workspace.profile)
        return show.dynamic(request, state.workspace)

    return Command("show", kind, about, run, tags)


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


def _delete(kind: str, about: str, run: Any) -> Command:
    return Command("delete", kind, about, run, (_WHICH, _ALL))


COMMANDS: Final = (
    Command("add", "mmpolicy", "Makes a main mode policy", _add_mmpolicy, (_NAME, *_MM_POLICY)),
    Command("add", "qmpolicy", "Makes a quick mode policy", _add_qmpolicy, (_NAME, *_QM_POLICY)),
    Command(
        "add",
        "rule",
        "Makes a rule; its filter is its identity",
        _add_rule,
        (SOURCE, DESTINATION, *_POLICIES, *_IDENTITY, *_ACTIONS, *_MASKS, _TUNNEL, *AUTHENTICATION),
        "add rule any me proto=TCP dstport=23 actionin=block actionout=block",
    ),
    Command("set", "mmpolicy", "Changes a main mode policy", _set_mmpolicy, _changes(_MM_POLICY)),
    Command("set", "qmpolicy", "Changes a quick mode policy", _set_qmpolicy, _changes(_QM_POLICY)),
    Command(
        "set",
        "rule",
        "Changes the policies, actions or authentication of a rule",
        _set_rule,
        (
            *(SOURCE, DESTINATION, *_IDENTITY, *_MASKS, _TUNNEL, *_POLICIES),
            *(*_EXACT_ACTIONS, *AUTHENTICATION),
        ),
    ),
    SET_CONFIG,
    _delete("mmpolicy", "Deletes main mode policies no rule uses", _delete_mmpolicy),
    _delete("qmpolicy", "Deletes quick mode policies no rule uses", _delete_qmpolicy),
    Command(
        "delete",
        "rule",
        "Deletes the rule with these values",
        _delete_rule,
        (SOURCE, DESTINATION, *_IDENTITY, *_MASKS, _TUNNEL),
    ),
    Command("delete", "sa", "Is accepted; there are no security associations", _delete_sa),
    Command("delete", "all", "Deletes all dynamic rules and policies", _delete_all),
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
