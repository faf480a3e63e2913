"""How a played scenario looks."""

from __future__ import annotations

import json
from dataclasses import replace

from ipsecfd.lab.play import Cause, Played, Result
from ipsecfd.lab.probes import Outcome, Probe, Seen
from ipsecfd.lab.report import WIDTH, report, report_fields
from ipsecfd.lab.scenario import Do, Scenario, Try

PROBE = Probe.parse("tcp [2001:db8:66::66]:4000 -> [2001:db8::10]:445")
TRY = Try("somebody tries something that takes very many words to say", PROBE, Outcome.DROP, "R")
RECORD = {"direction": "in", "rule": "R"}
CAUSE = Cause(
    "filter", "R", "any <-> me:3389 tcp # with a long remark behind it", True, logged=True
)
DROPPED = Result(TRY, Seen(PROBE, Outcome.DROP, "logged as dropped", (RECORD,), 0.2), CAUSE)


def played(*results: Result) -> Played:
    scenario = Scenario("A name", tuple(one.step for one in results), description="Word " * 40)
    return Played(scenario, results, (RECORD,), 1.25)


def test_fits_the_width() -> None:
    """No line is wider than 80 columns, long texts or not, and none ends in blanks."""
    lines = list(report(played(DROPPED, Result(Do("mode", ("block",))), DROPPED)))
    assert max(map(len, lines)) == WIDTH
    assert not any(line.endswith(" ") for line in lines)
    assert lines[-1] == "2 of 2 as expected, in 1.2 s."
    assert "then: mode block" in lines


def test_no_cause() -> None:
    """What only others see is not judged; a drop that the log does not have is said to be none of
    its."""
    dropped = replace(DROPPED, cause=None)
    passed = replace(dropped, seen=Seen(PROBE, Outcome.PASS, "delivered", (), 0.2))
    assert any(line.endswith(" not in the log") for line in report(played(dropped)))
    assert any(line.endswith(" not judged") for line in report(played(passed)))


def test_colors_change_nothing_else() -> None:
    """Without colours there is no escape sequence; with them the same words are there."""
    plain = "\n".join(report(played(DROPPED)))
    assert "\x1b" not in plain
    assert "\x1b[32m" in "\n".join(report(played(DROPPED), color=True))


def test_wrong_verdict() -> None:
    """A verdict that was not expected is named below, and counted."""
    assert DROPPED.seen is not None
    passed = replace(DROPPED, seen=replace(DROPPED.seen, outcome=Outcome.PASS, how="delivered"))
    lines = list(report(played(DROPPED, passed)))
    assert "  NOT AS EXPECTED: pass (delivered)" in lines
    assert lines[-1].startswith("1 of 2 as expected")


def test_passed_though_logged_as_dropped() -> None:
    """A packet that arrives although the log says it was dropped is never as expected."""
    assert DROPPED.seen is not None
    result = Result(
        Try("x", PROBE, Outcome.PASS),
        replace(DROPPED.seen, outcome=Outcome.PASS),
        Cause("filter", "R", "any <-> me"),
    )
    assert not result.as_expected
    assert "  NOT AS EXPECTED: logged as dropped, but it arrived" in report(played(result))


def test_wrong_cause() -> None:
    """The right verdict by something else than the scenario names is not as expected."""
    other = replace(DROPPED, cause=replace(CAUSE, rule="Other"))
    silent = replace(DROPPED, cause=None)
    lines = list(report(played(other, silent)))
    assert "  NOT AS EXPECTED: decided by Other, not by R" in lines
    assert "  NOT AS EXPECTED: decided by nothing that the log names, not by R" in lines


def test_cause_has_one_name() -> None:
    """`by` means the rule, else the exemption, else the reason."""
    assert CAUSE.name == "R"
    assert Cause("exemption", exemption="EX:IKE").name == "EX:IKE"
    assert Cause("mode", detail="block").name == "mode"


def test_fields_are_json() -> None:
    """The object for programs says the same, in plain values."""
    fields = json.loads(json.dumps(report_fields(played(DROPPED, Result(Do("restart"))))))
    assert fields["as_expected"] is True
    assert fields["steps"][0]["probe"] == str(PROBE)
    assert fields["steps"][0]["decided_by"]["rule"] == "R"
    assert fields["steps"][1] == {"do": "restart"}
