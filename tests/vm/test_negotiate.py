"""Filters that negotiate: what IPsec carries passes them, clear text as they say (spec 1.2).

The keys are put into the kernels by hand, which takes no time, and lets either end speak in clear
text while it still understands the other's ESP.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.vm.guests import GUARD, GUARD6, PEER, PEER6, Guest, Machines, on_port

pytestmark = pytest.mark.needs_esp

PORTS = {"negotiate": 81, "inpass": 82, "soft": 83, "block": 84}
POLICY = """
name = "Negotiation"
[[filter_action]]
name = "Clear text may come in"
type = "negotiate"
inpass = true
[[filter_action]]
name = "Clear text may go both ways"
type = "negotiate"
soft = true
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["me <-> any 50"]
[[rule]]
action = "negotiate"
filters = ["any <-> me:81 tcp"]
[[rule]]
action = "Clear text may come in"
filters = ["any <-> me:82 tcp"]
[[rule]]
action = "Clear text may go both ways"
filters = ["any <-> me:83 tcp"]
"""
NEGOTIATE_ALL = """
name = "Nothing in clear text"
[[rule]]
action = "negotiate"
filters = ["me <-> any"]
"""
SERVER = f"""
import signal, socket
servers = [
    socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
    for port in {[*PORTS.values()]}
]
signal.pause()
"""
WAYS = [(PEER, GUARD), (GUARD, PEER), (PEER6, GUARD6), (GUARD6, PEER6)]


@pytest.fixture(scope="module")
def world(lab: Machines) -> Iterator[Machines]:
    """A service on the guard for each action."""
    guard = lab.guard
    guard.write("/root/server.py", SERVER)
    with guard.services(server=on_port(84, "python3 /root/server.py")):
        yield lab


def protect(guest: Guest, *, speaks: bool, mode: str = "transport") -> None:
    """Let a machine understand ESP of the other, and perhaps send its own TCP by it."""
    here = {GUARD, GUARD6} if guest.name == "guard" else {PEER, PEER6}
    commands = ["ip xfrm state flush", "ip xfrm policy flush"]
    for number, (source, destination) in enumerate(WAYS, 1):
        ends = f"src {source} dst {destination}"
        commands.append(
            f"ip xfrm state add {ends} proto esp spi {0x1000 + number} mode {mode}"
            f" aead 'rfc4106(gcm(aes))' 0x{number:040x} 128"
        )
        template = f"tmpl {ends} proto esp mode {mode}"
        if destination in here:
            # The kernel is to take clear text as well: it is ipsecfd's to stop.
            commands.append(f"ip xfrm policy add {ends} proto tcp dir in {template} level use")
        elif speaks:
            commands.append(f"ip xfrm policy add {ends} proto tcp dir out {template}")
    guest.run(" && ".join(commands))


def reached(lab: Machines) -> dict[str, list[bool]]:
    """Which ports of the guard's the peer reaches by IPv4 and by IPv6, by their action."""
    outcomes = lab.peer.outcomes(
        **{
            f"{action}_{family}": f"nc -z -w5 {address} {port}"
            for action, port in PORTS.items()
            for family, address in (("ipv4", GUARD), ("ipv6", GUARD6))
        }
    )
    return {action: [outcomes[f"{action}_ipv4"], outcomes[f"{action}_ipv6"]] for action in PORTS}


def stopped(drops: list[dict[str, Any]]) -> dict[str, set[tuple[str, str]]]:
    """Direction and reason of what was dropped of the connections to each port, by its action."""
    return {
        action: {
            (drop["direction"], drop["reason"])
            for drop in drops
            if port in (drop["source_port"], drop["destination_port"])
        }
        for action, port in PORTS.items()
    }


BOTH, NEITHER = [True, True], [False, False]
IN, OUT = ("in", "negotiate"), ("out", "negotiate")


@pytest.mark.parametrize(
    ("peer_speaks", "guard_speaks", "negotiate", "inpass", "why"),
    [
        (False, False, NEITHER, NEITHER, {"negotiate": {IN}, "inpass": {OUT}}),
        (False, True, NEITHER, BOTH, {"negotiate": {IN}, "inpass": set()}),
        (True, False, NEITHER, NEITHER, {"negotiate": {OUT}, "inpass": {OUT}}),
        (True, True, BOTH, BOTH, {"negotiate": set(), "inpass": set()}),
    ],
    ids=["clear text", "ESP out only", "ESP in only", "ESP"],
)
def test_each_direction_by_itself(
    world: Machines,
    peer_speaks: bool,
    guard_speaks: bool,
    negotiate: list[bool],
    inpass: list[bool],
    why: dict[str, set[tuple[str, str]]],
) -> None:
    """ESP passes both ways; clear text comes in with inpass only, and goes out with soft only."""
    world.guard.assign(POLICY)
    protect(world.peer, speaks=peer_speaks)
    protect(world.guard, speaks=guard_speaks)
    since = len(world.guard.drops())
    assert reached(world) == {
        "negotiate": negotiate,
        "inpass": inpass,
        "soft": BOTH,
        "block": NEITHER,  # whatever carried it: what was decrypted is judged like the rest
    }
    assert stopped(world.guard.drops()[since:]) == {
        **why,
        "soft": set(),
        "block": {("in", "filter")},
    }


def test_tunnels_protect_as_well(world: Machines) -> None:
    """What comes out of a tunnel came by ESP; the tunnel itself is protocol 50."""
    world.guard.assign(POLICY)
    for guest in (world.peer, world.guard):
        protect(guest, speaks=True, mode="tunnel")
    assert reached(world) == {
        "negotiate": BOTH,
        "inpass": BOTH,
        "soft": BOTH,
        "block": NEITHER,
    }


def test_protected_and_clear_packets_of_one_filter(world: Machines) -> None:
    """A filter for everything passes ESP and what it carries; other packets of the same two hosts
    it stops."""
    world.guard.assign(NEGOTIATE_ALL)
    for guest in (world.peer, world.guard):
        protect(guest, speaks=True)
    assert reached(world)["block"] == BOTH  # there is no other filter now
    assert not world.peer.succeeds(f"ping -c1 -W2 {GUARD}")
    assert not world.guard.succeeds(f"ping -c1 -W2 {PEER}")
