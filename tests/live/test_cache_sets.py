"""What the rules of learnt flows let pass by themselves, and what they learn: nobody judges here.

Packets that no set lets pass end at the queue, which nobody has bound.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.kernel import cache, rules
from ipsecfd.kernel.cache import Generation
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.rules import RulesConfig
from ipsecfd.lab import Lab
from ipsecfd.lab.craft import with_header_checksum
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    ROUTING,
    extension,
    fragment_header,
    icmp,
    ip,
    ipv4,
    ipv6,
    tcp,
    udp,
)
from tests.live.witness import Witness, numbered

pytestmark = [pytest.mark.live, pytest.mark.skipif(os.geteuid() != 0, reason="needs root")]

ENDS = {
    4: {
        Direction.IN: ("192.0.2.1", "192.0.2.10"),
        Direction.OUT: ("192.0.2.10", "198.51.100.7"),
        Direction.FORWARD: ("203.0.113.66", "198.51.100.7"),
    },
    6: {
        Direction.IN: ("2001:db8::1", "2001:db8::10"),
        Direction.OUT: ("2001:db8::10", "2001:db8::77"),
        Direction.FORWARD: ("2001:db8:66::66", "2001:db8::77"),
    },
}
UDP_PORTS, TCP_PORTS, GRE = (4000, 80), (4001, 81), 47
SENTINEL_FLOW = ("192.0.2.1", "192.0.2.10", 17, 1, 1)
MOBILITY, AUTHENTICATION, UDP_LITE, SCTP, DCCP = 135, 51, 136, 132, 33
MANY = udp(*UDP_PORTS, bytes(24))
_MARK = f"meta mark set {Marks().permit(1):#x};"
MARK_ALL = f"""
table inet marking {{
    chain in {{ type filter hook input priority mangle - 1; {_MARK} }}
    chain forward {{ type filter hook forward priority mangle - 1; {_MARK} }}
    chain out {{ type filter hook postrouting priority {-(2**31) + 2}; {_MARK} }}
}}
"""
"""Marks every packet as one to learn, where the queue would do so."""


@pytest.fixture
def lab() -> Iterator[Lab]:
    """Two hosts on a wire; the rules go on the one called guard, which also routes."""
    with Lab() as lab:
        lab["guard"].set_sysctl("net/ipv4/ip_forward", "1")
        lab["guard"].set_sysctl("net/ipv6/conf/all/forwarding", "1")
        yield lab


class Sent(NamedTuple):
    """What arrives, in one part or more, and whether it is of a learnt flow."""

    what: str
    parts: tuple[bytes, ...]
    learnt: bool
    pieces: bool = False
    """Whether that is so only where parts are put together."""


def packets(family: int, ends: tuple[str, str]) -> Iterator[Sent]:
    """Packets of the learnt flows between two ends, and many that only look like them."""
    many = udp(*UDP_PORTS, bytes(24))
    whole = {
        "UDP": ip(*ends, 17, udp(*UDP_PORTS)),
        "TCP": ip(*ends, 6, tcp(*TCP_PORTS)),
        "GRE": ip(*ends, GRE, bytes(12)),
        "no data": ip(*ends, 17, udp(*UDP_PORTS)[:4]),
    }
    other = {
        "TCP with the ports of UDP": ip(*ends, 6, tcp(*UDP_PORTS)),
        "UDP with the ports of TCP": ip(*ends, 17, udp(*TCP_PORTS)),
        "ports swapped": ip(*ends, 17, udp(*UDP_PORTS[::-1])),
        "other port": ip(*ends, 17, udp(UDP_PORTS[0], UDP_PORTS[1] + 1)),
        "half of the ports": ip(*ends, 17, udp(*UDP_PORTS)[:3]),
        "no ports": ip(*ends, 17),
        "ESP": ip(*ends, 50, bytes(12)),
        "echo": ip(*ends, 1, icmp(8)) if family == 4 else ip(*ends, 58, icmp(128)),
        "ports where ICMP has type and code": ip(*ends, 1, udp(*UDP_PORTS)),
    }
    for protocol in (SCTP, DCCP, UDP_LITE, AUTHENTICATION):
        other[f"protocol {protocol} with ports"] = ip(*ends, protocol, udp(*UDP_PORTS))
    if family == 4:
        whole["options"] = ipv4(*ends, 17, udp(*UDP_PORTS), options=b"\x01" * 8)
        whole["not to be cut"] = ipv4(*ends, 17, udp(*UDP_PORTS), flags=0x4000)
    else:
        for header in (HOP_BY_HOP, DESTINATION_OPTIONS, ROUTING, MOBILITY):
            behind = extension(17) + udp(*UDP_PORTS)
            other[f"UDP behind {header}"] = ipv6(*ends, header, behind)
            other[f"GRE behind {header}"] = ipv6(*ends, header, extension(GRE) + bytes(12))
    for what, packet in whole.items():
        yield Sent(what, (packet,), True)
    for what, packet in other.items():
        yield Sent(what, (packet,), False)
    first, last = part(family, ends, 17, many[:16], more=True), part(family, ends, 17, many[16:], 2)
    yield Sent("two parts", (first, last), True, pieces=True)
    yield Sent("the first part alone", (first,), False)
    yield Sent("the last part alone", (last,), False)
    other_ends = part(family, ends, 17, udp(*TCP_PORTS, bytes(24))[:16], more=True)
    yield Sent("two parts of another flow", (other_ends, last), False)
    # Its data are where the ports of a whole packet would be.
    yield Sent("a part with ports inside", (part(family, ends, 17, many, 4),), False)
    yield Sent("TCP flags rewritten", (part(family, ends, 6, tcp(*TCP_PORTS), 1),), False)
    yield Sent("GRE cut", (part(family, ends, GRE, bytes(24), more=True),), False)
    if family == 6:
        yield Sent("a fragment that is all", (part(6, ends, 17, many),), True, pieces=True)


def part(
    family: int,
    ends: tuple[str, str],
    protocol: int,
    payload: bytes,
    offset: int = 0,
    *,
    more: bool = False,
) -> bytes:
    """A fragment; `offset` is in units of eight bytes."""
    if family == 4:
        return ipv4(*ends, protocol, payload, offset=offset, more=more)
    header = fragment_header(protocol, offset=offset, more=more)
    return ipv6(*ends, FRAGMENT_HEADER, header + payload)


def known_as(packet: bytes, number: int) -> bytes:
    """A packet that is noted under this number; parts with the same one belong together."""
    if packet[0] >> 4 == 6 and packet[6] == FRAGMENT_HEADER:
        packet = packet[:44] + number.to_bytes(4, "big") + packet[48:]
    return numbered(packet, number)


def install(lab: Lab, *, bypass: bool = False, by_interface: bool = False) -> None:
    """Put our rules on the guard, with nobody behind the queue."""
    config = RulesConfig(forward=True, bypass=bypass)
    lab["guard"].call(lambda: rules.install(config, Generation(1, by_interface=by_interface)))


def nft(lab: Lab, script: str) -> None:
    """Have the guard's nft do something."""
    lab["guard"].path("/run/script.nft").write_text(script)
    lab["guard"].run(["nft", "-f", "/run/script.nft"], check=True)


