"""Adding, changing and deleting dynamic rules and their policies (spec 8.3, T6)."""

from __future__ import annotations

from dataclasses import replace

from ipsecfd.policy.model import Action, DnsName
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments
from ipsecfd.policy.netsh.tags import (
    authentication,
    authentication_given,
    filter_from,
    filter_key,
    sought_filter,
)
from ipsecfd.policy.stores.draft import Behaviour, NotFoundError, name_key
from ipsecfd.policy.stores.dynamic import (
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)


def add_mmpolicy(state: State, arguments: Arguments) -> str:
    """`add mmpolicy`."""
    state.dynamic.add_mmpolicy(MainModePolicy(**arguments.fields))
    return ""


def set_mmpolicy(state: State, arguments: Arguments) -> str:
    """`set mmpolicy`."""
    draft, name = state.dynamic, arguments["name"]
    old = draft.mmpolicies.get(name_key(name)) or MainModePolicy(name)
    draft.set_mmpolicy(name, replace(old, **arguments.fields))
    return ""


def add_qmpolicy(state: State, arguments: Arguments) -> str:
    """`add qmpolicy`."""
    state.dynamic.add_qmpolicy(QuickModePolicy(**arguments.fields))
    return ""


def set_qmpolicy(state: State, arguments: Arguments) -> str:
    """`set qmpolicy`; rules that negotiate by it follow its `soft`."""
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


def add_rule(state: State, arguments: Arguments) -> str:
    """`add rule`."""
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


def set_rule(state: State, arguments: Arguments) -> str:
    """`set rule`: the identity finds it, the rest is changed."""
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


def delete_rule(state: State, arguments: Arguments) -> str:
    """`delete rule`."""
    state.dynamic.delete_rule(_chosen(state, arguments).identity)
    return ""


def delete_mmpolicy(state: State, arguments: Arguments) -> str:
    """`delete mmpolicy`; refused while a rule uses one of them."""
    draft = state.dynamic
    if "all" not in arguments:
        draft.delete_mmpolicy(arguments["name"])
        return ""
    used = [rule.mmpolicy for rule in draft.rules.values() if rule.mmpolicy]
    for name in (*used, *(one.name for one in draft.mmpolicies.values())):  # used: refused first
        draft.delete_mmpolicy(name)
    return ""


def delete_qmpolicy(state: State, arguments: Arguments) -> str:
    """`delete qmpolicy`; refused while a rule uses one of them."""
    draft = state.dynamic
    if "all" not in arguments:
        draft.delete_qmpolicy(arguments["name"])
        return ""
    used = [rule.qmpolicy for rule in draft.rules.values() if rule.qmpolicy]
    for name in (*used, *(one.name for one in draft.qmpolicies.values())):  # used: refused first
        draft.delete_qmpolicy(name)
    return ""


def delete_all(state: State, _: Arguments) -> str:
    """`delete all`."""
    state.dynamic.clear()
    return ""


def delete_sa(_: State, __: Arguments) -> str:
    """`delete sa`: without a key exchange there are none."""
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
