"""`ipsecfd flows`: a table that fits, and the questions it passes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipsecfd.agent.packet_reports import FlowList
from ipsecfd.cli.flows import flow_lines
from tests.unit.cli.fake_daemon import FLOW, FakeDaemon, ipsecfd


def test_each_flow_has_two_lines() -> None:
    """What it is, and what decides about it; the others are counted."""
    assert flow_lines(FlowList(None, 3, 1_234_570, 987_654_621, [FLOW]), 80) == [
        "3 flows learnt: 1,234,570 packets, 987.7 MB",
        "  packets     bytes  left  flow, and what decides about it",
        "1,234,567  987.7 MB   42s  in  tcp 203.0.113.66:40000 -> 192.0.2.10:80",
        "                             permit any <-> me:80 tcp [Web]",
        "and 2 more: --top 3",
    ]


def test_ipv6_without_ports_and_filter_fits() -> None:
    """80 columns; the interface is told where it matters."""
    address = "2001:db8:1111:2222:3333:4444:5555:6666"
    flow = replace(
        FLOW,
        direction="forward",
        interface="ppp0",
        protocol="47",
        source=address,
        source_port=None,
        destination=address,
        destination_port=None,
        filter=None,
        rule=None,
        reason="no-filter",
    )
    lines = flow_lines(FlowList(None, 1, 1, 1, [flow]), 80)
    assert max(map(len, lines)) <= 80
    assert "fwd ppp0 47" in lines[2]
    assert lines[-1].strip() == "permit no filter matches"


def test_nothing_learnt() -> None:
    """One line says so."""
    assert flow_lines(FlowList(None, 0, 0, 0, []), 80) == ["0 flows learnt: 0 packets, 0 B"]


def test_no_more_than_the_daemon_gives() -> None:
    """What is left beyond that can only be asked for by address, port, rule or direction."""
    many = FlowList(None, 20_000, 1, 1, [FLOW] * 10_000)
    assert flow_lines(many, 80)[-1] == "and 10,000 more"


def test_questions_are_passed_on(daemon: FakeDaemon) -> None:
    """As the log's options have them."""
    ipsecfd(
        *("flows", "--address", "10.0.0.0/8", "--port", "80", "--rule", "web"),
        *("--direction", "in", "--top", "7"),
    )
    [(_, _, parameters)] = daemon.asked
    assert parameters == {
        "address": "10.0.0.0/8",
        "port": 80,
        "rule": "web",
        "direction": "in",
        "most": 7,
    }


@pytest.mark.parametrize(
    "words", [("--address", "10.0.0"), ("--direction", "up"), ("--port", "70000"), ("--top", "0")]
)
def test_mistakes_are_usage_mistakes(daemon: FakeDaemon, words: tuple[str, str]) -> None:
    """Exit status 2, and the daemon is not asked."""
    assert ipsecfd("flows", *words).exit_code == 2
    assert daemon.asked == []
