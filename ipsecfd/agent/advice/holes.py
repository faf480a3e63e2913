"""Holes: what reaches the host, or passes through it, although a filter seems to block it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

from ipsecfd.agent.advice.meaning import any_covers, blocks, is_any
from ipsecfd.agent.advice.questions import PROBES, Questions, Way
from ipsecfd.agent.advice.words import listed
from ipsecfd.driver.build import build
from ipsecfd.driver.decision import Decision, Direction, Reason
from ipsecfd.driver.packet import to_address
from ipsecfd.policy.model import ANY_PROTOCOL, TCP, UDP

_MULTICAST: Final = {
    4: (0xE00000FB, "multicast"),
    6: ((0xFF02 << 112) + 0xFB, "IPv6 multicast"),  # never exempt, where IPv4's may be
}
"""The group of multicast DNS, by family."""


def kerberos(asked: Questions) -> Iterator[str]:
    """The source-port attack of spec 4.3."""
    value, profile = asked.settings.exempt, asked.settings.profile
    if value not in (0, 2):
        return
    hole = f"Exemption value {value} never filters TCP and UDP port 88"
    remedy = f"Set exempt = {max(profile.allowed_exempt)}."
    if _any_of(asked.blocked[Direction.IN], TCP, UDP):
        yield (
            f"{hole}: whoever sends from port 88 reaches every local port, blocked or not. {remedy}"
        )
    elif _any_of(asked.blocked[Direction.OUT], TCP, UDP):
        yield f"{hole}: what is blocked outbound still leaves from or to that port. {remedy}"


def wide_ike(asked: Questions) -> Iterator[str]:
    """The exemption of IKE that asks for one of the two ports only (spec 4)."""
    profile = asked.settings.profile
    if profile.wide_ike and _any_of(asked.blocked[Direction.IN], UDP):
        yield (
            f"Profile {profile.name} never filters UDP port 500: whoever sends from port 500"
            " reaches every local UDP port, blocked or not. No exemption value closes that; any"
            " other profile does."
        )


def client_permits(asked: Questions) -> Iterator[str]:
    """The weakness of spec 2.3: who may answer may also ask."""
    if not asked.blocked[Direction.IN]:
        return
    holes = [
        way
        for rule in asked.rules
        if not blocks(rule, Direction.IN)
        for one in rule.filter_list.filters
        if bool(one.source_port) != bool(one.destination_port)
        for way in asked.ways(one, rule, Direction.IN)
        if way.remote_port and is_any(way.there) and asked.opens(way)
    ]
    if holes:
        yield (
            "Client permits let in attacks with the answers: whoever sends from the remote port of"
            f" {listed(holes, 'or')} reaches every local port of that protocol, also blocked ones."
            ' Name the remote servers instead of "any" where they are known.'
        )


def unfiltered_ipv6(asked: Questions) -> Iterator[str]:
    """IPv6 in a profile that leaves it alone (spec 4)."""
    profile = asked.settings.profile
    if profile.filters_ipv6 or 6 not in asked.me:
        return
    if any(blocks(rule) and any_covers(rule, 6) for rule in asked.rules):
        yield (
            f"Profile {profile.name} does not filter IPv6, and this host has IPv6 addresses: what"
            " is blocked still passes over IPv6. Use profile linux or vista, or turn IPv6 off."
        )


def groups(asked: Questions) -> Iterator[str]:
    """Inbound multicast and broadcast that pass where the same datagram to the host does not."""
    settings = asked.settings
    passing: dict[Reason, dict[str, None]] = {Reason.EXEMPTION: {}, Reason.NO_FILTER: {}}
    for family in asked.families if asked.blocked[Direction.IN] else ():
        tried = [_MULTICAST[family]]
        known = sorted(int(one) for one in settings.host.broadcasts if one.version == family)
        tried += [(one, "broadcast") for one in known[-PROBES:]]
        for port in asked.ports(UDP):
            to_me = _datagram_to(asked, family, asked.me[family], port)
            for group, kind in tried:
                to_group = _datagram_to(asked, family, group, port)
                for mine, other in zip(to_me, to_group, strict=True):
                    if not mine.permits and other.permits and other.reason in passing:
                        passing[other.reason][kind] = None
    profile = settings.profile
    if exempt := list(passing[Reason.EXEMPTION]):
        if not profile.me_covers_groups:
            remedy = "Use profile linux"
        elif settings.exempt in (0, 1):
            remedy = "Set exempt = 3"
        else:
            remedy = "Set inbound_mcast_exempt = false"
        yield (
            f"Inbound packets to {listed(exempt)} addresses always pass in profile {profile.name}"
            f" with exemption value {settings.exempt}, although the same packets to this host's"
            f" own address are blocked. {remedy} to filter them."
        )
    if unmatched := list(passing[Reason.NO_FILTER]):
        covering = (
            f'Write "me" for that address: in profile {profile.name} it covers both.'
            if profile.me_covers_groups
            else f'Write "any" for that address: in profile {profile.name} "me" is none of them.'
        )
        yield (
            f"Inbound packets to {listed(unmatched)} addresses match no filter and pass, although"
            f" the same packets to this host's own address are blocked. {covering}"
        )


def unjudged_forwarding(asked: Questions, unjudged: bool) -> Iterator[str]:
    """Packets of others that pass through this host, past its filters."""
    if unjudged and any(map(blocks, asked.rules)):
        yield (
            "This host forwards packets, and those are not judged: what is blocked here still"
            " passes through to other hosts and containers. Set forward = true to judge them by"
            " literal addresses, or turn forwarding off."
        )


def _datagram_to(asked: Questions, family: int, destination: int, port: int) -> list[Decision]:
    """The decisions about a stranger's datagram."""
    source, target = (to_address(family, one) for one in (asked.stranger[family], destination))
    return asked.judge(build(source, target, UDP, asked.free_port, port))


def _any_of(ways: Iterable[Way], *protocols: int) -> bool:
    return any(way.filter.protocol in (ANY_PROTOCOL, *protocols) for way in ways)
