"""The commands of `netsh ipsec dynamic` that make dynamic rules (spec 8.3)."""

from __future__ import annotations

from typing import Final

from ipsecfd.policy.export.netsh_lines import Script, connection
from ipsecfd.policy.model import Action
from ipsecfd.policy.stores.content import name_key
from ipsecfd.policy.stores.distinct import DistinctNames
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)

_MAIN_MODE_NAME: Final = "default"


def write_dynamic(script: Script, content: DynamicContent) -> None:
    """The commands that make dynamic rules."""
    script.line("pushd ipsec dynamic")
    policies = list(content.mmpolicies.values())
    if any(_needs_main_mode(rule) for rule in content.rules.values()):
        name = DistinctNames().of(_MAIN_MODE_NAME, content.mmpolicies)
        policies.append(MainModePolicy(name))
        script.note("main mode policy", name, "made for the rules that negotiate without one")
    for main_mode in policies:
        _main_mode(script, main_mode)
    for quick_mode in content.qmpolicies.values():
        _quick_mode(script, quick_mode)
    for rule in content.rules.values():
        _rule(script, rule, policies[-1].name if policies else "", content)
    script.line("popd")


def _main_mode(script: Script, policy: MainModePolicy) -> None:
    script.command(
        "add mmpolicy",
        script.name("name", policy.name),
        f"qmpermm={policy.qmpermm}",
        f"mmlifetime={policy.mmlifetime}",
        f"softsaexpirationtime={policy.softsaexpirationtime}",
        script.text("mmsecmethods", policy.mmsecmethods),
    )


def _quick_mode(script: Script, policy: QuickModePolicy) -> None:
    script.command(
        "add qmpolicy",
        script.name("name", policy.name),
        "soft=yes" if policy.soft else "",
        f"pfsgroup={policy.pfsgroup}",
        script.text("qmsecmethods", policy.qmsecmethods),
    )


def _rule(script: Script, rule: DynamicRule, main_mode: str, content: DynamicContent) -> None:
    quick_mode = content.qmpolicies.get(name_key(rule.qmpolicy))
    soft = quick_mode is not None and quick_mode.soft
    for direction, action in (("inbound", rule.inbound), ("outbound", rule.outbound)):
        if action.negotiates and action is not (Action.SOFT if soft else Action.NEGOTIATE):
            words = f"its {direction} action is {action.name.lower()}; not written"
            script.note("dynamic rule", str(rule.filter), words)
    mmpolicy = main_mode if _needs_main_mode(rule) else rule.mmpolicy
    script.command(
        "add rule",
        *script.sides(rule.filter),
        script.name("mmpolicy", mmpolicy) if mmpolicy else "",
        script.name("qmpolicy", rule.qmpolicy) if rule.qmpolicy else "",
        connection(rule.connection),
        f"actioninbound={_action(rule.inbound)}",
        f"actionoutbound={_action(rule.outbound)}",
        script.tunnel("tunneldstaddress", str(rule.filter), rule.tunnel),
        *script.authentication("dynamic rule", str(rule.filter), rule.authentication),
    )


def _needs_main_mode(rule: DynamicRule) -> bool:
    return not rule.mmpolicy and (rule.inbound.negotiates or rule.outbound.negotiates)


def _action(action: Action) -> str:
    return "negotiate" if action.negotiates else action.name.lower()