def learn(lab: Lab, direction: Direction) -> None:
    """Put the flows into the sets of one direction, those of all other directions, too."""
    script = []
    for family, of_family in ENDS.items():
        for source, destination in of_family.values():
            flow = f"{source} . {destination}"
            ported = f"{flow} . udp . {' . '.join(map(str, UDP_PORTS))}"
            ported += f", {flow} . tcp . {' . '.join(map(str, TCP_PORTS))}"
            for kind, elements in (("_ports", ported), ("", f"{flow} . {GRE}")):
                name = f"{direction}{family}{kind}_permit_1"
                script.append(f"add element inet ipsecfd {name} {{ {elements} }}\n")
    nft(lab, "".join(script))


@pytest.mark.parametrize("defragment", [True, False], ids=["whole", "fragments"])
@pytest.mark.parametrize("learnt", Direction, ids=str)
def test_only_whole_packets_of_the_very_flow_pass(
    lab: Lab, learnt: Direction, defragment: bool
) -> None:
    """What is learnt in one direction lets whole packets of these flows pass in that direction,
    whatever else they carry, and nothing else: no fragment, no look-alike, no other hook; also
    where the kernel does not put fragments together."""
    install(lab)
    learn(lab, learnt)
    if not defragment:
        nft(lab, "flush chain inet ipsecfd defragment")
    wrong = []
    with Witness(lab) as witness:
        sent = send_all(witness)
        for family, of_family in sent.items():
            seen, passed = witness.seen(family), witness.passed(family)
            for number, (direction, one) in of_family.items():
                together = defragment or (family == 4 and direction is Direction.IN)
                expected = direction is learnt and one.learnt and (together or not one.pieces)
                if (number in passed) is not expected:
                    wrong.append((family, direction, one.what))
                if not together:
                    assert number in seen, one.what
    assert wrong == []


def send_all(witness: Witness) -> dict[int, dict[int, tuple[Direction, Sent]]]:
    """Send all kinds of packets in all directions; which they are by family and number."""
    sent: dict[int, dict[int, tuple[Direction, Sent]]] = {4: {}, 6: {}}
    numbers = iter(range(1, 10_000))
    for family, of_family in ENDS.items():
        for direction, ends in of_family.items():
            for one in packets(family, ends):
                number = next(numbers)
                sent[family][number] = direction, one
                for packet in one.parts:
                    witness.send(known_as(packet, number), direction)
    witness.settle()
    return sent


