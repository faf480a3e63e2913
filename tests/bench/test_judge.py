"""How long the driver takes for one packet of each kind, on its own: `make bench-driver`.

`make test` judges each packet once, for its verdict alone: how long that takes is no test.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import pytest

from ipsecfd.driver.decision import Direction, Verdict
from ipsecfd.driver.driver import FLOW_MEMORY, Judge
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.tomlfile import parse_policy
from tests.bench.mix import PORT, policy_text
from tests.builders import fragment_header, ip, ipv4, ipv6, make_driver, packet, udp

Benchmark = Callable[..., Any]

V4, V6 = ("203.0.113.66", "192.0.2.10"), ("2001:db8::66", "2001:db8::10")
FLOOD = udp(40_000, PORT, bytes(22))
KINDS = {
    "UDP": (ip(*V4, 17, FLOOD), "permit"),
    "UDP over IPv6": (ip(*V6, 17, FLOOD), "permit"),
    "ping": (packet(f"in icmp {V4[0]} -> {V4[1]}")[0], "permit"),
    "neighbour discovery": (ipv6(*V6, 58, b"\x87" + bytes(23), hop_limit=255), "permit"),
    "with options": (ipv4(*V4, 17, FLOOD, options=b"\x01" * 8), "permit"),
    "later fragment": (ipv4(*V4, 1, FLOOD, offset=100), "permit"),
    "first fragment over IPv6": (ipv6(*V6, 44, fragment_header(17, more=True) + FLOOD), "permit"),
    "tiny fragment": (ipv4(*V4, 6, bytes(2), more=True), "block"),
    "malformed": (b"\x45\x00\x00", "block"),
}


@pytest.fixture(scope="module", params=[10, 10_000], ids="{} filters".format)
def judge(request: pytest.FixtureRequest) -> Judge:
    """The judge of inbound packets by a mix of so many filters."""
    loaded = parse_policy(policy_text(request.param), "mix.toml", Names(None))
    return make_driver(policies=[(Store.LOCAL, loaded.policy)]).judge(Direction.IN)


@pytest.mark.parametrize("kind", KINDS)
def test_again_and_again(benchmark: Benchmark, judge: Judge, kind: str) -> None:
    """The same packet, as in a flow that goes on."""
    data, verdict = KINDS[kind]
    assert benchmark(judge, data).verdict is Verdict(verdict)


@pytest.mark.parametrize("ends", [V4, V6], ids=["IPv4", "IPv6"])
def test_new_flows(benchmark: Benchmark, judge: Judge, ends: tuple[str, str]) -> None:
    """Every packet from another port, more of them than any memory of flows holds."""
    data, start = ip(*ends, 17, FLOOD), 20 if ends is V4 else 40
    flows = cycle(
        data[:start] + port.to_bytes(2, "big") + data[start + 2 :]
        for port in range(1024, 1024 + FLOW_MEMORY + 1)
    )
    assert benchmark(lambda: judge(next(flows))).verdict is Verdict.PERMIT
