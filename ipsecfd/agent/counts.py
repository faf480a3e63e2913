"""Counts as reports: by cause, by filter, and what the kernel decided by itself."""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Mapping
from itertools import islice
from typing import Final

from ipsecfd.agent.agent import Agent
from ipsecfd.agent.desk import local_time
from ipsecfd.agent.packet_reports import (
    CacheReport,
    Count,
    FilterCount,
    FilterPage,
    StatsReport,
    UnreportedReport,
)
from ipsecfd.agent.policies import PolicySet
from ipsecfd.agent.tally import Cause, Row
from ipsecfd.errors import IpsecfdError

PAGE: Final = 2_000
"""Filters in one answer."""

MOST_COUNTS: Final = 10_000
"""Counts by cause in one answer: all that there are, 500,000, would take half a minute to send, in
which the service does nothing else."""

_Key = tuple[str, str, str]
"""Policy, rule and filter as written; a filter that a rule has twice counts as one."""


def cache_report(agent: Agent) -> CacheReport:
    """What the kernel decides by itself, as of the last reading."""
    tally = agent.tally
    loss = tally.loss
    missing_packets, missing_octets = tally.missing
    off = why_off(agent)
    return CacheReport(
        on=off is None,
        why_off=off,
        flows=agent.hook.learnt,
        packets=tally.kernel.packets,
        octets=tally.kernel.octets,
        missing_packets=missing_packets,
        missing_octets=missing_octets,
        refused=tally.kernel.refused,
        read=_time(tally.read),
        losses=loss.times if loss else 0,
        lost_since=_time(loss.since if loss else None),
        lost_until=_time(loss.until if loss else None),
    )


def unreported_report(agent: Agent) -> UnreportedReport:
    """What packet processes took with them."""
    loss = agent.tally.unreported
    if loss is None:
        return UnreportedReport(0, None, None)
    return UnreportedReport(loss.times, _time(loss.since), _time(loss.until))


def why_off(agent: Agent) -> str | None:
    """Why the kernel learns nothing; None while it does."""
    if not agent.hook.caching:
        return "`cache` is off in the configuration"
    if agent.shadow is not None:
        return "a shadow policy judges every packet, too"
    return None


def count_report(cause: Cause, row: Row) -> Count:
    """What one cause decided."""
    return Count(
        direction=str(cause.direction),
        verdict=cause.verdict,
        reason=cause.reason,
        policy=cause.policy,
        rule=cause.rule,
        filter=cause.filter,
        mirrored=cause.mirrored,
        exemption=cause.exemption,
        detail=cause.detail,
        packets=row.packets,
        octets=row.octets,
        learnt=row.learnt,
        last=_time(row.last),
    )


def stats_report(agent: Agent) -> StatsReport:
    """How often each decision was made, the most frequent first.

    Takes a while for very many causes, so call it in a thread.
    """
    rows = dict(agent.tally.rows).items()  # a copy: they may grow meanwhile
    by_packets = sorted(rows, key=lambda one: -one[1].packets)
    return StatsReport(
        since=local_time(agent.started),
        counts=[count_report(*one) for one in by_packets[:MOST_COUNTS]],
        left_out=len(by_packets[MOST_COUNTS:]),
        left_out_packets=sum(row.packets for _, row in by_packets[MOST_COUNTS:]),
        cache=cache_report(agent),
        unreported=unreported_report(agent),
    )


def filter_page(agent: Agent, *, every: bool, first: int) -> FilterPage:
    """The filters from place `first` on, PAGE of them: all, or those that decided about packets.

    Takes a while for very many filters, so call it in a thread. Raises IpsecfdError.
    """
    if first < 0:
        raise IpsecfdError(f"first {first}: expected 0 or more")
    counted = _by_filter(dict(agent.tally.rows))
    actions = _in_force(agent.policies)
    keys = [*actions, *sorted(counted.keys() - actions.keys(), key=str)]
    listed = (place for place in range(first, len(keys)) if every or keys[place] in counted)
    places = list(islice(listed, PAGE))
    end = places[-1] + 1 if len(places) == PAGE else max(first, len(keys))
    return FilterPage(
        since=local_time(agent.started),
        version=agent.policies.version,
        filters=[
            _filter_count(key, actions.get(key, ""), counted.get(key, Row()))
            for key in (keys[place] for place in places)
        ],
        left_out=end - first - len(places),
        next=end if end < len(keys) else None,
        cache=cache_report(agent),
        unreported=unreported_report(agent),
    )


def _in_force(policies: PolicySet) -> dict[_Key, str]:
    """The filters in force with their actions, in the order of the policies."""
    return {
        (policy.name, rule.name, one.written): rule.action.words
        for _, policy in policies.policies
        for rule in policy.rules
        if rule.active
        for one in rule.filter_list.filters
    }


def _by_filter(rows: Mapping[Cause, Row]) -> dict[_Key, Row]:
    """What each filter decided, if anything."""
    found: dict[_Key, Row] = defaultdict(Row)
    for cause, row in rows.items():
        if cause.policy is None or cause.rule is None or cause.filter is None or not row.packets:
            continue
        total = found[cause.policy, cause.rule, cause.filter]
        total.packets += row.packets
        total.octets += row.octets
        total.learnt += row.learnt
        times = [one for one in (total.last, row.last) if one is not None]
        total.last = max(times, default=None)
    return found


def _filter_count(key: _Key, action: str, row: Row) -> FilterCount:
    policy, rule, written = key
    return FilterCount(
        policy, rule, written, action, row.packets, row.octets, row.learnt, _time(row.last)
    )


def _time(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else local_time(moment)
