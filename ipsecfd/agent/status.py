"""The page of `ipsecfd status`: what the agent is and does, with all warnings.

It remembers the health of the queues from one look to the next.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Protocol

from ipsecfd import __version__
from ipsecfd.agent.advice import advice
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.counts import cache_report
from ipsecfd.agent.desk import domain_report, local_time, next_startup_mode
from ipsecfd.agent.events import Event
from ipsecfd.agent.health import QueueWatch
from ipsecfd.agent.policy_reports import policy_report
from ipsecfd.agent.report import (
    LogReport,
    QueueReport,
    ReasonCount,
    StatusReport,
    StoreReport,
    TrialReport,
)
from ipsecfd.agent.transfer import PacketReport
from ipsecfd.driver.modes import startup_name
from ipsecfd.kernel.queue_health import Health
from ipsecfd.policy.model import by_family


class LogState(Protocol):
    """What the diagnostic log says of itself, as `agent.diagnostics.Diagnostics` does."""

    path: Path
    problem: str | None
    lost_drops: int
    lost_events: int


class StatusPage:
    """Everything about an agent, when asked."""

    def __init__(
        self,
        agent: Agent,
        log: LogState,
        *,
        health: Callable[[int], Health | None],
        forwarding: Callable[[], bool],
    ) -> None:
        self._agent = agent
        self._log = log
        self._health = health
        self._forwarding = forwarding
        self._warnings: list[str] = []
        self._queues = {number: QueueWatch(number) for number in agent.config.queue.numbers}

    def warn(self, warning: str) -> None:
        """Show this warning in every status from now on."""
        self._warnings.append(warning)

    def watch(self) -> None:
        """Take a sample of the queues' health, and log what they lost; every few seconds."""
        for number, queue in self._queues.items():
            queue.note(self._health(number))
            lost = queue.take_lost(time.monotonic())
            if lost is not None:
                self._agent.event(
                    Event.FAILURE,
                    f"queue {number}: {lost}",
                    queue=number,
                    dropped_full=lost.full,
                    dropped_socket=lost.socket,
                )

    async def status(self, trial: TrialReport | None) -> StatusReport:
        """Everything about the agent; `trial` is the change that waits to be confirmed."""
        agent = self._agent
        config = agent.config
        reports = await agent.pool.reports()
        host = agent.host
        return StatusReport(
            release=__version__,
            pid=os.getpid(),
            since=local_time(agent.started),
            mode=str(agent.mode),
            mode_reason=agent.mode_reason,
            starting=agent.starting,
            trouble=agent.trouble,
            trial=trial,
            started_in=startup_name(agent.started_in) if agent.started_in else None,
            startup_mode=await asyncio.to_thread(next_startup_mode, agent),
            profile=config.profile,
            exempt=config.exempt_value,
            on_failure=config.on_failure,
            hook=agent.hook.kind,
            forward=config.forward,
            version=agent.policies.version,
            policies=[policy_report(one) for one in agent.policies.sources],
            stores=[
                StoreReport(one.store.name.lower(), one.policies, one.assigned)
                for one in agent.policies.held
            ],
            dynamic_rules=len(agent.places.dynamic.rules),
            domain=None if agent.domain is None else domain_report(agent.domain, agent.parts.now()),
            addresses=[str(one) for one in sorted(host.addresses, key=by_family)],
            servers={
                kind.value: [str(one) for one in sorted(found, key=by_family)]
                for kind, found in host.servers.items()
                if found
            },
            packets=[
                ReasonCount(verdict, reason, packets)
                for (verdict, reason), packets in agent.tally.by_reason().most_common()
            ],
            queues=[self._queue(number, reports.get(number)) for number in self._queues],
            restarts=agent.pool.restarts,
            cache=cache_report(agent),
            log=LogReport(
                str(self._log.path),
                config.diagnostics.level,
                config.diagnostics.interval,
                self._log.lost_drops,
                self._log.lost_events,
                self._log.problem,
            ),
            warnings=await self._all_warnings(reports.values()),
        )

    def _queue(self, number: int, report: PacketReport | None) -> QueueReport:
        health = self._health(number)
        return QueueReport(
            number=number,
            pid=report.pid if report else 0,
            memory=report.memory if report else 0,
            waiting=health.waiting if health else 0,
            dropped_full=health.dropped_full if health else 0,
            dropped_socket=health.dropped_socket if health else 0,
        )

    async def _all_warnings(self, reports: Iterable[PacketReport | None]) -> list[str]:
        agent = self._agent
        found = [*self._warnings, *agent.warnings.values(), *agent.pending]
        found += agent.policies.warnings
        found += await asyncio.to_thread(  # it looks at every filter
            advice,
            agent.policies.policies,
            agent.settings(agent.mode),
            forwarding=self._forwarding(),
            forward=agent.config.forward,
        )
        if agent.shadow is not None:
            found.append(
                f"the shadow policy {agent.shadow.path} judges every packet as well, and the kernel"
                " learns nothing: `ipsecfd shadow off` ends it"
            )
        for queue in self._queues.values():
            found += queue.warnings()
        for report in reports:
            if report is None:
                found.append("a packet process is down: the packets of its queue are not judged")
                continue
            if report.faults:
                found.append(
                    f"{report.faults:,} packets were dropped because judging them failed, which is"
                    " a defect of ipsecfd: please report it"
                )
            if report.refused_conversations:
                found.append(
                    "stateful mode has no room for more conversations: the answers to"
                    f" {report.refused_conversations:,} packets of this host are dropped"
                )
        if self._log.problem:
            found.append(f"{self._log.path}: cannot be written: {self._log.problem}")
        return found
