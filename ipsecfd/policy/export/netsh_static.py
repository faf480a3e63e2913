"""The commands of `netsh ipsec static` that make a store (spec 8.2)."""

from __future__ import annotations

from ipsecfd.policy.export.netsh_lines import Script, connection
from ipsecfd.policy.stores.content import (
    DEFAULT_MAIN_MODE_LIFETIME,
    DEFAULT_POLLING,
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


def write_static(script: Script, content: Content) -> None:
    """The commands for a whole store."""
    script.line("pushd ipsec static")
    for filters in content.filter_lists.values():
        _filter_list(script, filters)
    for action in content.filter_actions.values():
        _filter_action(script, action)
    for policy in content.policies.values():
        _policy(script, policy)
    if content.assigned is not None:
        name = content.policies[content.assigned].name
        script.command("set policy", script.name("name", name), "assign=yes")
    script.line("popd")


def _filter_list(script: Script, filters: StoredList) -> None:
    """The commands that make a filter list."""
    script.command(
        "add filterlist",
        script.name("name", filters.name),
        script.text("description", filters.description),
    )
    seen = set()
    for one in filters.filters:
        if filter_identity(one) in seen:
            script.note("filter list", filters.name, f"{one} is twice in it; written once")
            continue
        seen.add(filter_identity(one))
        script.command(
            "add filter",
            script.name("filterlist", filters.name),
            *script.sides(one),
            script.text("description", one.description),
        )


def _filter_action(script: Script, action: StoredAction) -> None:
    """The command that makes a filter action."""
    methods = action.qmsecmethods
    if methods and action.behaviour is not Behaviour.NEGOTIATE:
        script.note("filter action", action.name, "its methods mean nothing; not written")
        methods = ""
    script.command(
        "add filteraction",
        script.name("name", action.name),
        script.text("description", action.description),
        f"action={action.behaviour.value}",
        "inpass=yes" if action.inpass else "",
        "soft=yes" if action.soft else "",
        "qmpfs=yes" if action.qmpfs else "",
        script.text("qmsecmethods", methods),
    )


def _policy(script: Script, policy: StoredPolicy) -> None:
    """The commands that make a policy and its rules."""
    minutes = -(-(policy.polling or DEFAULT_POLLING) // 60)
    if minutes * 60 != policy.polling:
        lost = f"its polling interval is {minutes} minutes here, not {policy.polling} seconds"
        script.note("policy", policy.name, lost)
    script.command(
        "add policy",
        script.name("name", policy.name),
        script.text("description", policy.description),
        "mmpfs=yes" if policy.mmpfs else "",
        f"qmpermm={policy.qmpermm}" if policy.qmpermm else "",
        ""
        if policy.mmlifetime == DEFAULT_MAIN_MODE_LIFETIME
        else f"mmlifetime={policy.mmlifetime}",
        "" if policy.default_rule.active else "activatedefaultrule=no",
        "" if policy.polling == DEFAULT_POLLING else f"pollinginterval={minutes}",
        script.text("mmsecmethods", policy.mmsecmethods),
    )
    _default_rule(script, policy)
    names, taken = DistinctNames(), {name_key(one.name) for one in policy.rules}
    for rule in policy.rules:
        name = rule.name
        if not name:
            name = names.of(rule.filter_list, taken)
            taken.add(name_key(name))
            script.note("policy", policy.name, f"a rule without a name is named '{name}' here")
        _rule(script, policy.name, name, rule)


def _default_rule(script: Script, policy: StoredPolicy) -> None:
    rule = policy.default_rule
    if rule != DefaultRule(rule.active):
        script.command(
            "set defaultrule",
            script.name("policy", policy.name),
            "qmpfs=yes" if rule.qmpfs else "",
            script.text("qmsecmethods", rule.qmsecmethods),
            *script.authentication("policy", policy.name, rule.authentication),
        )


def _rule(script: Script, policy: str, name: str, rule: StoredRule) -> None:
    script.command(
        "add rule",
        script.name("name", name),
        script.name("policy", policy),
        script.name("filterlist", rule.filter_list),
        script.name("filteraction", rule.filter_action),
        script.tunnel("tunnel", name, rule.tunnel),
        connection(rule.connection),
        "" if rule.active else "activate=no",
        script.text("description", rule.description),
        *script.authentication("rule", name, rule.authentication),
    )
