"""What a store's draft allows, and what it refuses without changing anything."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from ipsecfd.policy.model import Action
from ipsecfd.policy.stores.content import (
    Behaviour,
    Content,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import (
    ExistsError,
    InUseError,
    NotFoundError,
    ReadOnlyError,
)
from tests.builders import generic

HTTP, SSH, PING = (
    generic("any <-> me:80 tcp"),
    generic("any <-> me:22 tcp"),
    generic("any <-> me icmp"),
)


@pytest.fixture
def draft() -> Draft:
    """Policy `web` with a rule of list `http` and action `Permit`; policy `empty`."""
    draft = Draft()
    draft.add_filter_list(StoredList("http", (HTTP,)))
    draft.add_filter_action(StoredAction("Permit", Behaviour.PERMIT))
    draft.add_policy(StoredPolicy("web", rules=(StoredRule("let in", "http", "Permit"),)))
    draft.add_policy(StoredPolicy("empty"))
    return draft


def test_names_are_found_in_any_case_and_kept_as_written(draft: Draft) -> None:
    """Windows compares names without regard to case."""
    assert draft.policy("WEB").name == "web"
    assert draft.rule("Web", "Let In").name == "let in"
    assert (
        draft.has_policy("WEB"),
        draft.has_filter_list("HTTP"),
        draft.has_filter_action("permit"),
    ) == (True, True, True)
    assert draft.has_rule("WEB", "LET IN")


REFUSED: list[tuple[type[Exception], Callable[[Draft], object]]] = [
    (ExistsError, lambda draft: draft.add_policy(StoredPolicy("WEB"))),
    (ExistsError, lambda draft: draft.add_filter_list(StoredList("HTTP"))),
    (ExistsError, lambda draft: draft.add_filter_action(StoredAction("permit"))),
    (ExistsError, lambda draft: draft.add_rule("web", StoredRule("LET IN", "http", "Permit"))),
    (ExistsError, lambda draft: draft.add_filter("http", HTTP)),
    (ExistsError, lambda draft: draft.add_filter("http", replace(HTTP, description="again"))),
    (ExistsError, lambda draft: draft.set_policy("web", StoredPolicy("Empty"))),
    (
        ExistsError,
        lambda draft: draft.add_policy(
            StoredPolicy("twice", rules=(StoredRule("a", "http", "Permit"),) * 2)
        ),
    ),
    (NotFoundError, lambda draft: draft.add_rule("web", StoredRule("new", "ftp", "Permit"))),
    (NotFoundError, lambda draft: draft.add_rule("web", StoredRule("new", "http", "Block"))),
    (NotFoundError, lambda draft: draft.add_rule("mail", StoredRule("new", "http", "Permit"))),
    (NotFoundError, lambda draft: draft.add_filter("ftp", HTTP)),
    (NotFoundError, lambda draft: draft.delete_filter("ftp", HTTP)),
    (NotFoundError, lambda draft: draft.delete_filters("ftp", lambda one: True)),
    (NotFoundError, lambda draft: draft.delete_rule("web", "new")),
    (NotFoundError, lambda draft: draft.has_rule("mail", "new")),
    (NotFoundError, lambda draft: draft.set_policy("mail", StoredPolicy("mail"))),
    (NotFoundError, lambda draft: draft.delete_policy("mail")),
    (NotFoundError, lambda draft: draft.delete_filter_list("ftp")),
    (NotFoundError, lambda draft: draft.delete_filter_action("Block")),
    (NotFoundError, lambda draft: draft.assign("mail")),
    (InUseError, lambda draft: draft.delete_filter_list("http")),
    (InUseError, lambda draft: draft.delete_filter_action("Permit")),
]


@pytest.mark.parametrize(("error", "change"), REFUSED)
def test_what_is_refused_changes_nothing(
    draft: Draft, error: type[Exception], change: Callable[[Draft], object]
) -> None:
    """A change is made whole or not at all (T10 for objects in use)."""
    before = draft.content()
    with pytest.raises(error):
        change(draft)
    assert before == draft.content()


def test_a_refusal_names_the_using_rule(draft: Draft) -> None:
    """An administrator must know where to look."""
    wanted = "the filter list 'http' is used by the rule 'let in' of the policy 'web'"
    with pytest.raises(InUseError, match=wanted):
        draft.delete_filter_list("http")


def test_a_list_is_free_again_when_its_last_rule_goes(draft: Draft) -> None:
    """Whether the rule, its policy, or only the rule's choice of a list went."""
    draft.add_filter_list(StoredList("ssh", (SSH,)))
    draft.add_rule("empty", StoredRule("second", "http", "Permit"))
    draft.set_rule("web", "let in", StoredRule("let in", "ssh", "Permit"))
    with pytest.raises(InUseError):
        draft.delete_filter_list("http")
    draft.delete_rule("empty", "second")
    draft.delete_filter_list("http")
    draft.delete_policy("web")
    draft.delete_filter_list("ssh")
    draft.delete_filter_action("permit")
    assert Content() == Draft(replace(draft.content(), policies={})).content()


