"""Policies and their rules as reports."""

from __future__ import annotations

from ipsecfd.agent.desk import local_time
from ipsecfd.agent.policies import Source, count_filters
from ipsecfd.agent.report import PolicyReport, RuleReport
from ipsecfd.policy.model import Policy, Rule, Store


def policy_report(source: Source) -> PolicyReport:
    """A policy in force."""
    policy = source.policy
    return PolicyReport(
        name=policy.name,
        store=source.store.name.lower(),
        file=source.origin,
        description=policy.description,
        rules=sum(rule.active for rule in policy.rules),
        filters=source.filters,
        since=local_time(source.since),
    )


def stored_report(file: str, policy: Policy) -> PolicyReport:
    """A policy of the local store that is not in force."""
    return PolicyReport(
        name=policy.name,
        store=Store.LOCAL.name.lower(),
        file=file,
        description=policy.description,
        rules=sum(rule.active for rule in policy.rules),
        filters=count_filters(policy),
        since="",
        in_force=False,
    )


def rule_reports(policy: Policy) -> list[RuleReport]:
    """The rules of a policy, for people."""
    return [_rule(rule) for rule in policy.rules]


def _rule(rule: Rule) -> RuleReport:
    return RuleReport(
        name=rule.name,
        description=rule.description,
        active=rule.active,
        connection=rule.connection.value,
        action=rule.action.words,
        filter_list=rule.filter_list.name,
        filters=[one.written for one in rule.filter_list.filters],
    )
