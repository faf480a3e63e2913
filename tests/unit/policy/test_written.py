"""Filters as written: which were added, which removed."""

from __future__ import annotations

from ipsecfd.policy.model import Connection, Rule
from ipsecfd.policy.written import removed, written_filters
from tests.builders import policy, rule


def gone(before: list[Rule], after: list[Rule]) -> list[str]:
    """The filters that are not there any more, with rule and action."""
    found = removed(*(list(written_filters([policy(*rules)])) for rules in (before, after)))
    return [f"{one.rule}: {one.action.words} {one.filter.written}" for one in found]


def one(*filters: str, action: str = "permit", name: str = "r", **more: object) -> Rule:
    return rule(action, *filters, name=name, **more)  # type: ignore[arg-type]


def test_the_same_in_another_order() -> None:
    """Order and wording mean nothing."""
    before = [one("any <-> me:80 tcp", "any <-> me:81 tcp"), one("me <-> any", name="s")]
    after = [one("me  <-> any", name="s"), one("any <-> me:81 tcp", "any <-> me:80 tcp")]
    assert gone(before, after) == []


def test_each_once() -> None:
    """One of two equal filters is one that was removed."""
    twice = [one("any <-> me:80 tcp", "any <-> me:80 tcp")]
    assert gone(twice, [one("any <-> me:80 tcp")]) == ["r: permit any <-> me:80 tcp"]
    assert gone([one("any <-> me:80 tcp")], twice) == []


def test_rule_action_and_interfaces_count() -> None:
    """A filter under another rule, with another action or for other interfaces is another one."""
    before = [one("me <-> any")]
    for after in (
        one("me <-> any", name="s"),
        one("me <-> any", action="block"),
        one("me <-> any", action="permit/block"),
        one("me <-> any", connection=Connection.LAN),
        one("me -> any"),
    ):
        assert gone(before, [after]) == ["r: permit me <-> any"]
    assert gone([one("me <-> any", action="permit/block")], []) == [
        "r: permit in, block out me <-> any"
    ]


def test_inactive_rules_have_no_filters() -> None:
    """Switching a rule off removes its filters."""
    assert gone([one("me <-> any")], [one("me <-> any", active=False)]) == ["r: permit me <-> any"]
