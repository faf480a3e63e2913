"""The bench's own arithmetic: medians, what they are good to, and bounds."""

from __future__ import annotations

import pytest

from tests.bench.figures import Results


def _results(*turns: float, bound: str = "") -> Results:
    results = Results()
    results.figure("what", turns, bound, "s")
    return results


@pytest.mark.parametrize(
    ("turns", "shown"),
    [
        ((0.5,), "0.50 s"),
        ((0.1, 0.2, 0.9, 0.9), "0.55 s"),
        ((0.8, 0.8, 0.8, 0.8, 0.8), "0.80 ± 0.00 s"),
        ((0.1, 0.7, 0.8, 0.9, 5.0), "0.80 ± 0.14 s"),
    ],
)
def test_a_median_is_told_with_its_doubt(turns: tuple[float, ...], shown: str) -> None:
    (figure,) = _results(*turns).figures
    assert figure.shown == shown


@pytest.mark.parametrize(
    ("bound", "met"), [(">= 0.8", True), (">= 0.81", False), ("<= 0.8", True), ("", None)]
)
def test_the_median_meets_a_bound_or_not_whatever_its_doubt(bound: str, met: bool | None) -> None:
    (figure,) = _results(0.7, 0.8, 0.95, bound=bound).figures
    assert figure.met is met


def test_ratios_are_those_of_each_round() -> None:
    results = Results()
    for one, other in ((2.0, 1.0), (9.0, 3.0), (1.0, 2.0)):
        results.note("one", "load", one)
        results.note("other", "load", other)
    assert results.ratios("one", "other", "load") == [2.0, 3.0, 0.5]
