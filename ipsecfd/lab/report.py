"""What came of a scenario: lines for people that fit 80 columns, and an object for programs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Final

from ipsecfd.lab.play import Cause, Played, Result
from ipsecfd.lab.probes import Outcome
from ipsecfd.lab.scenario import Do

WIDTH: Final = 80
_TRIED, _EXPECTED, _SEEN = 35, 9, 8
_CAUSE: Final = _TRIED + _EXPECTED + _SEEN

_GREEN, _RED, _BOLD, _DIM = "32", "31", "1", "2"


def report(played: Played, *, color: bool = False) -> Iterator[str]:
    """The lines of a report: heading, one entry a step, summary."""
    paint = _paint if color else _plain
    yield paint(played.scenario.name, _BOLD)
    for paragraph in played.scenario.description.split("\n\n"):
        yield from textwrap.wrap(paragraph, WIDTH)
    yield ""
    heading = f"{'What was tried':<{_TRIED}}{'Expected':<{_EXPECTED}}{'Seen':<{_SEEN}}Decided by"
    yield paint(heading, _BOLD)
    yield "-" * WIDTH
    for result in played.results:
        if isinstance(result.step, Do):
            yield paint(f"then: {result.step}", _BOLD)
        else:
            yield from _entry(result, color=color)
    yield "-" * WIDTH
    tries = len(played.tries)
    good = tries - played.failures
    summary = f"{good} of {tries} as expected, in {played.seconds:.1f} s."
    yield paint(summary, _RED if played.failures else _GREEN)


def report_fields(played: Played) -> dict[str, Any]:
    """The same as an object of plain values."""
    return {
        "scenario": played.scenario.name,
        "as_expected": not played.failures,
        "seconds": round(played.seconds, 3),
        "steps": [_fields(result) for result in played.results],
    }


def _entry(result: Result, *, color: bool) -> Iterator[str]:
    """Two lines: what it was, the verdicts and the rule; the packet and the filter."""
    paint = _paint if color else _plain
    step, seen = result.step, result.seen
    assert seen is not None
    assert not isinstance(step, Do)
    name, detail = _cause_lines(result.cause, passed=seen.passed)
    what = textwrap.wrap(step.words, _TRIED - 1)
    verdict = paint(f"{seen.outcome!s:<{_SEEN}}", _GREEN if result.as_expected else _RED)
    first = f"{what[0]:<{_TRIED}}{step.expect!s:<{_EXPECTED}}{verdict}{name}"
    yield first.rstrip()
    yield from (line for line in what[1:])
    packet = f"  {seen.probe}"
    details = textwrap.wrap(detail, WIDTH - _CAUSE) or [""]
    yield f"{paint(f'{packet:<{_CAUSE}}', _DIM)}{details[0]}".rstrip()
    yield from (" " * _CAUSE + line for line in details[1:])
    if not result.as_expected:
        yield paint(f"  NOT AS EXPECTED: {_complaint(result)}", _RED)


def _cause_lines(cause: Cause | None, *, passed: bool) -> tuple[str, str]:
    """What decided, in two short lines."""
    if cause is None:
        return "not judged" if passed else "not in the log", ""
    if cause.rule:
        return f"{cause.rule}{' (mirror)' if cause.mirrored else ''}", cause.filter or ""
    if cause.exemption:
        return cause.exemption, "exemption"
    if cause.reason == "mode":
        return f"mode {cause.detail or ''}".rstrip(), ""
    return cause.reason.replace("-", " "), cause.detail or ""


def _complaint(result: Result) -> str:
    step, seen = result.step, result.seen
    assert seen is not None
    assert not isinstance(step, Do)
    if seen.outcome is not step.expect:
        return f"{seen.outcome} ({seen.how})"
    if seen.outcome is Outcome.PASS and seen.records:
        return "logged as dropped, but it arrived"
    found = result.cause.name if result.cause else "nothing that the log names"
    return f"decided by {found}, not by {step.by}"


def _fields(result: Result) -> dict[str, Any]:
    step, seen, cause = result.step, result.seen, result.cause
    if isinstance(step, Do) or seen is None:
        return {"do": str(step)}
    decided = None
    if cause is not None:
        decided = {
            "reason": cause.reason,
            "rule": cause.rule,
            "filter": cause.filter,
            "mirrored": cause.mirrored,
            "exemption": cause.exemption,
            "detail": cause.detail,
            "logged": cause.logged,
        }
    return {
        "what": step.words,
        "probe": str(seen.probe),
        "expected": str(step.expect),
        "seen": str(seen.outcome),
        "how": seen.how,
        "as_expected": result.as_expected,
        "decided_by": decided,
        "seconds": round(seen.seconds, 3),
        "records": list(seen.records),
    }


def _paint(text: str, code: str) -> str:
    return f"\x1b[{code}m{text}\x1b[0m"


def _plain(text: str, _: str) -> str:
    return text
