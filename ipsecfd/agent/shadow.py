"""A shadow policy: judges live traffic beside the policies in force, and decides nothing.

It is there until it is taken away or the service ends. What it would change is counted anew with
every other set of policies in force, since it is compared with those.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, NamedTuple

from ipsecfd.agent import garbage
from ipsecfd.agent.policies import PolicySet, tables
from ipsecfd.agent.tally import Cause
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.exemptions import Profile
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.shadow import Change, Compared, FlowKey
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.driver.table import Table
from ipsecfd.policy.model import Policy, Store

MOST_ROWS: Final = 10_000
"""Pairs of causes told apart; packets beyond are counted together."""
MOST_FLOWS: Final = 10_000
"""Flows told apart."""


class Turn(NamedTuple):
    """What decides now, and what would decide then; the verdicts differ."""

    now: Cause
    then: Cause


@dataclass(slots=True)
class Row:
    """Packets whose verdict would change for one pair of causes."""

    packets: int = 0
    flows: dict[FlowKey, int] = field(default_factory=dict)
    """Packets by flow, of those flows that are told apart."""


class Shadow:
    """A candidate, in place of the local or the domain policy beside what else is in force.

    Made by `of`; `number` tells one comparison from another, `now` is the time of day.
    """

    def __init__(
        self,
        path: Path,
        policy: Policy,
        profile: Profile,
        judged: tuple[Table, Table | None],
        store: Store,
        number: int,
        now: Callable[[], datetime.datetime],
    ) -> None:
        self.path = path
        self.policy = policy
        self.store = store
        """The store whose policy it stands in for."""
        self.since = now()
        """When this comparison began."""
        self.packets = 0
        """Packets that both decided about."""
        self.faults = 0
        """Packets that it failed to decide about, which is a defect."""
        self.untold = 0
        """Packets whose verdict would change, of pairs of causes that are not told apart."""
        self._profile = profile
        self._tables = judged
        self._number = number
        self._now = now
        self._rows: dict[Turn, Row] = {}
        self._flows = 0

    @classmethod
    async def of(
        cls,
        path: Path,
        policy: Policy,
        profile: Profile,
        in_force: PolicySet,
        now: Callable[[], datetime.datetime],
        before: Shadow | None = None,
    ) -> Shadow:
        """A candidate beside the policies in force, in place of a shadow `before`."""
        domain = any(one.store is Store.DOMAIN for one in in_force.sources)
        store = Store.DOMAIN if domain else Store.LOCAL
        policies = [one for one in in_force.policies if one[0] not in (Store.LOCAL, Store.DOMAIN)]
        judged = await asyncio.to_thread(_judged, [*policies, (store, policy)], profile)
        number = 1 if before is None else before._number + 1
        return cls(path, policy, profile, judged, store, number, now)

    async def following(self, in_force: PolicySet) -> Shadow:
        """The same candidate beside other policies; counts begin anew."""
        return await self.of(self.path, self.policy, self._profile, in_force, self._now, self)

    @property
    def rows(self) -> Mapping[Turn, Row]:
        """What would change."""
        return self._rows

    def beside(self, settings: Settings) -> Settings:
        """Settings with the candidate beside them; it is judged as in secure mode."""
        table, dialup_table = self._tables
        candidate = replace(
            settings, mode=Mode.SECURE, table=table, dialup_table=dialup_table, generation=0
        )
        return replace(settings, candidate=candidate, comparison=self._number)

    def add(self, found: Iterable[Compared]) -> None:
        """Add what packet processes found; what belongs to another comparison is left out."""
        for one in found:
            if one.number == self._number:
                self.packets += one.packets
                self.faults += one.faults
                for change in one.changes:
                    self._add(change)

    def _add(self, change: Change) -> None:
        now, then = (Cause.of(change.direction, one) for one in (change.now, change.then))
        row = self._rows.get(Turn(now, then))
        if row is None:
            if len(self._rows) >= MOST_ROWS:
                self.untold += change.packets
                return
            row = self._rows[Turn(now, then)] = Row()
        row.packets += change.packets
        for flow, packets in change.flows:
            if flow in row.flows:
                row.flows[flow] += packets
            elif self._flows < MOST_FLOWS:
                row.flows[flow] = packets
                self._flows += 1


def _judged(policies: ActivePolicies, profile: Profile) -> tuple[Table, Table | None]:
    with garbage.kept():
        return tables(policies, profile)
