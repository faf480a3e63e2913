"""Learnt flows, from what Linux 6.18 answered about sets of ours."""

from __future__ import annotations

import ipaddress
import struct

import pytest

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.kernel import flows, nfnetlink
from ipsecfd.kernel.cache import FlowSet, Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.flows import Flow
from tests.unit.kernel.netlink import Recorded

PLAIN = Generation(2)
PORTS4 = FlowSet(Direction.IN, 4, True, Verdict.PERMIT, PLAIN)
PORTS6 = FlowSet(Direction.IN, 6, True, Verdict.PERMIT, PLAIN)
OTHERS4 = FlowSet(Direction.IN, 4, False, Verdict.PERMIT, PLAIN)

ELEMENTS4 = (
    "940000000c0a0200000000001f290000010000050c000100697073656366640017000200696e345f706f7274735f"
    "7065726d69745f3200005c000300580001001c00010018000100c0000201c000020a110000009c4000001b580000"
    "2c0007000c000100636f756e746572001c0002000c00010000000000000000720c00020000000000000000030c00"
    "0500000000000000e828"
)
KEY4 = "c0000201c000020a110000009c4000001b580000"
ELEMENTS6 = (
    "ac0000000c0a0200000000001f290000010000050c000100697073656366640017000200696e365f706f7274735f"
    "7065726d69745f3200007400030070000100340001003000010020010db800000000000000000000000120010db8"
    "000000000000000000000010110000009c4100001b5800002c0007000c000100636f756e746572001c0002000c00"
    "010000000000000000ae0c00020000000000000000030c000500000000000000e828"
)
OTHERS = (
    "880000000c0a0200000000001f290000010000050c000100697073656366640011000200696e345f7065726d6974"
    "5f320000000054000300500001001400010010000100c0000201c000020a010000002c0007000c000100636f756e"
    "746572001c0002000c00010000000000000000a80c00020000000000000000020c000500000000000000e994"
)
EMPTY = (
    "3c0000000c0a0200000000001f290000010000050c000100697073656366640017000200696e345f706f7274735f"
    "7065726d69745f320000040003001400000003000200000000001f29000000000000"
)
NO_SUCH_SET = (
    "4000000002000000000000001f290000feffffff2c0000000d0a01030000000000000000010000000c0001006970"
    "7365636664000c0002006e6f7468696e6700"
)
NOT_PERMITTED = NO_SUCH_SET.replace("feffffff", "ffffffff")


def read(monkeypatch: pytest.MonkeyPatch, one: FlowSet, *answers: str) -> list[Flow]:
    """The flows of one set by these answers."""
    monkeypatch.setattr(nfnetlink, "connect", lambda: Recorded(*answers))
    return list(flows.read([one]))


def address(text: str) -> int:
    return int(ipaddress.ip_address(text))


def test_with_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends, ports, what was counted, and how long it lasts."""
    expected = Flow(
        Direction.IN,
        Verdict.PERMIT,
        interface=0,
        family=4,
        source=address("192.0.2.1"),
        destination=address("192.0.2.10"),
        protocol=17,
        source_port=40000,
        destination_port=7000,
        packets=3,
        octets=114,
        seconds_left=59.432,
        key=b"in4_ports_permit_2" + bytes.fromhex(KEY4),
    )
    assert read(monkeypatch, PORTS4, ELEMENTS4, EMPTY) == [expected]


def test_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A set that changes while it is read may have a flow in two of the parts: it is one."""
    assert len(read(monkeypatch, PORTS4, ELEMENTS4, ELEMENTS4, EMPTY)) == 1


def test_a_set_is_read_before_anything_is_done_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The longer it takes, the more comes and goes meanwhile."""
    answers = Recorded(ELEMENTS4, EMPTY)
    monkeypatch.setattr(nfnetlink, "connect", lambda: answers)
    found = flows.read([PORTS4])
    assert next(iter(found)).packets == 3
    assert not answers.left
    assert list(found) == []


def test_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    """Longer addresses, the same places."""
    (flow,) = read(monkeypatch, PORTS6, ELEMENTS6, EMPTY)
    assert flow[3:11] == (
        6,
        address("2001:db8::1"),
        address("2001:db8::10"),
        17,
        40001,
        7000,
        3,
        174,
    )


def test_without_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """ICMP has none, and its type is not taken for one."""
    (flow,) = read(monkeypatch, OTHERS4, OTHERS, EMPTY)
    assert (flow.protocol, flow.source_port, flow.destination_port) == (1, 0, 0)
    assert (flow.packets, flow.octets) == (2, 168)


def test_by_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    """The interface's index stands before the addresses, in the host's byte order."""
    key = struct.pack("=I", 3).hex()
    answer = ELEMENTS4.replace("940000000c0a", "980000000c0a")
    answer = answer.replace("5c00030058000100", "600003005c000100")
    answer = answer.replace("1c00010018000100", f"200001001c000100{key}")
    one = PORTS4._replace(generation=Generation(2, by_interface=True))
    (flow,) = read(monkeypatch, one, answer, EMPTY)
    assert (flow.interface, flow.source, flow.destination_port) == (3, address("192.0.2.1"), 7000)


def test_sets_that_are_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are empty: a change may have been quicker."""
    assert read(monkeypatch, PORTS4, NO_SUCH_SET) == []
    assert read(monkeypatch, PORTS4, EMPTY) == []


def test_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other errors are told."""
    with pytest.raises(KernelError, match="Operation not permitted"):
        read(monkeypatch, PORTS4, NOT_PERMITTED)


def test_key_of_another_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that is too short is no flow, and the message says which set it is of."""
    with pytest.raises(KernelError, match=r"in4_ports_permit_2: a key of 12 bytes, expected 20"):
        read(monkeypatch, PORTS4, OTHERS, EMPTY)
