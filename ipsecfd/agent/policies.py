"""The policies in force: read, compiled and counted, before the agent puts them to use."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ipsecfd.driver.compile import compile_table, specific_filters
from ipsecfd.driver.exemptions import Profile
from ipsecfd.driver.table import Table
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Connection, Policy, Store
from ipsecfd.policy.names import names_of
from ipsecfd.policy.tomlfile import Loaded

MAX_WARNINGS: Final = 10
"""Warnings about policy files that are told one by one."""

Load = Callable[[Path], Loaded]
"""Reads a policy file whole; raises IpsecfdError with a line for each mistake."""


@dataclass(frozen=True, slots=True)
class Source:
    """A policy with the place it came from."""

    store: Store
    path: Path
    policy: Policy
    since: datetime.datetime
    warnings: tuple[str, ...] = ()
    """What is probably not meant in its file."""

    @property
    def filters(self) -> int:
        """Filters of active rules, as written."""
        return sum(len(rule.filter_list.filters) for rule in self.policy.rules if rule.active)


@dataclass(frozen=True, slots=True)
class PolicySet:
    """All policies in force at one time, and the tables made of them."""

    sources: tuple[Source, ...] = ()
    version: int = 0
    table: Table = field(default_factory=lambda: Table({}))
    dialup_table: Table | None = None

    @property
    def policies(self) -> list[tuple[Store, Policy]]:
        """The policies as the driver's compiler takes them."""
        return [(source.store, source.policy) for source in self.sources]

    @property
    def filters(self) -> int:
        """Filters of active rules of all policies, as written."""
        return sum(source.filters for source in self.sources)

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


def read(
    paths: Sequence[Path],
    load: Load,
    profile: Profile,
    version: int,
    *,
    previous: PolicySet,
    now: datetime.datetime,
) -> PolicySet:
    """Read and compile policy files as the local store; a policy that did not change keeps the
    time since when it is in force.

    Takes a second for 10,000 filters, so call it in a thread. Raises IpsecfdError with the
    mistakes of all files; nothing half-valid comes out.
    """
    known = {(source.path, source.policy): source.since for source in previous.sources}
    sources: list[Source] = []
    mistakes: list[str] = []
    for path in paths:
        try:
            loaded = load(path)
        except IpsecfdError as error:
            mistakes.append(str(error))
        else:
            policy = loaded.policy
            since = known.get((path, policy), now)
            warnings = tuple(str(warning) for warning in loaded.warnings)
            sources.append(Source(Store.LOCAL, path, policy, since, warnings))
    if mistakes:
        raise IpsecfdError("\n".join(mistakes))
    return _compile(tuple(sources), profile, version)


def _compile(sources: tuple[Source, ...], profile: Profile, version: int) -> PolicySet:
    policies = [(source.store, source.policy) for source in sources]
    by_interface = any(
        rule.active and rule.connection is not Connection.ALL
        for _, policy in policies
        for rule in policy.rules
    )
    lan, dialup = (
        compile_table(specific_filters(policies, ipv6=profile.filters_ipv6, dialup=kind), version)
        if by_interface or not kind
        else None
        for kind in (False, True)
    )
    assert lan is not None
    return PolicySet(sources, version, lan, dialup)
