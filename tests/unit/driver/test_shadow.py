"""Judges compared: the first one decides, whatever the other says, and every packet is counted."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver import shadow
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Judge
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.shadow import Comparison, FlowKey
from tests.builders import make_driver, packet

WEB, SSH, MAIL = (f"in tcp 203.0.113.66:4000 -> 192.0.2.10:{port}" for port in (80, 22, 25))


def judges() -> tuple[Judge, Judge]:
    """What judges inbound packets now, and what would then."""
    now = make_driver("permit any <-> me:80 tcp", "block me <-> any")
    then = make_driver("permit any <-> me:22 tcp", "block me <-> any")
    return now.judge(Direction.IN), then.judge(Direction.IN)


def both(comparison: Comparison) -> Judge:
    """The judge of inbound packets that compares."""
    return comparison.judge(*judges(), Direction.IN)


def test_the_first_judge_decides() -> None:
    """Its very decision is given, the one that is counted and logged."""
    given: list[Decision] = []
    now, then = judges()

    def noting(data: bytes, cut: bool = False) -> Decision:
        given.append(now(data, cut))
        return given[-1]

    judge = Comparison(1).judge(noting, then, Direction.IN)
    for text in (WEB, SSH, MAIL):
        assert judge(packet(text)[0]) is given[-1]
    assert [one.verdict.value for one in given] == ["permit", "block", "block"]


def test_what_would_change_is_noted_with_both_causes() -> None:
    """Filter, direction, flow, packets; what stays the same is only counted."""
    comparison = Comparison(1)
    judge = both(comparison)
    for text in (WEB, WEB, SSH, MAIL, MAIL):
        judge(packet(text)[0])
    found = comparison.take()
    assert (found.number, found.packets, found.faults) == (1, 5, 0)
    noted = [(one.now.filter, one.then.filter, one.packets) for one in found.changes]
    # the second packet of a flow has a decision of its own, which may be learnt
    assert sorted(noted, key=str) == [
        ("any <-> me:80 tcp", "me <-> any", 1),
        ("any <-> me:80 tcp", "me <-> any", 1),
        ("me <-> any", "any <-> me:22 tcp", 1),
    ]
    source, destination = (ipaddress.ip_address(one) for one in ("203.0.113.66", "192.0.2.10"))
    assert {flow for one in found.changes for flow, _ in one.flows} == {
        FlowKey(source.packed, destination.packed, 6, 4000, port) for port in (80, 22)
    }


def test_taking_begins_anew() -> None:
    """What was taken is not told again."""
    comparison = Comparison(7)
    both(comparison)(packet(WEB)[0])
    comparison.take()
    assert comparison.take() == (7, 0, 0, ())


def test_a_failing_judge_changes_nothing() -> None:
    """The packet meets the first judge's verdict, and the failure is counted."""

    def failing(data: bytes, cut: bool = False) -> Decision:
        raise RuntimeError(data, cut)

    comparison = Comparison(1)
    judge = comparison.judge(judges()[0], failing, Direction.IN)
    assert judge(packet(WEB)[0]).permits
    assert comparison.take() == (1, 0, 1, ())


def test_flows_are_bounded_and_packets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those known go on; packets of the others are counted without their flow."""
    monkeypatch.setattr(shadow, "MOST_FLOWS", 2)
    comparison = Comparison(1)
    judge = both(comparison)
    for port in (1, 2, 3, 4, 1):
        judge(packet(f"in tcp 203.0.113.66:{port} -> 192.0.2.10:22")[0])
    changes = comparison.take().changes
    assert sum(one.packets for one in changes) == 5
    assert sum(len(one.flows) for one in changes) == 2
    assert sum(packets for one in changes for _, packets in one.flows) < 5


def test_causes_are_bounded_and_packets_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes on top is counted by verdict and reason."""
    monkeypatch.setattr(shadow, "MOST_CAUSES", 1)
    comparison = Comparison(1)
    judge = both(comparison)
    for text in (WEB, SSH):
        judge(packet(text)[0])
    first, second = comparison.take().changes
    assert first.now.filter == "any <-> me:80 tcp"
    assert (second.now.verdict.value, second.then.verdict.value) == ("block", "permit")
    assert second.now.detail == "more causes than can be told apart"


def test_malformed_packets_have_no_flow() -> None:
    """Permit mode passes them, secure mode does not."""
    comparison = Comparison(1)
    always = make_driver(mode=Mode.PERMIT).judge(Direction.IN)
    comparison.judge(always, judges()[0], Direction.IN)(b"\x45\x00")
    [change] = comparison.take().changes
    assert (change.packets, change.flows) == (1, ())