def test_rules_follow_a_renamed_list_and_action(draft: Draft) -> None:
    """And both are still in use under their new names."""
    draft.set_filter_list("http", StoredList("HTTP and more", (HTTP, SSH)))
    draft.set_filter_action("permit", StoredAction("Let in", Behaviour.PERMIT))
    rule = draft.rule("web", "let in")
    assert (rule.filter_list, rule.filter_action) == ("HTTP and more", "Let in")
    with pytest.raises(InUseError):
        draft.delete_filter_list("HTTP and more")
    with pytest.raises(InUseError):
        draft.delete_filter_action("Let in")


def test_a_renamed_object_keeps_its_place_and_a_renamed_policy_its_assignment(draft: Draft) -> None:
    """Renaming is no deletion."""
    draft.assign("web")
    draft.set_policy("web", replace(draft.policy("web"), name="www"))
    content = draft.content()
    assert (list(content.policies), content.assigned) == (["www", "empty"], "www")
    draft.add_rule("www", StoredRule("second", "http", "Permit"))
    draft.set_rule("www", "let in", StoredRule("First", "http", "Permit"))
    assert [rule.name for rule in draft.policy("www").rules] == ["First", "second"]


def test_assigning_a_policy_unassigns_the_other(draft: Draft) -> None:
    """At most one is assigned in a store (spec 1.1)."""
    draft.assign("web")
    draft.assign("EMPTY")
    assert draft.assigned == "empty"
    draft.unassign("web")
    assert draft.assigned == "empty"
    draft.delete_policy("empty")
    assert draft.assigned is None


def test_rules_without_a_name_are_told_apart_by_guid(draft: Draft) -> None:
    """Windows' own windows make rules without names, as many as one likes."""
    one, two = StoredRule("", "http", "Permit"), StoredRule("", "http", "Permit")
    draft.add_rule("empty", one)
    draft.add_rule("empty", two)
    assert two is draft.rule("empty", two.guid)
    draft.delete_rule("empty", one.guid)
    assert [two] == list(draft.policy("empty").rules)
    with pytest.raises(NotFoundError):
        draft.rule("empty", "")


def test_filters_are_added_and_deleted(draft: Draft) -> None:
    """Order stays, and what was deleted can be added again."""
    draft.add_filter("http", SSH)
    draft.add_filter("HTTP", PING)
    assert draft.filter_list("http").filters == (HTTP, SSH, PING)
    assert draft.delete_filters("http", lambda one: one.protocol == 6) == 2
    assert draft.delete_filters("http", lambda one: one.protocol == 6) == 0
    draft.add_filter("http", HTTP)
    assert draft.content().filter_lists["http"].filters == (PING, HTTP)
    assert draft.delete_filter("http", replace(PING, description="another"))
    assert not draft.delete_filter("http", PING)
    assert draft.filter_list("http").filters == (HTTP,)


def test_filters_that_a_list_holds_twice_are_deleted_together(draft: Draft) -> None:
    """A file written by hand may have them; both go, as on Windows, and others stay."""
    draft.add_filter_list(StoredList("twice", (SSH, HTTP, SSH, PING, SSH)))
    assert draft.delete_filter("twice", SSH)
    assert draft.filter_list("twice").filters == (HTTP, PING)
    draft.add_filter("twice", SSH)
    assert draft.content().filter_lists["twice"].filters == (HTTP, PING, SSH)


def test_content_is_a_value(draft: Draft) -> None:
    """Later changes to the draft leave alone what was taken from it, and the other way round."""
    before = draft.content()
    second = Draft(before)
    draft.add_filter("http", SSH)
    draft.add_rule("web", StoredRule("new", "http", "Permit"))
    draft.set_filter_action("permit", StoredAction("permit", Behaviour.BLOCK))
    draft.clear()
    assert Content() == draft.content()
    assert before == second.content()
    assert (
        before.filter_lists["http"].filters,
        len(before.policies["web"].rules),
    ) == ((HTTP,), 1)


