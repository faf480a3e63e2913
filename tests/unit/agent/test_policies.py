"""The policies in force: read whole, compiled, counted."""

from __future__ import annotations

from dataclasses import replace

from ipsecfd.agent.policies import MAX_WARNINGS, PolicySet, compiled
from ipsecfd.agent.sources import Found, Gathered
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.policy.mistakes import Mistake
from ipsecfd.policy.model import Connection, Policy, Store
from tests.builders import policy
from tests.unit.agent.stage import NOW

WEB = policy("permit any <-> me:80 tcp", "block me <-> any")


def taken(
    found: Policy, previous: PolicySet | None = None, warnings: tuple[Mistake, ...] = ()
) -> PolicySet:
    """The set with this one policy."""
    one = Found(Store.LOCAL, "/etc/ipsecfd/web", found, "{}", tuple(map(str, warnings)))
    return compiled(
        Gathered((one,), ()),
        PROFILES["linux"],
        7,
        previous=previous or PolicySet(),
        now=NOW,
    )


def test_version_is_in_the_table() -> None:
    """Drop records name the version of the table that decided."""
    found = taken(WEB)
    assert (found.version, found.table.version, found.filters) == (7, 7, 2)


def test_dialup_has_a_table_only_where_rules_ask_for_it() -> None:
    """Rules for one kind of interface need two tables; others share one."""
    assert taken(WEB).dialup_table is None
    first, second = WEB.rules
    lan = replace(WEB, rules=(replace(first, connection=Connection.LAN), second))
    assert taken(lan).dialup_table is not None
    inactive = replace(WEB, rules=(replace(lan.rules[0], active=False), second))
    assert (taken(inactive).dialup_table, taken(inactive).filters) == (None, 1)


def test_unchanged_policy_keeps_its_time() -> None:
    """`since` says when this text came into force, not when it was last read."""
    first = taken(WEB)
    aged = replace(first, sources=(replace(first.sources[0], since=NOW.replace(year=2020)),))
    assert taken(WEB, aged).sources[0].since.year == 2020
    assert taken(replace(WEB, name="other"), aged).sources[0].since == NOW


def test_thousands_of_warnings_are_told_as_a_number() -> None:
    """The first few, and how many more there are."""
    warnings = tuple(Mistake("web", f"rule[{number}]", "", "odd") for number in range(1, 2000))
    found = taken(WEB, warnings=warnings).warnings
    assert found[0] == "web: rule[1]: odd"
    assert len(found) == MAX_WARNINGS + 1
    assert found[-1].startswith("1,989 more")
