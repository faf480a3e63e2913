"""Adding, changing and deleting dynamic rules and their policies (spec 8.3, T6)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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
from ipsecfd.policy.review import about_filter
from ipsecfd.policy.stores.content import Behaviour, name_key
from ipsecfd.policy.stores.dynamic import (
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    Mode,
    QuickModePolicy,
)
from ipsecfd.policy.stores.errors import NotFoundError
from ipsecfd.policy.stores.named import NamedObjects


def add_mmpolicy(state: State, arguments: Arguments) -> str:
    """`add mmpolicy`."""
    state.dynamic.mmpolicies.add(MainModePolicy(**arguments.fields))
    return ""


def add_qmpolicy(state: State, arguments: Arguments) -> str:
    """`add qmpolicy`."""
    state.dynamic.qmpolicies.add(QuickModePolicy(**arguments.fields))
    return ""


def set_mmpolicy(state: State, arguments: Arguments) -> str:
    """`set mmpolicy`."""
    _set(state.dynamic.mmpolicies, arguments)
    return ""


def set_qmpolicy(state: State, arguments: Arguments) -> str:
    """`set qmpolicy`; rules that negotiate by it follow its `soft`."""
    draft = state.dynamic
    new = _set(draft.qmpolicies, arguments)
    negotiated = _negotiated(new)
    for rule in list(draft.rules.values()):
        if name_key(rule.qmpolicy) == name_key(new.name):
            draft.set_rule(
                replace(
                    rule,
                    inbound=negotiated if rule.inbound.negotiates else rule.inbound,
                    outbound=negotiated if rule.outbound.negotiates else rule.outbound,
                )
            )
    return ""


def add_rule(state: State, arguments: Arguments) -> str:
    """`add rule`: a filter with an action for each direction (spec 8.3). Raises CommandError."""
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
    made = filter_from(arguments, workspace.resolve, workspace.profile)
    draft.add_rule(
        DynamicRule(
            made,
            _action(draft, behaviours[0], qmpolicy),
            _action(draft, behaviours[1], qmpolicy),
            arguments["conntype"],
            arguments["mmpolicy"] or "",
            qmpolicy,
            arguments["tunneldstaddress"] or "",
            authentication(arguments),
        )
    )
    state.note = "; ".join(about_filter(made))
    return ""


def set_rule(state: State, arguments: Arguments) -> str:
    """`set rule`: the identity finds it, the rest is changed. Raises CommandError."""
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
    used = (rule.mmpolicy for rule in draft.rules.values())
    return _delete(arguments, draft.mmpolicies, used, draft.delete_mmpolicy)


def delete_qmpolicy(state: State, arguments: Arguments) -> str:
    """`delete qmpolicy`; refused while a rule uses one of them."""
    draft = state.dynamic
    used = (rule.qmpolicy for rule in draft.rules.values())
    return _delete(arguments, draft.qmpolicies, used, draft.delete_qmpolicy)


def delete_all(state: State, _: Arguments) -> str:
    """`delete all`."""
    state.dynamic.clear()
    return ""


def delete_sa(_: State, __: Arguments) -> str:
    """`delete sa`: without a key exchange there are none."""
    return "There are no security associations."


def _set(policies: NamedObjects[Mode], arguments: Arguments) -> Mode:
    """Change the policy of this name as the command says."""
    new = replace(policies.get(arguments["name"]), **arguments.fields)
    policies.replace(new.name, new)
    return new


def _delete(
    arguments: Arguments,
    policies: NamedObjects[Mode],
    used: Iterable[str],
    delete: Callable[[str], None],
) -> str:
    """Delete one by name, or all: what a rule uses comes first, so that nothing is deleted."""
    names = [arguments["name"]]
    if "all" in arguments:
        names = [*filter(None, used), *(one.name for one in policies.by_key.values())]
    for name in names:
        delete(name)
    return ""


def _check_policies(draft: DynamicDraft, arguments: Arguments) -> None:
    """Raise NotFoundError when a command names a policy that is not there."""
    for tag, policies in (("mmpolicy", draft.mmpolicies), ("qmpolicy", draft.qmpolicies)):
        if arguments[tag] is not None:
            policies.get(arguments[tag])


def _action(draft: DynamicDraft, behaviour: Behaviour, qmpolicy: str) -> Action:
    if behaviour is Behaviour.NEGOTIATE:
        known = qmpolicy in draft.qmpolicies
        return _negotiated(draft.qmpolicies.get(qmpolicy)) if known else Action.NEGOTIATE
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
