"""The policies in force: compiled and counted, before the agent puts them to use."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ipsecfd.agent.sources import Found, Gathered, Held, Load
from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.exemptions import Profile
from ipsecfd.driver.specific import ActivePolicies, specific_filters
from ipsecfd.driver.table import Table
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.mistakes import Mistake
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.names import names_of
from ipsecfd.policy.tomlfile import Loaded

MAX_WARNINGS: Final = 10
"""Warnings about policy files that are told one by one."""


@dataclass(frozen=True, slots=True)
class Source:
    """A policy with the place it came from."""

    store: Store
    origin: str
    """File or URL."""
    policy: Policy
    guid: str
    since: datetime.datetime
    warnings: tuple[str, ...] = ()
    """What is probably not meant in its file."""

    @property
    def filters(self) -> int:
        """Filters of active rules, as written."""
        return count_filters(self.policy)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies in force at one time, and the tables made of them."""

    sources: tuple[Source, ...] = ()
    version: int = 0
    table: Table = field(default_factory=lambda: Table({}))
    dialup_table: Table | None = None
    held: tuple[Held, ...] = ()
    """The stores as they were read for this."""

    @property
    def policies(self) -> list[tuple[Store, Policy]]:
        """The policies as the driver's compiler takes them."""
        return [(source.store, source.policy) for source in self.sources]

    @property
    def filters(self) -> int:
        """Filters of active rules of all policies, as written."""
        return sum(source.filters for source in self.sources)

    @property
    def was_assigned(self) -> bool:
        """Whether any of them was assigned, as dynamic rules are not (spec 6.1)."""
        return any(source.store is not Store.DYNAMIC for source in self.sources)

    @property
    def dns_names(self) -> list[str]:
        """The DNS names that filters use."""
        return sorted({name for source in self.sources for name in names_of(source.policy)})

    @property
    def warnings(self) -> list[str]:
        """What is probably not meant in the files; the first of it where it is very much."""
        found = [warning for source in self.sources for warning in source.warnings]
        left = len(found) - MAX_WARNINGS
        return found if left <= 0 else [*found[:MAX_WARNINGS], f"{left:,} more: `ipsecfd check`"]

    def __str__(self) -> str:
        """The policies' names, for messages."""
        return ", ".join(f'"{source.policy.name}"' for source in self.sources) or "no policy"


class Remembering:
    """Reads policy files; one that has mistakes by now is what it was when it was put in force.

    For changes that have nothing to do with it: they are not refused because of it.
    """

    def __init__(self, load: Load, in_force: PolicySet) -> None:
        self.notes: list[str] = []
        """What was wrong with files, and that they are what they were."""
        self._load = load
        self._known = {one.origin: one.policy for one in in_force.sources}

    def __call__(self, path: Path) -> Loaded:
        """The policy of a file. Raises IpsecfdError when it has mistakes and never was in force."""
        try:
            return self._load(path)
        except IpsecfdError as error:
            known = self._known.get(str(path))
            if known is None:
                raise
            why = str(error).removeprefix(f"{path}: ").replace("\n", "; ")
            what = f"cannot be read again, and what it held before stays in force: {why}"
            warning = Mistake(str(path), "", "", what)
            self.notes.append(str(warning))
            return Loaded(known, (warning,))


def count_filters(policy: Policy) -> int:
    """Filters of active rules, as written."""
    return sum(len(rule.filter_list.filters) for rule in policy.rules if rule.active)


def compiled(
    gathered: Gathered,
    profile: Profile,
    version: int,
    *,
    previous: PolicySet,
    now: datetime.datetime,
) -> PolicySet:
    """What is to be in force; a policy that did not change keeps the time since when it is.

    Takes seconds for 100,000 filters, so call it in a thread.
    """

    def source(one: Found) -> Source:
        same = (
            old.since
            for old in previous.sources
            if (old.store, old.origin) == (one.store, one.origin) and old.policy == one.policy
        )
        since = next(same, now)
        return Source(one.store, one.origin, one.policy, one.guid, since, one.warnings)

    policies = [(one.store, one.policy) for one in gathered.found]
    lan, dialup = tables(policies, profile, version)
    return PolicySet(tuple(map(source, gathered.found)), version, lan, dialup, gathered.held)


def tables(
    policies: ActivePolicies, profile: Profile, version: int = 0
) -> tuple[Table, Table | None]:
    """What the driver asks; a table of its own for dial-up interfaces where rules tell them apart
    (spec 1.4)."""
    ipv6 = profile.filters_ipv6
    lan = compile_table(specific_filters(policies, ipv6=ipv6, dialup=False), version)
    if not any(policy.by_interface for _, policy in policies):
        return lan, None
    return lan, compile_table(specific_filters(policies, ipv6=ipv6, dialup=True), version)