@pytest.mark.parametrize("defragment", [True, False], ids=["whole", "fragments"])
def test_only_whole_packets_are_learnt(lab: Lab, defragment: bool) -> None:
    """Even if every single packet were marked as one to learn: fragments, packets with extension
    headers, ICMPv6 and what has no ports where there should be some end up in no set."""
    install(lab, bypass=True)
    nft(lab, MARK_ALL + ("" if defragment else "flush chain inet ipsecfd defragment"))
    with Witness(lab) as witness:
        send_all(witness)
    tuples = {(17, *UDP_PORTS), (6, *TCP_PORTS), (6, *UDP_PORTS), (17, *TCP_PORTS)}
    tuples |= {(17, *UDP_PORTS[::-1]), (17, UDP_PORTS[0], UDP_PORTS[1] + 1)}
    others = {GRE, 50, 1, SCTP, DCCP, UDP_LITE, AUTHENTICATION}
    for direction in Direction:
        for family in (4, 6):
            ported = learnt(lab, f"{direction}{family}_ports_permit_1") - {SENTINEL_FLOW}
            assert {one[2:] for one in ported} == tuples, (direction, family)
            whole = {one[2] for one in learnt(lab, f"{direction}{family}_permit_1")}
            assert whole == others | ({MOBILITY} if family == 6 else set()), (direction, family)


def learnt(lab: Lab, name: str) -> set[tuple[object, ...]]:
    """The flows in a set."""
    command = ["nft", "-j", "-n", "list", "set", "inet", "ipsecfd", name]
    listed = json.loads(lab["guard"].run(command, check=True).stdout)["nftables"]
    (found,) = (one["set"] for one in listed if "set" in one)
    return {tuple(one["elem"]["val"]["concat"]) for one in found.get("elem", ())}


def test_interface_is_part_of_a_flow(lab: Lab) -> None:
    """Where filters ask for the kind of interface, what is learnt on one passes on no other one,
    in any direction."""
    guard = lab["guard"]
    for command in (
        "ip link add ppp0 type veth peer name wire",
        "ip link set ppp0 address 02:00:00:00:00:99",
        "ip link set wire up",
        "ip link set ppp0 up",
        "ip neigh add 198.51.100.7 lladdr 02:00:00:00:00:98 dev ppp0",
    ):
        guard.run(command.split(), check=True)
    install(lab, bypass=True, by_interface=True)
    nft(lab, MARK_ALL)
    sent = {direction: ip(*ends, 17, udp(*UDP_PORTS)) for direction, ends in ENDS[4].items()}
    wire = guard.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with Witness(lab) as witness, wire:
        wire.bind(("wire", 0))
        for number, (direction, packet) in enumerate(sent.items(), 1):
            witness.send(numbered(packet, number), direction)
        witness.settle()
        nft(
            lab,
            "delete table inet marking\n"
            + "".join(f"insert rule inet ipsecfd queue_{direction} drop\n" for direction in sent),
        )
        for number, (direction, packet) in enumerate(sent.items(), 11):
            witness.send(numbered(packet, number), direction)
        witness.settle()
        guard.run(["ip", "route", "add", "198.51.100.7", "dev", "ppp0"], check=True)
        for number, (direction, packet) in enumerate(sent.items(), 21):
            if direction is Direction.OUT:
                witness.send(numbered(packet, number), direction)
            else:
                frame = bytes.fromhex("020000000099 020000000098 0800")
                wire.send(frame + with_header_checksum(numbered(packet, number)))
        witness.settle()
        assert witness.seen(4) == {1, 2, 3, 11, 12, 13, 21, 22, 23}
        assert witness.passed(4) == {1, 2, 3, 11, 12, 13}


def test_packets_do_not_renew_a_flow(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow passes by itself for as long as its set says, however many packets it has, and is
    judged then."""
    monkeypatch.setattr(cache, "SECONDS", 1)
    install(lab, bypass=True)
    nft(lab, MARK_ALL)
    packet = ip(*ENDS[4][Direction.IN], 17, udp(*UDP_PORTS))
    with Witness(lab) as witness:
        before = time.monotonic()
        witness.send(numbered(packet, 1), Direction.IN)
        nft(lab, "delete table inet marking\ninsert rule inet ipsecfd queue_in drop")
        learnt = time.monotonic()
        sent: dict[int, float] = {}
        while time.monotonic() < learnt + 1.5:
            sent[number := len(sent) + 2] = time.monotonic()
            witness.send(numbered(packet, number), Direction.IN)
            time.sleep(0.02)
        witness.settle()
        passed = witness.passed(4)
    early = {number for number, at in sent.items() if at < before + 0.9}
    late = {number for number, at in sent.items() if at > learnt + 1.1}
    assert early
    assert early <= passed
    assert late
    assert not late & passed
