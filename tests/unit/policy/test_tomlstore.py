"""Policies from a store to a policy file, and from TOML texts into a store."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import (
    Action,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    IPAddress,
    Me,
    Policy,
    Prefix,
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
from ipsecfd.policy.stores.errors import ExistsError, NotFoundError, StoreError
from ipsecfd.policy.stores.file import StoreFileError, render
from ipsecfd.policy.stores.policyfile import add_text, merge, policy_to_toml, toml_to_draft
from ipsecfd.policy.tomlfile import Loaded, parse_policy
from tests.builders import generic

WEB = generic("any <-> me:80 tcp")
ALL = generic("me <-> any")


def no_dns(name: str) -> list[IPAddress]:
    raise OSError(-2, "Name or service not known")


def loaded(text: str) -> Loaded:
    return parse_policy(text, "p.toml", Names(resolver=no_dns))


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


def test_what_a_policy_file_from_a_store_looks_like(draft: Draft) -> None:
    """As one writes it: a list that only its namesake rule uses stands in the rule, and the
    actions that every file has are not written again."""
    assert policy_to_toml(draft.content(), "PACKET FILTERS") == (
        """\
name = "Packet Filters"
description = "of the article"

[[rule]]
name = "web"
action = "Permit"
filters = [
  "any <-> me:80 tcp",
]

[[rule]]
name = "ask"
active = false
action = "Ask"
filter_list = "all"

[[rule]]
name = "block"
description = "the rest"
action = "block"
filter_list = "all"

[[filter_list]]
name = "all"
description = "everything"
filters = [
  "me <-> any",
]

[[filter_action]]
name = "Permit"
type = "permit"

[[filter_action]]
name = "Ask"
description = "asks"
type = "negotiate"
inpass = true
"""
    )


def test_the_driver_sees_no_difference(draft: Draft) -> None:
    """The file means the very policy that the store has assigned."""
    draft.assign("Packet Filters")
    content = draft.content()
    assert loaded(policy_to_toml(content, "Packet Filters")).policy == content.assigned_policy()


def test_an_unknown_policy_is_refused() -> None:
    """By name."""
    with pytest.raises(NotFoundError, match="no policy with the name 'mail'"):
        policy_to_toml(Content(), "mail")


def test_dns_names_become_their_addresses(draft: Draft) -> None:
    """So the file means the same tomorrow, without a network; the description tells the name."""
    www = DnsName(
        "www.example.com",
        (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")),
    )
    partner = Prefix.of(ipaddress.ip_network("198.51.100.0/24"))
    draft.add_filter("all", Filter(www, Me(), 0, 80, 6))
    draft.add_filter("all", Filter(www, partner, description="partner"))
    rules = loaded(policy_to_toml(draft.content(), "Packet Filters")).policy.rules
    assert [one.written for one in rules[1].filter_list.filters[1:]] == [
        "192.0.2.1 <-> me:80 tcp # www.example.com",
        "2001:db8::1 <-> me:80 tcp # www.example.com",
        "192.0.2.1 <-> 198.51.100.0/24 # partner",
    ]


def test_names_that_a_policy_file_refuses_are_altered() -> None:
    """Line ends, no name at all, and names that mean something else there."""
    draft = Draft()
    draft.add_filter_list(StoredList("a\nb", (WEB,)))
    draft.add_filter_list(StoredList("a b", (ALL,)))
    draft.add_filter_action(StoredAction("permit", Behaviour.BLOCK))
    draft.add_policy(StoredPolicy("p\tq", "lines\nmay stay"))
    draft.add_rule("p\tq", StoredRule("", "a\nb", "permit"))
    draft.add_rule("p\tq", StoredRule("", "a b", "permit"))
    policy = loaded(policy_to_toml(draft.content(), "p\tq")).policy
    assert policy.name == "p q"
    assert [
        (rule.name, rule.filter_list.name, rule.action.name, rule.action.inbound)
        for rule in policy.rules
    ] == [
        ("rule 1", "a b", "permit (2)", Action.BLOCK),
        ("rule 2", "a b (2)", "permit (2)", Action.BLOCK),
    ]


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
    stored = toml_to_draft(draft, loaded(FILE), 1_000_000_000)
    assert stored == draft.policy("packet filters")
    assert [(rule.name, rule.filter_list, rule.filter_action) for rule in stored.rules] == [
        ("Block everything", "Block everything", "block"),
        ("block everything (2)", "partners", "Ask"),
        ("rule 3", "partners", "negotiate"),
    ]
    assert draft.filter_list("Block everything").filters == (ALL,)
    assert draft.filter_action("Ask").action is Action.SOFT
    assert draft.assigned is None
    assert {one.modified for one in (stored, *stored.rules, draft.filter_list("partners"))} == {
        1_000_000_000
    }


def test_objects_that_are_there_are_used_if_they_are_the_same() -> None:
    """An import never changes what other policies do."""
    draft = Draft()
    draft.add_filter_list(StoredList("Partners", (WEB,)))
    draft.add_filter_list(StoredList("BLOCK EVERYTHING", (ALL,)))
    draft.add_filter_action(StoredAction("Block", Behaviour.BLOCK))
    draft.add_filter_action(StoredAction("ask", Behaviour.PERMIT))
    before = draft.content()
    stored = toml_to_draft(draft, loaded(FILE))
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
        toml_to_draft(draft, loaded(FILE))
    assert draft.content() == before


def test_actions_that_differ_by_direction_are_for_dynamic_rules_only() -> None:
    """No store of Windows can hold them (spec 8.3)."""
    action = FilterAction("half", Action.BLOCK, Action.PERMIT)
    policy = Policy("p", (Rule("r", FilterList("l", (ALL,)), action),))
    with pytest.raises(StoreError, match="'r' differs by direction"):
        toml_to_draft(Draft(), Loaded(policy))


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
