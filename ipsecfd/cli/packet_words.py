"""Packets in a table: which way they went, between whom, and what decided about them."""

from __future__ import annotations

from typing import Final, Protocol

from ipsecfd.cli.decision_text import half

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
    """The filter with its rule, or the reason."""
    if one.filter is not None:
        return f"{half(one.filter, one.mirrored)} [{one.rule}]"
    return " ".join(filter(None, (one.reason, one.exemption, detail)))


def endpoint(address: str, port: int | str | None) -> str:
    """An address, with a port where there is one."""
    if port is None:
        return address
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
