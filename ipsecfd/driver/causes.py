"""Decisions that no filter makes: one object for each cause, since causes are counted by it."""

from __future__ import annotations

from typing import Final

from ipsecfd.driver.decision import Decision, Reason, Verdict
from ipsecfd.driver.modes import Mode

LOOPBACK: Final = Decision(Verdict.PERMIT, Reason.LOOPBACK)
NO_FILTER: Final = Decision(Verdict.PERMIT, Reason.NO_FILTER)
UNFILTERED_IPV6: Final = Decision(Verdict.PERMIT, Reason.EXEMPTION, exemption="EX:IPV6")
"""Profiles up to win2003 never look at native IPv6 (spec 2.1, 4.2)."""
PORTS_UNKNOWN: Final = "a filter with ports may have decided otherwise"
"""Why a fragment is dropped whose ports were in another one (spec 5, item 2)."""

_EXEMPT: Final[dict[str, Decision]] = {}
_DROPPED: Final[dict[tuple[Reason, str], Decision]] = {}


def by_mode(mode: Mode, verdict: Verdict) -> Decision:
    """The decision of a mode, for as long as it lasts: another object for each call."""
    return Decision(verdict, Reason.MODE, detail=str(mode))


def exempted(name: str) -> Decision:
    """The decision of an exemption; one object for each name."""
    if name not in _EXEMPT:
        _EXEMPT[name] = Decision(Verdict.PERMIT, Reason.EXEMPTION, exemption=name)
    return _EXEMPT[name]


def dropped(reason: Reason, detail: str) -> Decision:
    """The decision to drop for one cause; one object for each, and the causes are few."""
    key = (reason, detail)
    if key not in _DROPPED:
        _DROPPED[key] = Decision(Verdict.BLOCK, reason, detail=detail)
    return _DROPPED[key]
