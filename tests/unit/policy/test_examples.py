"""The nine objects of a fresh Windows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecfd.policy.model import Action
from ipsecfd.policy.stores.content import (
    Behaviour,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.examples import PERMIT, restore_examples

NAMES = (
    ["Client (Respond Only)", "Server (Request Security)", "Secure Server (Require Security)"],
    ["All IP Traffic", "All ICMP Traffic"],
    ["Permit", "Request Security (Optional)", "Require Security"],
)


def names(draft: Draft) -> tuple[list[str], list[str], list[str]]:
    return (
        [one.name for one in draft.policies.values()],
        [one.name for one in draft.filter_lists.values()],
        [one.name for one in draft.filter_actions.values()],
    )


@pytest.fixture
def draft() -> Draft:
    draft = Draft()
    restore_examples(draft, 1_000_000_000)
    return draft


def test_the_nine_objects(draft: Draft) -> None:
    """Names and filters of spec 1.1; nothing is assigned."""
    assert names(draft) == NAMES
    filters = {one.name: list(map(str, one.filters)) for one in draft.filter_lists.values()}
    assert filters == {
        "All IP Traffic": ["me <-> any"],
        "All ICMP Traffic": ["me <-> any icmp"],
    }
    assert draft.assigned is None


@pytest.mark.parametrize(
    ("policy", "actions"),
    [
        ("Client (Respond Only)", []),
        ("Server (Request Security)", [Action.SOFT, Action.PERMIT]),
        ("Secure Server (Require Security)", [Action.INPASS, Action.PERMIT]),
    ],
)
def test_what_the_policies_do(draft: Draft, policy: str, actions: list[Action]) -> None:
    """As Windows has them; ICMP passes in both server policies."""
    draft.assign(policy)
    compiled = draft.content().assigned_policy()
    assert compiled is not None
    assert [rule.action.inbound for rule in compiled.rules] == actions


def test_everything_is_dated_and_has_windows_identities(draft: Draft) -> None:
    """`show` prints the date; the identities are the same on every computer."""
    assert draft.policy("client (respond only)").guid == "{72385236-70FA-11D1-864C-14A300000000}"
    dates = [
        *(one.modified for one in draft.policies.values()),
        *(rule.modified for one in draft.policies.values() for rule in one.rules),
        *(one.modified for one in draft.filter_lists.values()),
        *(one.modified for one in draft.filter_actions.values()),
    ]
    assert set(dates) == {1_000_000_000}


def test_restoring_again_resets_without_duplicates(draft: Draft) -> None:
    """Other objects, and what is assigned, stay; rules that use an example use the restored one."""
    fresh = draft.content()
    draft.assign("Server (Request Security)")
    draft.set_filter_action("permit", replace(PERMIT, name="PERMIT", behaviour=Behaviour.BLOCK))
    draft.set_filter_list("All IP Traffic", StoredList("all ip traffic"))
    draft.delete_rule("Server (Request Security)", "All IP Traffic")
    draft.delete_policy("Client (Respond Only)")
    draft.add_filter_action(StoredAction("Block", Behaviour.BLOCK))
    draft.add_policy(StoredPolicy("mine"))
    draft.add_rule("mine", StoredRule("r", "All IP Traffic", "Permit"))
    restore_examples(draft)
    content = draft.content()
    assert content.assigned == "server (request security)"
    assert {key: one for key, one in content.policies.items() if key != "mine"} == fresh.policies
    assert content.filter_lists == fresh.filter_lists
    assert len(content.filter_actions) == 4
    assert content.compiled(draft.policy("mine")).rules[0].action.inbound is Action.PERMIT
