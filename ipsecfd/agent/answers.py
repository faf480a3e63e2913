"""The agent's answers to the control socket: its own words turned into reports."""

from __future__ import annotations

import asyncio
from pathlib import Path

from ipsecfd.agent import shadowing
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.assigning import Choice
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.counts import filter_page, stats_report, why_off
from ipsecfd.agent.desk import desk_report, domain_report, netdiag_view
from ipsecfd.agent.domain_updates import NO_DOMAIN
from ipsecfd.agent.flow_list import MOST, FlowChoice, flow_list
from ipsecfd.agent.foresight import foresee
from ipsecfd.agent.packet_reports import FilterPage, FlowList, ShadowReport, StatsReport
from ipsecfd.agent.policy_reports import policy_report, rule_reports, stored_report
from ipsecfd.agent.report import (
    DeskReport,
    DomainReport,
    ExactPolicy,
    Foresight,
    InForce,
    PolicyReport,
    PolicyText,
    StatusReport,
    TrialReport,
)
from ipsecfd.agent.status import StatusPage
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import exact
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.names import Renewal
from ipsecfd.policy.netdiag import netdiag
from ipsecfd.policy.stores.content import name_key


class Answers:
    """Answers questions about an agent, and passes on what it is told to do."""

    def __init__(self, agent: Agent, changes: Changes, page: StatusPage) -> None:
        self._agent = agent
        self._changes = changes
        self._page = page

    def mode(self) -> str:
        """The mode's name; "starting" as long as what was there before holds."""
        agent = self._agent
        if agent.starting and agent.started_in is None:
            return "starting"
        return str(agent.mode)

    async def set_mode(self, *, mode: str, confirm: int | None) -> None:
        """Change the mode."""
        await self._changes.set_mode(mode, confirm)

    async def reload(self) -> list[str]:
        """Read configuration and policies again."""
        return await self._changes.reload()

    async def assign_file(self, *, file: str, confirm: int | None) -> list[str]:
        """Make a file the local policy."""
        return await self._changes.assign_file(_absolute(file), confirm)

    async def assign(self, *, name: str, confirm: int | None) -> list[str]:
        """Assign a policy of the local store."""
        return await self._changes.assign(name, confirm)

    async def unassign(self, *, name: str | None, confirm: int | None) -> list[str]:
        """Take the local policy away."""
        return await self._changes.unassign(name, confirm)

    async def foresee(
        self, *, file: str | None, name: str | None, mode: str | None, session: str
    ) -> Foresight:
        """Which connections a change would cut."""
        path = None if file is None else _absolute(file)
        choice = Choice(path, name)
        return await foresee(self._agent, self._changes, choice, mode=mode, session=session)

    def trial(self) -> TrialReport | None:
        """The change that waits to be confirmed."""
        trials = self._changes.trials
        one = trials.pending
        return None if one is None else TrialReport(one.what, one.seconds, trials.left)

    async def confirm(self) -> str:
        """Keep the change that is on trial."""
        return await self._changes.trials.confirm()

    async def rollback(self) -> str:
        """Take the change back that is on trial."""
        return await self._changes.trials.rollback("rolled back")

    def in_force(self) -> InForce:
        """The policies in force, exactly."""
        agent = self._agent
        policies = [
            ExactPolicy(one.store.name.lower(), exact.render(one.policy))
            for one in agent.policies.sources
        ]
        config, profile = agent.config, agent.config.driver_profile
        return InForce(
            profile=config.profile,
            exempt=config.exempt_value,
            natt_exempt=profile.natt_exempt,
            inbound_mcast_exempt=profile.inbound_group_exempt,
            forward=config.forward,
            dialup_interfaces=list(config.dialup_interfaces),
            boot_exemptions=[str(one) for one in config.startup.exemptions],
            policies=policies,
        )

    async def resolve(self) -> list[str]:
        """Resolve DNS names anew."""
        renewals = await self._changes.resolve()
        return [_renewed(one) for one in renewals] or ["no policy in force uses a DNS name"]

    async def list_policies(self) -> list[PolicyReport]:
        """The policies in force, then those of the local store that are not."""
        stored = await self._stored()
        in_force = [policy_report(one) for one in self._agent.policies.sources]
        return in_force + [stored_report(self._store_file, one) for one in stored]

    async def show_policy(self, *, name: str | None) -> list[PolicyText]:
        """Policies, whole: all in force, or those of a name."""
        sources = self._agent.policies.sources
        if name is None:
            return [PolicyText(policy_report(one), rule_reports(one.policy)) for one in sources]
        key = name_key(name)
        found = [one for one in sources if name_key(one.policy.name) == key]
        if found:
            return [PolicyText(policy_report(one), rule_reports(one.policy)) for one in found]
        stored = await self._stored()
        texts = [
            PolicyText(stored_report(self._store_file, one), rule_reports(one))
            for one in stored
            if name_key(one.name) == key
        ]
        if not texts:
            raise IpsecfdError(
                f'no policy named "{name}" is in force, or in the local store; in force:'
                f" {self._agent.policies}"
            )
        return texts

    async def _stored(self) -> list[Policy]:
        """The policies of the local store that are not in force."""
        try:
            content = await asyncio.to_thread(self._agent.parts.stores.read, Store.LOCAL)
        except IpsecfdError:
            async with self._agent.lock:
                await self._changes.look_again()
            raise
        in_force = {one.guid for one in self._agent.policies.sources}
        return [
            content.compiled(one) for one in content.policies.values() if one.guid not in in_force
        ]

    @property
    def _store_file(self) -> str:
        return str(self._agent.parts.stores.path(Store.LOCAL))

    def state_dir(self) -> str:
        """Where the stores are."""
        return str(self._agent.config.state_dir)

    async def desk(self, *, keys: bool) -> DeskReport:
        """What administration commands start from, with the pre-shared keys or without."""
        await self._agent.count()
        return await asyncio.to_thread(lambda: desk_report(self._agent, keys=keys))

    async def set_dynamic(self, *, revision: int, dynamic: str) -> list[str]:
        """Put other dynamic rules in place of those of this revision."""
        return await self._changes.set_dynamic(revision, dynamic)

    async def take_stores(self) -> list[str]:
        """Read the stores again, which a command has changed."""
        return await self._changes.take_stores()

    def domain(self) -> DomainReport:
        """The domain policy and its source."""
        domain = self._agent.domain
        if domain is None:
            raise IpsecfdError(NO_DOMAIN)
        return domain_report(domain, self._agent.parts.now())

    async def refresh_domain(self) -> str:
        """Fetch the domain policy."""
        return await self._changes.domain.look()

    async def netdiag(self, *, debug: bool) -> str:
        """The text of netdiag's test."""
        return await asyncio.to_thread(lambda: netdiag(netdiag_view(self._agent, debug), debug))

    async def stats(self) -> StatsReport:
        """How often each decision was made since the service started."""
        await self._agent.count()
        return await asyncio.to_thread(stats_report, self._agent)

    async def filter_stats(self, *, every: bool, first: int) -> FilterPage:
        """How often each filter decided, from the one at place `first` on."""
        if first == 0:
            await self._agent.count()
        return await asyncio.to_thread(filter_page, self._agent, every=every, first=first)

    async def list_flows(
        self,
        *,
        address: str | None,
        port: int | None,
        rule: str | None,
        direction: str | None,
        most: int,
    ) -> FlowList:
        """What the kernel has learnt."""
        if not 0 < most <= MOST:
            raise IpsecfdError(f"{most} flows: expected 1 to {MOST}")
        choice = FlowChoice.of(address, port, rule, direction)
        found = await self._agent.hook.flows(choice, most)
        return flow_list(found, why_off(self._agent))

    async def start_shadow(self, *, file: str) -> list[str]:
        """Have a file's policy judge beside those in force."""
        return await shadowing.start(self._agent, _absolute(file))

    async def shadow(self, *, most: int, flows: int) -> ShadowReport:
        """What the shadow policy would change."""
        return await shadowing.report(self._agent, most=most, flows=flows)

    async def stop_shadow(self) -> None:
        """Take the shadow policy away."""
        await shadowing.stop(self._agent)

    async def status(self) -> StatusReport:
        """Everything about the agent."""
        return await self._page.status(self.trial())


def _absolute(file: str) -> Path:
    path = Path(file)
    if not path.is_absolute():
        raise IpsecfdError(f"{file!r}: expected an absolute path")
    return path


def _renewed(one: Renewal) -> str:
    before, after = (", ".join(map(str, found)) for found in (one.before, one.after))
    if one.failure:
        return f"{one.name}: no answer ({one.failure}); still {before}"
    return f"{one.name}: {after}" + ("" if one.before == one.after else f" (was {before})")
