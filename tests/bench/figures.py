"""What a run of the bench measured: rates by contestant and load, and figures with their bounds."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One line of the table of figures: what was measured, and what it should at least be."""

    what: str
    measured: float
    unit: str
    bound: str
    """Such as ">= 0.9"; empty for what is only reported."""

    @property
    def shown(self) -> str:
        """What was measured, with its unit."""
        return f"{self.measured:.2f} {self.unit}".strip()

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None when there is none."""
        if not self.bound:
            return None
        sign, limit = self.bound.split()
        return self.measured >= float(limit) if sign == ">=" else self.measured <= float(limit)


class Results:
    """Fills up as the bench goes on."""

    def __init__(self) -> None:
        self.rates: dict[tuple[str, str], list[float]] = defaultdict(list)
        """Per second, by contestant and load, one for each round."""
        self.figures: list[Figure] = []

    def note(self, contestant: str, load: str, rate: float) -> None:
        """Add the result of one round."""
        self.rates[contestant, load].append(rate)

    def median(self, contestant: str, load: str) -> float:
        """The median over the rounds; 0 when it was not measured."""
        found = self.rates.get((contestant, load))
        return statistics.median(found) if found else 0.0

    def ratio(self, one: str, other: str, load: str) -> float:
        """The median over the rounds of one contestant's rate by another's in the same round."""
        pairs = zip(self.rates[one, load], self.rates[other, load], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def figure(self, what: str, measured: float, bound: str = "", unit: str = "") -> None:
        """Add a line to the table of figures."""
        self.figures.append(Figure(what, measured, unit, bound))
