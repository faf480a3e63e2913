"""`ipsecfd explain`: what becomes of one packet, which filter decides, and why the others lose."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Final

import typer

from ipsecfd.cli import offline
from ipsecfd.cli.decision_text import (
    action_name,
    decision_fields,
    half,
    in_a_line,
    reason_in_words,
    source_port_hole,
    wrap,
)
from ipsecfd.cli.live import JsonOption
from ipsecfd.cli.packet_text import FORM, PacketTextError, parse_packet_text
from ipsecfd.cli.terminal import width
from ipsecfd.cli.usage import UsageError, usage_errors
from ipsecfd.driver.causes import NO_FILTER
from ipsecfd.driver.decision import Decision, Direction, Reason
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.packet import Malformed, parse
from ipsecfd.driver.sides import ADDRESS_BITS, Roles, Side
from ipsecfd.driver.specific import SpecificFilter, specific_filters
from ipsecfd.driver.table import Lookup
from ipsecfd.policy.model import IPAddress

_RANKS: Final = (
    "any protocol",
    "protocol alone",
    "protocol and source port",
    "protocol and destination port",
    "protocol and both ports",
)


@dataclass(frozen=True, slots=True)
class Loser:
    """A filter that matches the packet and does not decide."""

    filter: SpecificFilter
    why: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with everything around it."""

    direction: Direction
    decision: Decision
    losers: tuple[Loser, ...]
    """In the order in which they would have decided."""
    otherwise: Decision | None
    """For an exemption or a mode: the decision without it, in mode secure."""
    stranger: IPAddress | None
    """The end that should be the host's own and is not, or None."""


@offline.with_options
def explain(
    packet: Annotated[str, typer.Argument(metavar="PACKET", help=f'"{FORM}"', show_default=False)],
    options: offline.Options,
    as_json: JsonOption = False,
) -> None:
    """Say what becomes of one packet, and why.

    That is: which filter decides, and why the others that match it lose.

    PACKET is DIRECTION PROTOCOL SOURCE[:PORT] -> DESTINATION[:PORT]. DIRECTION
    is in, out or forward, PROTOCOL a name or a number. An IPv6 address with a
    port is [2001:db8::1]:80. A port left out is port 0, ICMP is an echo request.

    With --policy it needs neither root nor the daemon; without, it says what the
    daemon does now. The exit status is 0 whatever the verdict.
    """
    with usage_errors():
        try:
            direction, data = parse_packet_text(packet)
        except PacketTextError as error:
            raise UsageError(str(error)) from None
        situation = options.read()
    offline.print_warnings(situation.warnings)
    if direction is Direction.FORWARD and not situation.forward:
        offline.print_warnings(["forward is off here: routed packets pass unjudged"])
    explanation = explain_packet(direction, data, situation)
    if as_json:
        print(json.dumps(explanation_fields(explanation)))
        return
    print("\n".join(report(packet, explanation, situation, width(80))))


def explain_packet(direction: Direction, data: bytes, situation: offline.Situation) -> Explanation:
    """The decision about a packet, with the filters that lost."""
    settings, interface = situation.settings, situation.interface
    decision = Driver(settings, lambda: 0.0).decide(data, direction, interface)
    roles = Roles(settings.host, settings.profile)
    matching = list(_matching(direction, data, situation, roles))
    otherwise = None
    if decision.reason in (Reason.EXEMPTION, Reason.MODE):
        if settings.mode is not Mode.SECURE:
            secure = Driver(replace(settings, mode=Mode.SECURE), lambda: 0.0)
            otherwise = secure.decide(data, direction, interface)
        else:
            otherwise = _by_filters(direction, data, situation, roles)
    if decision.reason in (Reason.FILTER, Reason.NEGOTIATE):
        winner, *others = matching
        losers = [Loser(one, why_it_lost(one, winner, direction)) for one in others]
    else:
        why = _why_no_filter(decision, settings.mode)
        losers = [Loser(one, why) for one in matching]
    about_me = decision.reason is not Reason.LOOPBACK and decision.exemption != "EX:IPV6"
    stranger = _stranger(direction, data, roles) if about_me else None
    return Explanation(direction, decision, tuple(losers), otherwise, stranger)


def _stranger(direction: Direction, data: bytes, roles: Roles) -> IPAddress | None:
    packet = parse(data)
    if isinstance(packet, Malformed) or direction is Direction.FORWARD:
        return None
    family, end = packet.family, packet.destination
    if direction is Direction.OUT:
        return None if roles.is_me(family, packet.source) else packet.source_address
    known = roles.is_me(family, end) or roles.group(family, end)
    return None if known else packet.destination_address


def _matching(
    direction: Direction, data: bytes, situation: offline.Situation, roles: Roles
) -> Iterator[SpecificFilter]:
    """The filters that match a packet, the deciding one first; each half of a filter once."""
    packet = parse(data)
    if isinstance(packet, Malformed):
        return
    filters = specific_filters(
        situation.policies,
        ipv6=situation.settings.profile.filters_ipv6,
        dialup=situation.dialup,
    )
    seen = set()
    for one in sorted(filters, key=lambda one: one.order_key(direction)):
        half = (id(one.generic), id(one.rule), one.place, one.mirrored)
        if half not in seen and one.matches(packet, direction, roles):
            seen.add(half)
            yield one


