"""Warnings for a careful administrator: where the policies in force filter less than they seem to.

What becomes of a packet is asked of the driver, so that advice and verdicts cannot disagree.
"""

from __future__ import annotations

from ipsecfd.agent.advice.holes import (
    client_permits,
    groups,
    kerberos,
    unfiltered_ipv6,
    unjudged_forwarding,
    wide_ike,
)
from ipsecfd.agent.advice.promises import idle, negotiations, neighbours, strangers_only
from ipsecfd.agent.advice.questions import Questions
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.specific import ActivePolicies


def advice(
    policies: ActivePolicies, settings: Settings, *, forwarding: bool, forward: bool
) -> list[str]:
    """The warnings about these policies, each one or two sentences, the gravest first.

    `settings` holds the tables compiled from these very policies; its mode does not matter.
    `forwarding` is whether the kernel routes packets, `forward` whether those are judged.
    """
    asked = Questions(policies, settings)
    return [
        *kerberos(asked),
        *wide_ike(asked),
        *client_permits(asked),
        *unfiltered_ipv6(asked),
        *groups(asked),
        *unjudged_forwarding(asked, forwarding and not forward),
        *neighbours(asked),
        *idle(policies),
        *([] if forward else strangers_only(asked, policies)),
        *negotiations(asked),
    ]
