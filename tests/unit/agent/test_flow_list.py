"""Learnt flows as reports, and which of them are wanted."""

from __future__ import annotations

import pytest

from ipsecfd.agent.flow_list import FlowChoice, flow_list
from ipsecfd.agent.learnt import Found, Known
from ipsecfd.agent.tally import Cause
from ipsecfd.driver.decision import Decision, Direction, Reason, Verdict
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.flows import Flow
from ipsecfd.policy.model import ICMP, TCP

WEB = Flow(
    *(Direction.IN, Verdict.PERMIT, 0, 4, 0xCB007142, 0xC000020A, TCP, 4000, 80),
    packets=7,
    octets=700,
    seconds_left=41.6,
    key=b"web",
)
PING = WEB._replace(protocol=ICMP, source_port=0, destination_port=0, direction=Direction.OUT)
PERMITTED = Decision(Verdict.PERMIT, Reason.FILTER, policy="p", rule="Web", filter="any <-> me:80")
CAUSE = Cause.of(Direction.IN, PERMITTED)


@pytest.mark.parametrize(
    ("asked", "web", "ping"),
    [
        ((None, None, None, None), True, True),
        (("203.0.113.66", None, None, None), True, True),
        (("192.0.2.9/24", None, None, None), True, True),
        (("10.0.0.0/8", None, None, None), False, False),
        (("2001:db8::/32", None, None, None), False, False),
        ((None, 80, None, None), True, False),
        ((None, 4000, None, None), True, False),
        ((None, 0, None, None), False, False),
        ((None, None, None, "in"), True, False),
        ((None, None, None, "out"), False, True),
    ],
)
def test_either_end_counts(
    asked: tuple[str | None, int | None, str | None, str | None], web: bool, ping: bool
) -> None:
    """Address, port, direction; only TCP and UDP have ports."""
    choice = FlowChoice.of(*asked)
    assert (choice.has(WEB), choice.has(PING)) == (web, ping)


def test_rules_are_named_in_any_case() -> None:
    """As in the log."""
    assert FlowChoice.of(None, None, "WEB", None).has_cause(CAUSE)
    assert not FlowChoice.of(None, None, "block", None).has_cause(CAUSE)
    no_filter = Cause.of(Direction.IN, Decision(Verdict.PERMIT, Reason.NO_FILTER))
    assert not FlowChoice.of(None, None, "none", None).has_cause(no_filter)


@pytest.mark.parametrize(
    ("address", "direction", "words"),
    [("192.0.2", None, "address '192.0.2'"), (None, "up", "direction 'up'")],
)
def test_mistakes_are_named(address: str | None, direction: str | None, words: str) -> None:
    """With what was expected."""
    with pytest.raises(IpsecfdError, match=f"{words}: expected"):
        FlowChoice.of(address, None, None, direction)


def test_report() -> None:
    """Addresses and names as text; no ports where there are none."""
    found = Found([Known(WEB, "eth0", CAUSE), Known(PING, "", CAUSE)], 9, 70, 7000)
    listed = flow_list(found, None)
    assert (listed.total, listed.packets, listed.octets) == (9, 70, 7000)
    web, ping = listed.flows
    assert (web.protocol, web.source, web.source_port) == ("tcp", "203.0.113.66", 4000)
    assert (web.interface, web.seconds_left, web.rule) == ("eth0", 42, "Web")
    assert (ping.protocol, ping.destination_port, ping.interface) == ("icmp", None, None)
