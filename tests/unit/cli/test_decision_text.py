"""Text in as many columns as there are."""

from __future__ import annotations

import pytest

from ipsecfd.cli.decision_text import wrap
from ipsecfd.cli.shadow import shadow_lines
from ipsecfd.cli.stats import filter_lines, stats_lines
from ipsecfd.cli.status import status_lines
from tests.unit.cli.fake_daemon import SHADOW, STATUS, FakeDaemon


def test_wrapped_text_stands_beside_its_label() -> None:
    """Its lines are below each other."""
    assert wrap("  Filter  ", "198.51.100.0/24 <-> me:22 tcp", 32) == [
        "  Filter  198.51.100.0/24 <->",
        "          me:22 tcp",
    ]


def test_an_address_is_never_broken() -> None:
    """Where there is no room for one beside its label, it comes below."""
    assert wrap("  6  316 B  06:18:09  permit  ", "198.51.100.0/24 <-> me:22 tcp", 40) == [
        "  6  316 B  06:18:09  permit",
        "    198.51.100.0/24 <-> me:22 tcp",
    ]
    assert wrap(" " * 30, "198.51.100.0/24 <-> me:22 tcp", 20) == [
        "    198.51.100.0/24 <->",
        "    me:22 tcp",
    ]


def pages(columns: int) -> list[str]:
    """What commands show, as so many columns have room for it."""
    answers = FakeDaemon().answers
    page = answers["FilterStats"]
    return [
        "\n".join(lines)
        for lines in (
            status_lines(STATUS, columns),
            stats_lines(answers["Stats"], 10, columns),
            filter_lines([page], page.filters, 10, columns),
            shadow_lines(SHADOW, columns),
        )
    ]


@pytest.mark.parametrize("columns", [1, 20, 40, 80])
def test_pages_of_any_width(columns: int) -> None:
    """However narrow the terminal is, every word is there, and whole."""
    for page, wide in zip(pages(columns), pages(200), strict=True):
        assert page.split() == wide.split()
