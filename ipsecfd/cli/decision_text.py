"""A driver's decision in words for people, and as the JSON fields of `explain` and `replay`."""

from __future__ import annotations

import textwrap
from typing import Final

from ipsecfd.driver.decision import Decision, Reason
from ipsecfd.policy.model import Action

_EXEMPTIONS: Final = {
    "EX:KRB": "Kerberos: TCP or UDP with source or destination port 88",
    "EX:RSVP": "RSVP, IP protocol 46",
    "EX:IKE": "IKE, UDP port 500",
    "EX:NATT": "IKE behind NAT, UDP port 4500",
    "EX:MCAST": "multicast",
    "EX:BCAST": "broadcast",
    "EX:MCAST-IN": "inbound multicast",
    "EX:BCAST-IN": "inbound broadcast",
    "EX:IPV6": "native IPv6, which this profile never filters",
    "EX:ND": "IPv6 neighbour discovery",
    "EX:MLD": "IPv6 multicast listener discovery",
    "EX:DHCP": "DHCP, in the start-up modes",
    "EX:DHCPV6": "DHCPv6, in the start-up modes",
}


NO_FILTER: Final = "no filter matches"
_ROOM: Final = 20
"""Columns that an address with its prefix or port takes."""
_INDENT: Final = "    "


def decision_fields(decision: Decision | None) -> dict[str, object]:
    """A decision as the JSON of both commands has it; None is a packet that was not judged."""
    if decision is None:
        return dict.fromkeys(("verdict", "reason", "rule", "filter")) | {
            "mirrored": False,
            "exemption": None,
        }
    return {
        "verdict": decision.verdict.value,
        "reason": decision.reason.value,
        "rule": decision.rule,
        "filter": decision.filter,
        "mirrored": decision.mirrored,
        "exemption": decision.exemption,
    }


def action_name(action: Action) -> str:
    """The name of an action, as a policy file has it."""
    return action.name.lower()


def half(written: str, mirrored: bool) -> str:
    """A filter as its author wrote it, and whether its mirror is meant."""
    return f"{written} (its mirror)" if mirrored else written


def exemption_in_words(name: str) -> str:
    """An exemption by its name, and what it is about."""
    about = _EXEMPTIONS.get(name)
    return f"exemption {name}" + (f" ({about})" if about else "")


def reason_in_words(decision: Decision) -> str:
    """Why a packet met its verdict; the filter is named elsewhere."""
    match decision.reason:
        case Reason.FILTER:
            return "a filter matches"
        case Reason.NEGOTIATE:
            action = action_name(decision.action) if decision.action else "negotiate"
            return f"a filter with action {action} matches; ipsecfd negotiates no security"
        case Reason.NO_FILTER:
            return NO_FILTER
        case Reason.EXEMPTION:
            return exemption_in_words(decision.exemption or "")
        case Reason.MODE:
            return f"mode {decision.detail}"
        case Reason.LOOPBACK:
            return "loopback is never filtered"
        case _:
            return f"{decision.reason.value}: {decision.detail}"


def source_port_hole(exempt: int) -> str:
    """What a packet that passed as Kerberos means (spec 4.3)."""
    return (
        f"exemption value {exempt} lets every packet from source port 88 in, to any local port,"
        " whatever is blocked; values 1 and 3 close that"
    )


def in_a_line(decision: Decision) -> str:
    """Verdict, and filter or reason."""
    if decision.filter is None:
        return f"{decision.verdict.value}, {reason_in_words(decision)}"
    by = half(decision.filter, decision.mirrored)
    return f'{decision.verdict.value} by filter "{by}" of rule "{decision.rule}"'


def wrap(label: str, text: str, width: int) -> list[str]:
    """Lines of at most `width` characters, but for longer words, the label before the first and the
    others below it.

    Where that leaves no room for an address the label has a line of its own.
    """
    head, indent = label, " " * len(label)
    lines = []
    if width - len(label) < _ROOM and len(label) > len(_INDENT):
        lines = [label.rstrip()] if label.strip() else []
        before = len(label) - len(label.lstrip()) if lines else 0
        head = indent = " " * max(before + 2, len(_INDENT))
    lines += textwrap.wrap(
        text,
        max(width, len(indent) + _ROOM),
        initial_indent=head,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return lines or [label.rstrip()]
