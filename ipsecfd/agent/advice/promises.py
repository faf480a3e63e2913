"""Promises that a policy cannot keep: it filters nothing here, or what it permits cannot work."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipsecfd.agent.advice.meaning import any_covers, blocks
from ipsecfd.agent.advice.questions import Questions
from ipsecfd.agent.advice.words import listed
from ipsecfd.driver.build import build_ipv6
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import to_address
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.policy.model import ICMPV6

_ROUTER: Final = to_address(6, (0xFE80 << 112) + 0x4D4D4D)
"""Some neighbour on the link."""


def neighbours(asked: Questions) -> Iterator[str]:
    """IPv6 that is permitted but cannot work, because neighbours do not find each other."""
    if 6 not in asked.families or not any(
        not blocks(rule, Direction.IN) and any_covers(rule, 6) for rule in asked.rules
    ):
        return
    advertisement = bytes((136,)) + bytes(23)
    answers = asked.judge(
        build_ipv6(_ROUTER, to_address(6, asked.me[6]), ICMPV6, advertisement, 255)
    )
    blocked = next((one for one in answers if not one.permits), None)
    if blocked is not None:
        yield (
            f'"{blocked.filter}" (rule "{blocked.rule}") also blocks IPv6 neighbour discovery, so'
            " that what is permitted over IPv6 cannot work for long. Permit"
            ' "me <-> any icmpv6", or use profile linux, which never filters neighbour discovery.'
        )


def idle(policies: ActivePolicies) -> Iterator[str]:
    """Policies without a filter that counts."""
    for _, policy in policies:
        active = [rule for rule in policy.rules if rule.active]
        if any(rule.filter_list.filters for rule in active):
            continue
        why = "whose rules have no filters" if active else "none of whose rules is active"
        yield (
            f'Policy "{policy.name}", {why if policy.rules else "which has no rule"}, filters'
            " nothing: every packet passes it. Add what is missing, or unassign it."
        )


def strangers_only(asked: Questions, policies: ActivePolicies) -> Iterator[str]:
    """Policies whose filters are all about other hosts."""
    if not asked.settings.host.addresses:
        return  # nobody can tell yet
    for _, policy in policies:
        filters = [one for rule in policy.rules if rule.active for one in rule.filter_list.filters]
        if filters and not any(
            asked.concerns(one.source) or asked.concerns(one.destination) for one in filters
        ):
            yield (
                f'No filter of policy "{policy.name}" concerns an address of this host, so it'
                ' filters nothing here. Write "me" for the host\'s own address.'
            )


def negotiations(asked: Questions) -> Iterator[str]:
    """What becomes of clear packets where somebody else would have to negotiate (spec 1.2)."""
    effects: dict[str, list[str]] = {}
    for rule in asked.rules:
        if rule.action.inbound.negotiates or rule.action.outbound.negotiates:
            effect = {
                (True, True): "dropped",
                (False, True): "accepted in clear inbound and dropped outbound",
                (True, False): "dropped inbound and sent in clear",
                (False, False): "let through in clear both ways",
            }[blocks(rule, Direction.IN), blocks(rule, Direction.OUT)]
            effects.setdefault(effect, []).append(f'"{rule.name}"')
    for effect, names in effects.items():
        rules = "rule" if len(names) == 1 else "rules"
        yield (
            f"ipsecfd negotiates no security itself: what {rules} {listed(names)} would protect is"
            f" {effect}, unless the kernel's IPsec protects it (strongSwan and the like). Without"
            " that, use block or permit to say which you mean."
        )