def _by_filters(
    direction: Direction, data: bytes, situation: offline.Situation, roles: Roles
) -> Decision | None:
    """The decision of the filters alone; None where the profile does not look at the packet."""
    packet = parse(data)
    settings = situation.settings
    if isinstance(packet, Malformed) or (packet.family == 6 and not settings.profile.filters_ipv6):
        return None
    table = settings.dialup_table if situation.dialup else settings.table
    return Lookup(table or settings.table, roles, direction).find(packet) or NO_FILTER


def _why_no_filter(decision: Decision, mode: Mode) -> str:
    if decision.reason is Reason.EXEMPTION:
        return f"exemption {decision.exemption} comes before every filter"
    if decision.reason is Reason.LOOPBACK:
        return "loopback is never filtered"
    return f"in mode {mode} no filter is asked"


def why_it_lost(loser: SpecificFilter, winner: SpecificFilter, direction: Direction) -> str:
    """Why one matching filter stands behind another in the total order (spec 3.2)."""
    mine, its = loser.rank, winner.rank
    if mine[0] != its[0]:
        return "no tunnel rule: those come before all others"
    if mine[1] != its[1]:
        return f"less specific addresses: {_classes(winner)} ranks above {_classes(loser)}"
    if mine[2] != its[2]:
        return f"shorter destination prefix: /{mine[2]} against /{its[2]}"
    if mine[3] != its[3]:
        return f"shorter source prefix: /{mine[3]} against /{its[3]}"
    if mine[4] != its[4]:
        return f"less specific protocol: {_RANKS[its[4]]} ranks above {_RANKS[mine[4]]}"
    actions = loser.action(direction), winner.action(direction)
    if actions[0] is not actions[1]:
        mine_name, its_name = map(action_name, actions)
        return f"equally specific, but {its_name} is more restrictive than {mine_name}"
    return "equally specific and the same action: the first by store and name decides"


def _classes(one: SpecificFilter) -> str:
    return f"({_address_class(one.source)}, {_address_class(one.destination)})"


def _address_class(side: Side) -> str:
    if side.bits == ADDRESS_BITS[side.family]:
        return "host"
    return "subnet" if side.bits else "any"


def explanation_fields(explanation: Explanation) -> dict[str, object]:
    """An explanation as JSON: the fields of replay, further ones, and the losers."""
    decision = explanation.decision
    return {
        "index": 0,
        "direction": str(explanation.direction),
        **decision_fields(decision),
        "policy": decision.policy,
        "filter_list": decision.filter_list,
        "action": action_name(decision.action) if decision.action else None,
        "detail": decision.detail,
        "losers": [
            {
                "rule": loser.filter.rule.name,
                "filter": loser.filter.generic.written,
                "mirrored": loser.filter.mirrored,
                "action": action_name(loser.filter.action(explanation.direction)),
                "why": loser.why,
            }
            for loser in explanation.losers
        ],
    }


def report(
    text: str, explanation: Explanation, situation: offline.Situation, columns: int
) -> Iterator[str]:
    """An explanation for people, in lines of at most `columns` characters."""
    decision = explanation.decision
    settings = situation.settings
    yield from wrap("", text, columns)
    yield ""
    yield from wrap("  Verdict  ", decision.verdict.value, columns)
    yield from wrap("  Reason   ", reason_in_words(decision), columns)
    if decision.filter is not None:
        yield from wrap("  Filter   ", half(decision.filter, decision.mirrored), columns)
        yield from wrap("  Rule     ", decision.rule or "", columns)
        yield from wrap("  Policy   ", decision.policy or "", columns)
    if explanation.otherwise is not None:
        without = "the exemption" if settings.mode is Mode.SECURE else f"mode {settings.mode}"
        yield from wrap("  Without  ", f"{without}: {in_a_line(explanation.otherwise)}", columns)
    for note in _notes(explanation, situation):
        yield from wrap("  Note     ", note, columns)
    if decision.exemption == "EX:KRB":
        yield from wrap("  Warning  ", source_port_hole(settings.exempt), columns)
    yield from _losers(explanation, columns)


def _notes(explanation: Explanation, situation: offline.Situation) -> Iterator[str]:
    direction, settings = explanation.direction, situation.settings
    if explanation.stranger is not None and settings.mode is Mode.SECURE:
        yield (
            f"{explanation.stranger} is no address of the host, so me does not stand for it;"
            " --address gives the host another"
        )
    if settings.mode is Mode.STARTUP_STATEFUL and direction is Direction.IN:
        yield "answers to what the host sent before pass; this packet stands alone"


def _losers(explanation: Explanation, columns: int) -> Iterator[str]:
    if not explanation.losers:
        return
    by_filter = explanation.decision.filter is not None
    yield ""
    if by_filter:
        yield "Also matches, in order:"
    else:
        yield from wrap("", f"Matches, in order, but {explanation.losers[0].why}:", columns)
    for loser in explanation.losers:
        one = loser.filter
        yield ""
        action = action_name(one.action(explanation.direction))
        yield from wrap(f"  {action:<9}", half(one.generic.written, one.mirrored), columns)
        yield from wrap("           ", f"rule {one.rule.name}", columns)
        if by_filter:
            yield from wrap("           ", loser.why, columns)
