"""Packets in a table: which way they went, between whom, and what decided about them."""

from __future__ import annotations

from typing import Final, Protocol

from ipsecfd.cli.decision_text import NO_FILTER, exemption_in_words, half
from ipsecfd.driver.decision import Reason

WAYS: Final = {"in": "in ", "out": "out", "forward": "fwd"}
"""Directions in three columns."""


class Decided(Protocol):
    """What the daemon tells of a decision."""

    @property
    def reason(self) -> str:
        """Which part of the driver decided."""

    @property
    def rule(self) -> str | None:
        """The deciding filter's rule."""

    @property
    def filter(self) -> str | None:
        """The deciding filter as its author wrote it."""

    @property
    def mirrored(self) -> bool:
        """Whether its mirror matched."""

    @property
    def exemption(self) -> str | None:
        """The exemption's name."""


def decided_by(one: Decided, detail: str | None = None) -> str:
    """The filter with its rule, or the reason in the words of `explain`."""
    if one.filter is not None:
        return f"{half(one.filter, one.mirrored)} [{one.rule}]"
    if one.reason == Reason.NO_FILTER.value:
        return NO_FILTER
    why = exemption_in_words(one.exemption) if one.exemption else one.reason
    return f"{why} {detail or ''}".rstrip()


def endpoint(address: str, port: int | str | None) -> str:
    """An address, with a port where there is one."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
