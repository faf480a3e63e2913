"""Reports for administration commands: what they start from, the domain, netdiag's view."""

from __future__ import annotations

import datetime
from collections import Counter
from pathlib import Path

from ipsecfd.agent import dynamictext
from ipsecfd.agent.agent import Agent
from ipsecfd.agent.domain import Domain
from ipsecfd.agent.report import DeskReport, DomainReport, FileReport
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.modes import startup_name
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store, by_family
from ipsecfd.policy.netdiag import NetdiagPolicy, NetdiagView, shown_filters


def desk_report(agent: Agent, *, keys: bool) -> DeskReport:
    """The running side of a workspace; with `keys` False, without pre-shared keys.

    Takes a while for very many counts, so call it in a thread; they may grow meanwhile.
    """
    config = agent.config
    by_reason: Counter[tuple[str, str]] = Counter()
    by_way: Counter[tuple[str, Direction]] = Counter()
    for cause, row in dict(agent.tally.rows).items():
        by_reason[cause.verdict, cause.reason] += row.packets
        by_way[cause.verdict, cause.direction] += row.packets
    return DeskReport(
        state_dir=str(config.state_dir),
        profile=config.profile,
        addresses=[str(one) for one in sorted(agent.host.addresses, key=by_family)],
        level=config.diagnostics.level,
        interval=config.diagnostics.interval,
        exempt=config.exempt_value,
        boot_mode=startup_name(agent.startup_mode(config)),
        boot_exemptions=[str(one) for one in config.startup.exemptions],
        permitted_in=by_way["permit", Direction.IN],
        permitted_out=by_way["permit", Direction.OUT],
        blocked_in=by_way["block", Direction.IN],
        blocked_out=by_way["block", Direction.OUT],
        exempted=by_reason["permit", "exemption"],
        no_filter=by_reason["permit", "no-filter"],
        fragments_dropped=by_reason["block", "fragment"],
        revision=agent.dynamic_revision,
        dynamic=dynamictext.render(agent.places.dynamic, keys=keys),
        files=[
            FileReport(one.policy.name, str(Path(one.origin).absolute()))
            for one in agent.policies.sources
            if one.store is Store.LOCAL and one.origin != str(agent.parts.stores.path(Store.LOCAL))
        ],
    )


def next_startup_mode(agent: Agent) -> str:
    """The start-up mode of a start with what is configured and assigned now; reads files."""
    try:
        config = agent.parts.load_next_config()
    except IpsecfdError:
        config = agent.config  # the next start will fail; a reload tells why
    return startup_name(agent.startup_mode(config))


def domain_report(domain: Domain, now: datetime.datetime) -> DomainReport:
    """The domain policy and its source."""
    content = domain.content
    policy = None
    if content is not None and content.assigned is not None:
        policy = content.policies[content.assigned].name
    due = now + datetime.timedelta(seconds=domain.next_look)
    return DomainReport(
        source=domain.source,
        policy=policy,
        known=content is not None,
        copy=domain.from_copy,
        last_success=None if domain.last_success is None else local_time(domain.last_success),
        error=domain.error,
        next_look=local_time(due),
        etag=domain.etag,
    )


def netdiag_view(agent: Agent, debug: bool) -> NetdiagView:
    """What netdiag's test looks at; without `debug` no filters, which take a while."""
    sources = agent.policies.sources
    policies = [
        NetdiagPolicy(
            one.policy.name, one.guid, one.store, one.origin if one.store is Store.DOMAIN else ""
        )
        for one in sorted(sources, key=lambda one: one.store is Store.PERSISTENT)
        if one.store is not Store.DYNAMIC
    ]
    host = agent.host
    filters = shown_filters(
        agent.policies.policies,
        sorted(host.addresses, key=by_family),
        {kind: sorted(found, key=by_family) for kind, found in host.servers.items()},
        ipv6=agent.config.driver_profile.filters_ipv6,
    )
    return NetdiagView(True, tuple(policies), filters if debug else ())


def local_time(moment: datetime.datetime) -> str:
    """ISO 8601 with the local time zone."""
    return moment.astimezone().isoformat(timespec="seconds")
