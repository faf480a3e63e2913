"""What a run of the bench measured: rates by contestant and load, and figures with their bounds."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_FEWEST: Final = 5  # turns whose quartiles tell anything


@dataclass(frozen=True)
class Figure:
    """One line of the table of figures: what was measured, and what it should at least be."""

    what: str
    measured: float
    unit: str
    bound: str
    """Such as ">= 0.9"; empty for what is only reported."""
    doubt: float | None = None
    """By how much the median of as many turns may differ next time, 19 times of 20; None where
    there were too few to tell."""

    @property
    def shown(self) -> str:
        """What was measured, with its doubt and unit."""
        doubt = "" if self.doubt is None else f" ± {self.doubt:.2f}"
        return f"{self.measured:.2f}{doubt} {self.unit}".strip()

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

    def ratios(self, one: str, other: str, load: str) -> list[float]:
        """One contestant's rates by another's in the same round."""
        pairs = zip(self.rates[one, load], self.rates[other, load], strict=True)
        return [a / b for a, b in pairs]

    def figure(
        self, what: str, measured: float | Sequence[float], bound: str = "", unit: str = ""
    ) -> None:
        """Add a line to the table of figures: a number, or the median of one for each turn."""
        turns = [measured] if isinstance(measured, float) else measured
        median = statistics.median(turns)
        self.figures.append(Figure(what, median, unit, bound, _doubt(turns)))


def _doubt(turns: Sequence[float]) -> float | None:
    """The half width of a box plot's notch (McGill, Tukey and Larsen, 1978)."""
    if len(turns) < _FEWEST:
        return None
    low, _, high = statistics.quantiles(turns, n=4, method="inclusive")
    return 1.57 * (high - low) / math.sqrt(len(turns))
