"""Counts by cause: what was judged, what the kernel decided, and what may be missing."""

from __future__ import annotations

import datetime

import pytest

from ipsecfd.agent import tally as tally_module
from ipsecfd.agent.tally import Cause, Loss, Passed, Tally
from ipsecfd.agent.transfer import Judged
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.kernel.counters import Counters
from tests.unit.agent.stage import NOW

FIRST = Decision(Verdict.PERMIT, Reason.FILTER, policy="web", rule="r", filter="f")
LATER = Decision(Verdict.PERMIT, Reason.FILTER, policy="web", rule="r", filter="f", learnable=True)
CAUSE = Cause.of(Direction.IN, FIRST)


def a_tally() -> Tally:
    """A tally with one packet judged, and one more that its flow was learnt from."""
    tally = Tally(lambda: NOW)
    tally.judged([Judged(Direction.IN, FIRST, 1, 40), Judged(Direction.IN, LATER, 1, 100)])
    return tally


def test_first_and_later_packets_have_one_row() -> None:
    """Whether a decision may be learnt is no part of its cause."""
    tally = a_tally()
    assert list(tally.rows) == [CAUSE]
    row = tally.rows[CAUSE]
    assert (row.packets, row.octets, row.learnt, row.last) == (2, 140, 0, NOW)


def test_a_packet_that_a_flow_is_learnt_from_counts_once() -> None:
    """The kernel counts its bytes as well; they are taken off by the mean of such packets."""
    tally = a_tally()
    tally.learnt(Counters(5, 500), {CAUSE: Passed(5, 600, 1)})
    row = tally.rows[CAUSE]
    assert (row.packets, row.octets, row.learnt) == (7, 640, 5)
    assert tally.missing == (0, 0)


def test_what_ended_between_readings_is_missing() -> None:
    """The kernel's own account is exact, whatever became of single flows."""
    tally = a_tally()
    tally.learnt(Counters(5, 500), {CAUSE: Passed(5, 600, 1)})
    tally.learnt(Counters(12, 1200), {CAUSE: Passed(4, 400, 0)})
    assert tally.missing == (3, 300)
    assert tally.kernel == Counters(12, 1200)


def test_missing_is_never_less_than_nothing() -> None:
    """The counters are read before the flows, which may count on meanwhile."""
    tally = a_tally()
    tally.learnt(Counters(5, 500), {CAUSE: Passed(6, 700, 1)})
    assert tally.missing == (0, 0)


def test_counters_go_on_over_another_table() -> None:
    """A table that is installed anew counts from 0; the sum does not."""
    tally = a_tally()
    tally.learnt(Counters(5, 500, 2), {})
    tally.new_table(lost=False)
    assert tally.kernel == Counters(5, 500, 2)
    tally.learnt(Counters(7, 700, 1), {})
    assert tally.kernel == Counters(12, 1200, 3)
    assert tally.loss is None


def test_what_a_table_counted_since_its_last_reading_is_lost_with_it() -> None:
    """Since that reading began, or since the table is there when there was none."""
    now = [NOW]
    tally = Tally(lambda: now[0])

    def at(seconds: int) -> datetime.datetime:
        now[0] = NOW + datetime.timedelta(seconds=seconds)
        return now[0]

    tally.new_table(lost=False)
    begun = at(10)
    tally.reading()
    at(12)
    tally.learnt(Counters(5, 500), {})
    at(20)
    tally.reading()  # of which nothing comes
    gone = at(21)
    tally.new_table(lost=True)
    assert tally.loss == Loss(1, begun, gone)
    again = at(25)
    tally.new_table(lost=True)
    assert tally.loss == Loss(2, gone, again)


def test_a_loss_that_a_reading_notices_first_is_one() -> None:
    """A reading finds the table gone, or the next one in its place, before it is said to be new."""
    now = [NOW]
    tally = Tally(lambda: now[0])

    def at(seconds: int) -> datetime.datetime:
        now[0] = NOW + datetime.timedelta(seconds=seconds)
        return now[0]

    begun = at(1)
    tally.reading()
    at(2)
    tally.learnt(Counters(5, 500), {})
    at(10)
    tally.reading()
    at(11)
    tally.learnt(Counters(1, 100), {})
    back = at(12)
    tally.new_table(lost=True)
    assert tally.loss == Loss(1, begun, back)
    tally.reading()
    tally.learnt(Counters(3, 300), {})
    assert tally.kernel == Counters(8, 800)


def test_counters_that_are_less_than_before_were_reset() -> None:
    """The sum goes on, and that some is missing is known."""
    tally = a_tally()
    tally.learnt(Counters(5, 500), {})
    tally.learnt(Counters(2, 200), {})
    assert tally.kernel == Counters(7, 700)
    assert tally.loss == Loss(1, NOW, NOW)


def test_last_hit_is_the_reading_that_found_packets() -> None:
    """A reading that finds nothing new changes no time."""
    now = [NOW]
    tally = Tally(lambda: now[0])
    tally.judged([Judged(Direction.IN, FIRST, 1, 40)])
    now[0] += datetime.timedelta(seconds=5)
    tally.learnt(Counters(), {CAUSE: Passed(0, 100, 1)})
    assert tally.rows[CAUSE].last == NOW
    assert tally.read == now[0]


def test_causes_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """When there are too many, those that were idle for longest are forgotten."""
    monkeypatch.setattr(tally_module, "MOST_ROWS", 4)
    now = [NOW]
    tally = Tally(lambda: now[0])
    for number in range(5):
        now[0] += datetime.timedelta(seconds=1)
        one = Decision(Verdict.BLOCK, Reason.FILTER, filter=f"{number}")
        tally.judged([Judged(Direction.IN, one, 1, 40)])
    assert [cause.filter for cause in tally.rows] == ["2", "3", "4"]
