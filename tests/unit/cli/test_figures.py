"""Numbers of things, bytes and times in words."""

from __future__ import annotations

import pytest

from ipsecfd.cli.figures import many, size, time


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (1 << 64, "18.4 EB"),
    ],
)
def test_sizes(octets: int, text: str) -> None:
    """In at most 8 columns."""
    assert size(octets) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 rules"), (1, "1 rule"), (1234, "1,234 rules")])
def test_numbers_of_things(number: int, text: str) -> None:
    """One is one; thousands are set apart."""
    assert many(number, "rule") == text


def test_times_are_those_of_the_host() -> None:
    """The zone that a report names is left out."""
    assert time("2026-01-02T03:04:05+00:00") == "2026-01-02 03:04:05"
