"""TOML texts into a store: a store of its own, or a policy file."""

from __future__ import annotations

import pytest

from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import (
    Action,
    FilterAction,
    FilterList,
    IPAddress,
    Policy,
    Rule,
)
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores.content import (
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import ExistsError, StoreError
from ipsecfd.policy.stores.file import StoreFileError, render
from ipsecfd.policy.stores.policyfile import add_text, merge, policy_to_draft
from ipsecfd.policy.tomlfile import parse_policy
from tests.builders import generic

WEB = generic("any <-> me:80 tcp")
ALL = generic("me <-> any")


def no_dns(name: str) -> list[IPAddress]:
    raise OSError(-2, "Name or service not known")


def parsed(text: str) -> Policy:
    return parse_policy(text, "p.toml", Names(resolver=no_dns)).policy


@pytest.fixture
def draft() -> Draft:
    draft = Draft()
    draft.add_filter_list(StoredList("all", (ALL,), "everything"))
    draft.add_filter_list(StoredList("web", (WEB,)))
    draft.add_filter_action(StoredAction("Permit", Behaviour.PERMIT, soft=True))
    draft.add_filter_action(StoredAction("Ask", inpass=True, description="asks"))
    draft.add_filter_action(StoredAction("block", Behaviour.BLOCK))
    draft.add_policy(StoredPolicy("Packet Filters", "of the article"))
    draft.add_rule("Packet Filters", StoredRule("web", "WEB", "permit"))
    draft.add_rule("Packet Filters", StoredRule("ask", "all", "ask", active=False))
    draft.add_rule("Packet Filters", StoredRule("block", "all", "block", "the rest"))
    return draft


FILE = """
name = "Packet Filters"
[[rule]]
name = "Block everything"
action = "block"
filters = ["me <-> any", "me <-> any"]
[[rule]]
name = "block everything"
action = "Ask"
filter_list = "partners"
connection = "lan"
[[rule]]
action = "negotiate"
filter_list = "partners"
active = false
description = "later"
[[filter_list]]
name = "partners"
filters = ["198.51.100.7 <-> me"]
[[filter_action]]
name = "Ask"
type = "negotiate"
soft = true
"""


def test_a_policy_file_becomes_objects_of_the_store() -> None:
    """Filters that stand in a rule become a list of its name; shared ones stay shared; names of
    rules are made different, and equal filters are put in once."""
    draft = Draft()
    stored = policy_to_draft(draft, parsed(FILE), 1_000_000_000)
    assert stored == draft.policy("packet filters")
    assert [(rule.name, rule.filter_list, rule.filter_action) for rule in stored.rules] == [
        ("Block everything", "Block everything", "block"),
        ("block everything (2)", "partners", "Ask"),
        ("rule 3", "partners", "negotiate"),
    ]
    assert draft.filter_list("Block everything").filters == (ALL,)
    assert draft.filter_action("Ask").action is Action.SOFT
    assert draft.assigned is None
    moments = [stored.modified, *(rule.modified for rule in stored.rules)]
    assert {*moments, draft.filter_list("partners").modified} == {1_000_000_000}


def test_objects_that_are_there_are_used_if_they_are_the_same() -> None:
    """An import never changes what other policies do."""
    draft = Draft()
    draft.add_filter_list(StoredList("Partners", (WEB,)))
    draft.add_filter_list(StoredList("BLOCK EVERYTHING", (ALL,)))
    draft.add_filter_action(StoredAction("Block", Behaviour.BLOCK))
    draft.add_filter_action(StoredAction("ask", Behaviour.PERMIT))
    before = draft.content()
    stored = policy_to_draft(draft, parsed(FILE))
    compiled = draft.content().compiled(stored)
    assert [rule.filter_list.name for rule in compiled.rules] == [
        "BLOCK EVERYTHING",
        "partners (2)",
        "partners (2)",
    ]
    assert [rule.action.name for rule in compiled.rules] == ["Block", "Ask (2)", "negotiate"]
    assert draft.filter_list("partners") == before.filter_lists["partners"]


def test_a_policy_of_that_name_is_not_replaced(draft: Draft) -> None:
    """It is refused, and nothing is changed."""
    before = draft.content()
    with pytest.raises(ExistsError, match="Packet Filters"):
        policy_to_draft(draft, parsed(FILE))
    assert draft.content() == before


def test_actions_that_differ_by_direction_are_for_dynamic_rules_only() -> None:
    """No store of Windows can hold them (spec 8.3)."""
    action = FilterAction("half", Action.BLOCK, Action.PERMIT)
    policy = Policy("p", (Rule("r", FilterList("l", (ALL,)), action),))
    with pytest.raises(StoreError, match="'r' differs by direction"):
        policy_to_draft(Draft(), policy)


def test_merging_a_store_replaces_objects_of_the_same_name(draft: Draft) -> None:
    """Others stay; what is assigned changes only when it is asked for."""
    other = Draft()
    other.add_filter_list(StoredList("ALL", (WEB,)))
    other.add_filter_action(StoredAction("PERMIT", Behaviour.BLOCK))
    other.add_policy(StoredPolicy("PACKET filters"))
    other.add_policy(StoredPolicy("new"))
    other.add_rule("new", StoredRule("r", "all", "permit"))
    other.assign("new")
    draft.assign("Packet Filters")
    merge(draft, other.content())
    assert draft.assigned == "packet filters"
    assert [one.name for one in draft.policies.values()] == ["PACKET filters", "new"]
    assert [one.name for one in draft.filter_lists.values()] == ["ALL", "web"]
    assert draft.policy("packet filters").rules == ()
    merge(draft, other.content(), assign=True)
    assert draft.assigned == "new"


def test_a_text_of_either_kind_is_added() -> None:
    """A store's file and a policy file are told apart by content."""
    draft, names = Draft(), Names(resolver=no_dns)
    add_text(draft, FILE, "p.toml", names, assign=True)
    assert draft.assigned == "packet filters"
    again = Draft()
    add_text(again, render(draft.content()), "local.toml", names, assign=True)
    assert again.content() == draft.content()


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("version = 1\nassigned = 'p'", StoreFileError),
        ('name = "p"\nrules = 1', PolicyError),
        ("anything", PolicyError),
    ],
)
def test_a_text_with_mistakes_adds_nothing(text: str, error: type[Exception]) -> None:
    """Nothing half-valid gets into a store."""
    draft = Draft()
    with pytest.raises(error, match=r"^x\.toml: "):
        add_text(draft, text, "x.toml", Names(resolver=no_dns))
    assert draft.content() == Content()
