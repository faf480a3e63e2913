"""`ipsecfd stats`: tables by cause and by filter, and what is said to be missing."""

from __future__ import annotations

import datetime
import json
from dataclasses import replace

import pytest

from ipsecfd.agent.packet_reports import (
    CacheReport,
    FilterCount,
    FilterPage,
    StatsReport,
    UnreportedReport,
)
from ipsecfd.cli.stats import filter_lines, stats_lines
from ipsecfd.errors import IpsecfdError
from tests.unit.cli.fake_daemon import CACHE, CALM, COUNT, FILTER, SINCE, FakeDaemon, ipsecfd

NO_CACHE = CacheReport(False, "off", 0, 0, 0, 0, 0, 0, None, 0, None, None)


def page(*filters: FilterCount, left_out: int = 0, **changes: object) -> FilterPage:
    """A part of the list of filters."""
    made = FilterPage(SINCE, 3, list(filters), left_out, None, NO_CACHE, CALM)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_the_most_frequent_come_first_and_the_rest_is_counted() -> None:
    """With bytes, and how much of it the kernel decided by itself."""
    counts = [replace(COUNT, packets=number, learnt=10) for number in (5000, 20)]
    counts.append(replace(COUNT, packets=1, learnt=0))
    lines = stats_lines(StatsReport(SINCE, counts, NO_CACHE, CALM), 2, 80)
    assert lines[1:] == [
        "packets     bytes  kernel  way  verdict  why",
        "  5,000    9.9 kB      0%  in   block    me <-> any (its mirror) [Block]",
        "     20    9.9 kB     50%  in   block    me <-> any (its mirror) [Block]",
        "      1  in 1 more line: --top 3",
    ]
    longer = StatsReport(SINCE, counts, NO_CACHE, CALM, left_out=4, left_out_packets=1000)
    assert stats_lines(longer, 2, 80)[-1] == "  1,001  in 5 more lines: --top 3"
    assert stats_lines(longer, 3, 80)[-1] == "  1,000  in 4 more lines"
    assert stats_lines(StatsReport(SINCE, [], NO_CACHE, CALM), 5, 80)[-1] == "  none"


def test_what_the_kernel_did_and_what_is_missing_is_said() -> None:
    """Below the table, as of the last reading."""
    lines = stats_lines(StatsReport(SINCE, [COUNT], CACHE, CALM), 2, 80)
    assert lines[3:] == [
        "",
        "The kernel decided 8,765,432 packets (12.3 GB) by itself, as last read",
        "2026-01-02 03:04:05.",
        "Of these 1,234 packets (98.8 kB) are in no line above: of flows that ended",
        "between two readings.",
        "2 packets were judged because their flows found no room in a set.",
    ]
    calm = stats_lines(StatsReport(SINCE, [COUNT], replace(CACHE, refused=0), CALM), 2, 80)
    assert calm == lines[:-1]


def test_what_nobody_will_know_is_said() -> None:
    """From when to when the kernel's own counts are lost, and how often that happened."""
    lost = replace(CACHE, losses=1, lost_since=SINCE, lost_until="2026-01-02T03:04:12+00:00")
    told = stats_lines(StatsReport(SINCE, [COUNT], lost, CALM), 2, 80)
    assert told[8:-1] == [
        "Another program took our rules or counters away at 2026-01-02 03:04:12: what the",
        "kernel decided by itself since 2026-01-02 03:04:05 is in no count.",
    ]
    again = stats_lines(StatsReport(SINCE, [COUNT], replace(lost, losses=3), CALM), 2, 80)
    assert "our rules or counters away 3 times, last at 2026-01-02" in again[8]


def test_what_a_dead_process_judged_is_said() -> None:
    """Since when nothing is counted; also where the kernel decides nothing by itself."""
    lost = UnreportedReport(1, SINCE, "2026-01-02T03:04:08+00:00")
    told = stats_lines(StatsReport(SINCE, [COUNT], NO_CACHE, lost), 2, 80)
    assert told[3:] == [
        "",
        "A packet process died at 2026-01-02 03:04:08: what it judged since 2026-01-02",
        "03:04:05 is in no count.",
    ]
    nothing_else = stats_lines(StatsReport(SINCE, [], NO_CACHE, lost), 2, 80)
    assert nothing_else[1:] == ["  none", *told[3:]]
    again = filter_lines([page(unreported=replace(lost, deaths=3))], [], 2, 80)
    assert again[-2].startswith("3 packet processes died, last at 2026-01-02 03:04:08: what it")


def test_filters_by_hits() -> None:
    """Those that decided nothing are counted, or last; so is what is not in force any more."""
    gone = replace(FILTER, action="", packets=100)
    never = replace(FILTER, filter="any <-> me:22 tcp", packets=0, octets=0, last=None)
    lines = filter_lines([page(left_out=2)], [FILTER, never, gone], 3, 80)
    assert lines[1:] == [
        "   hits     bytes  last hit    action and filter",
        "    100    9.9 kB  2026-01-02  (not in force)  me <-> any [Block]",
        "     99    9.9 kB  2026-01-02  block   me <-> any [Block]",
        "      0       0 B  never       block   any <-> me:22 tcp [Block]",
        "2 filters decided nothing: --all",
    ]
    assert filter_lines([page()], [gone, FILTER], 1, 80)[-1] == "     99  in 1 more line: --top 2"
    assert filter_lines([page(left_out=3)], [], 1, 80)[1:] == ["3 filters decided nothing: --all"]


def test_no_filters() -> None:
    """That there are none is said, and not taken for none that decided."""
    assert filter_lines([page()], [], 50, 80)[1:] == ["  no filter is in force"]
    assert filter_lines([page(left_out=1)], [], 50, 80)[1:] == ["1 filter decided nothing: --all"]


def test_a_hit_of_today_is_told_by_its_time() -> None:
    """The date would say less."""
    now = datetime.datetime.now().astimezone().isoformat(timespec="seconds")
    [line] = filter_lines([page()], [replace(FILTER, last=now)], 1, 80)[2:]
    assert now[11:19] in line


def test_parts_are_put_together(daemon: FakeDaemon) -> None:
    """With --json as one list, without a word of parts."""
    second = replace(FILTER, rule="Web")
    parts = [page(FILTER, left_out=1, next=7), page(second, left_out=2)]
    daemon.answers["FilterStats"] = iter(parts)
    found = json.loads(ipsecfd("stats", "filters", "--json").stdout)
    assert [one["rule"] for one in found["filters"]] == ["Block", "Web"]
    assert (found["left_out"], "next" in found) == (3, False)
    assert [parameters["first"] for _, _, parameters in daemon.asked] == [0, 7]


def test_parts_of_other_policies_are_thrown_away(daemon: FakeDaemon) -> None:
    """After a reload the list begins again; when there is no end to that it is an error."""
    parts = [page(FILTER, next=7), page(FILTER, version=4), page(FILTER, version=4)]
    daemon.answers["FilterStats"] = iter(parts)
    assert len(json.loads(ipsecfd("stats", "filters", "--json").stdout)["filters"]) == 1
    daemon.answers["FilterStats"] = (page(version=number, next=7) for number in range(1000))
    assert isinstance(ipsecfd("stats", "filters").exception, IpsecfdError)


@pytest.mark.parametrize("words", [["--all"], ["filters", "--all", "--top", "3"], ["filter"]])
def test_options_that_make_no_sense_are_usage_mistakes(
    daemon: FakeDaemon, words: list[str]
) -> None:
    """Exit status 2, and the daemon is not asked."""
    assert ipsecfd("stats", *words).exit_code == 2
    assert daemon.asked == []
