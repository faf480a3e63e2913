"""The policies, filter lists and filter actions that a fresh Windows has (spec 1.1).

`netsh ipsec static restorepolicyexamples` makes them, or makes them again as they were.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from ipsecfd.policy.model import ICMP, AnyAddress, Filter, Me
from ipsecfd.policy.stores.content import (
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.policyfile import merge

_IDENTITY: Final = "{{723852{}-70FA-11D1-864C-14A300000000}}"
"""Windows has the same identities on every computer."""

ALL_TRAFFIC: Final = StoredList(
    "All IP Traffic",
    (Filter(Me(), AnyAddress()),),
    "All IP packets between this computer and any other, but for the exempt ones.",
    _IDENTITY.format("3A"),
)
ALL_ICMP: Final = StoredList(
    "All ICMP Traffic",
    (Filter(Me(), AnyAddress(), protocol=ICMP),),
    "All ICMP packets between this computer and any other.",
    _IDENTITY.format("35"),
)
PERMIT: Final = StoredAction(
    "Permit",
    Behaviour.PERMIT,
    description="Packets pass without IPsec.",
    guid=_IDENTITY.format("3B"),
)
REQUEST: Final = StoredAction(
    "Request Security (Optional)",
    inpass=True,
    soft=True,
    description="Asks for IPsec, and goes on without it when the other side has none.",
    guid=_IDENTITY.format("33"),
)
REQUIRE: Final = StoredAction(
    "Require Security",
    inpass=True,
    description="Packets without IPsec may come in, but answers and requests need it.",
    guid=_IDENTITY.format("3F"),
)


def _rules(all_traffic: StoredAction) -> tuple[StoredRule, ...]:
    return (
        StoredRule(ALL_TRAFFIC.name, ALL_TRAFFIC.name, all_traffic.name),
        StoredRule(ALL_ICMP.name, ALL_ICMP.name, PERMIT.name),
    )


CLIENT: Final = StoredPolicy(
    "Client (Respond Only)",
    "Uses IPsec only with servers that ask for it.",
    guid=_IDENTITY.format("36"),
)
SERVER: Final = StoredPolicy(
    "Server (Request Security)",
    "Always asks for IPsec, and goes on without it with clients that have none.",
    _rules(REQUEST),
    guid=_IDENTITY.format("30"),
)
SECURE_SERVER: Final = StoredPolicy(
    "Secure Server (Require Security)",
    "Always requires IPsec, but for ICMP.",
    _rules(REQUIRE),
    guid=_IDENTITY.format("3C"),
)


def restore_examples(draft: Draft, modified: int = 0) -> None:
    """Put the examples into a store, in the place of objects of the same names.

    An assigned policy stays assigned, and whatever else uses the lists and actions uses the
    restored ones. `modified` is in seconds since 1970.
    """
    policies = (
        replace(one, rules=tuple(replace(rule, modified=modified) for rule in one.rules))
        for one in (CLIENT, SERVER, SECURE_SERVER)
    )
    merge(
        draft,
        Content(
            {name_key(one.name): replace(one, modified=modified) for one in policies},
            {
                name_key(one.name): replace(one, modified=modified)
                for one in (ALL_TRAFFIC, ALL_ICMP)
            },
            {
                name_key(one.name): replace(one, modified=modified)
                for one in (PERMIT, REQUEST, REQUIRE)
            },
        ),
    )