def test_what_the_driver_gets(draft: Draft) -> None:
    """The assigned policy with its names resolved; nothing when none is assigned."""
    assert draft.content().assigned_policy() is None
    draft.assign("web")
    policy = draft.content().assigned_policy()
    assert policy is not None
    assert [rule.filter_list.filters for rule in policy.rules] == [(HTTP,)]
    assert Action.PERMIT is policy.rules[0].action.inbound


@pytest.mark.parametrize(
    ("stored", "action"),
    [
        (StoredAction("a", Behaviour.PERMIT, inpass=True), Action.PERMIT),
        (StoredAction("a", Behaviour.BLOCK, soft=True), Action.BLOCK),
        (StoredAction("a"), Action.NEGOTIATE),
        (StoredAction("a", inpass=True), Action.INPASS),
        (StoredAction("a", inpass=True, soft=True), Action.SOFT),
    ],
)
def test_inpass_and_soft_refine_negotiate_only(stored: StoredAction, action: Action) -> None:
    """What a filter action means to the driver (spec 1.2)."""
    assert action is stored.action


CHANGES: list[Callable[[Draft], object]] = [
    lambda draft: draft.add_policy(StoredPolicy("new")),
    lambda draft: draft.set_policy("web", StoredPolicy("www")),
    lambda draft: draft.delete_policy("web"),
    lambda draft: draft.assign("web"),
    lambda draft: draft.unassign(),
    lambda draft: draft.add_filter_list(StoredList("new")),
    lambda draft: draft.set_filter_list("http", StoredList("new")),
    lambda draft: draft.delete_filter_list("http"),
    lambda draft: draft.add_filter("http", SSH),
    lambda draft: draft.delete_filter("http", HTTP),
    lambda draft: draft.delete_filters("http", lambda one: True),
    lambda draft: draft.add_filter_action(StoredAction("new")),
    lambda draft: draft.set_filter_action("permit", StoredAction("new")),
    lambda draft: draft.delete_filter_action("permit"),
    lambda draft: draft.add_rule("web", StoredRule("new", "http", "Permit")),
    lambda draft: draft.set_rule("web", "let in", StoredRule("new", "http", "Permit")),
    lambda draft: draft.delete_rule("web", "let in"),
    lambda draft: draft.clear(),
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_read_only_draft_refuses_every_change(
    draft: Draft, change: Callable[[Draft], object]
) -> None:
    """It says why, and can be looked at as any other."""
    copy = Draft(draft.content(), read_only="it is a copy")
    with pytest.raises(ReadOnlyError, match="it is a copy"):
        change(copy)
    assert copy.content() == draft.content()


def test_every_change_is_among_those() -> None:
    """So that none which is added can be kept where nothing may be."""
    names = {name for change in CHANGES for name in change.__code__.co_names}
    prefixes = ("add_", "set_", "delete_", "assign", "unassign", "clear")
    assert {
        name
        for name, found in vars(Draft).items()
        if name.startswith(prefixes) and not isinstance(found, property)
    } <= names


def test_a_filter_that_a_file_holds_twice_stays_twice(draft: Draft) -> None:
    """A change of a list made by hand loses nothing of it."""
    draft.set_filter_list("http", StoredList("http", (HTTP, replace(HTTP, description="again"))))
    draft.add_filter("http", SSH)
    assert len(draft.filter_list("http").filters) == 3


def test_ten_thousand_changes_cost_little() -> None:
    """No change looks at all that is there: 30,000 changes end in seconds, not minutes."""
    draft = Draft()
    draft.add_filter_action(StoredAction("Permit"))
    draft.add_policy(StoredPolicy("web"))
    draft.add_filter_list(StoredList("many"))
    for number in range(10_000):
        draft.add_filter_list(StoredList(f"list {number}"))
        draft.add_rule("web", StoredRule(f"rule {number}", f"list {number}", "Permit"))
        draft.add_filter("many", replace(HTTP, source_port=number + 1))
    content = draft.content()
    assert (
        len(content.policies["web"].rules),
        len(content.filter_lists["many"].filters),
    ) == (10_000, 10_000)
