"""What the driver answers: a verdict with its reason."""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from functools import lru_cache

from ipsecfd.policy.model import Action


class Direction(enum.IntEnum):
    """Which way a packet goes, seen from the host."""

    IN = 0
    OUT = 1
    FORWARD = 2

    def __str__(self) -> str:
        return self.name.lower()


class Verdict(enum.Enum):
    """What becomes of a packet."""

    PERMIT = "permit"
    BLOCK = "block"


class Reason(enum.Enum):
    """Which part of the driver decided."""

    FILTER = "filter"
    NO_FILTER = "no-filter"
    EXEMPTION = "exemption"
    MODE = "mode"
    FRAGMENT = "fragment"
    MALFORMED = "malformed"
    NEGOTIATE = "negotiate"
    LOOPBACK = "loopback"


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """A verdict and everything that explains it.

    Compared by identity: the driver hands out the same object for the same cause, so counting
    decisions counts causes.
    """

    verdict: Verdict
    reason: Reason
    policy: str | None = None
    rule: str | None = None
    filter_list: str | None = None
    filter: str | None = None
    """The deciding filter as its author wrote it (model.Filter.written)."""
    mirrored: bool = False
    """Whether the filter's mirror matched, not the filter itself."""
    action: Action | None = None
    exemption: str | None = None
    """The exemption's name as the truth table spells it, such as `EX:KRB` (spec 4.2, 10)."""
    detail: str | None = None
    """What was wrong, for malformed packets and dropped fragments; the mode, for mode verdicts."""
    version: int = 0
    """The policy version whose table decided; 0 when none was asked."""
    order: int = 0
    """Place of the deciding specific filter in the total order of spec 3.2."""
    learnable: bool = False
    """Whether it holds for every whole packet of its flow, and the flow was met before: a decision
    that may be remembered elsewhere. Its twin for first packets is another object."""

    @property
    def permits(self) -> bool:
        """Whether the packet goes on."""
        return self.verdict is Verdict.PERMIT


@lru_cache(maxsize=4096)
def through_ipsec(decision: Decision) -> Decision:
    """What becomes of a packet that IPsec protects where a negotiation would decide: it passes.

    Somebody else has negotiated, strongSwan for one; a clear packet meets the decision itself
    (spec 1.2). One object for each decision.
    """
    return replace(decision, verdict=Verdict.PERMIT, detail="protected by IPsec")
