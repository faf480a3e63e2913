"""Random flows through the lab's guard, policies about them, and the driver that must agree."""

from __future__ import annotations

import time
from random import Random

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.specific import specific_filters
from ipsecfd.lab import Host
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.tomlfile import parse_policy
from tests.builders import DESTINATION_OPTIONS, extension, icmp, ip, ipv4, ipv6, tcp, udp
from tests.live.streams import GUARD

STRANGERS = ("192.0.2.77", "203.0.113.66", "10.0.11.9")
STRANGERS6 = ("2001:db8::77", "2001:db8:66::66")
PORTS = (80, 88, 443, 500, 7001)


def random_policy(random_: Random) -> str:
    """A few filters over the very addresses and ports of the packets."""

    def filters() -> str:
        found = []
        for _ in range(random_.randrange(1, 7)):
            family = random_.random() < 0.7
            other = random_.choice(
                ["any", *STRANGERS, "203.0.113.0/24", "10.0.0.0/8"]
                if family
                else ["any", *STRANGERS6, "2001:db8::/64"]
            )
            name = random_.choice(["any", "tcp", "udp", "icmp", "47"])
            port = ""
            if name in ("tcp", "udp") and random_.random() < 0.7:
                port = f":{random_.choice(PORTS)}"
            ends = [f"{random_.choice(['me', 'me', 'any'])}{port}", other]
            if random_.random() < 0.5:
                ends.reverse()
            if random_.random() < 0.3 and ":" not in other and name in ("tcp", "udp"):
                ends = [f"{one}:{random_.choice(PORTS)}" if one == other else one for one in ends]
            arrow = random_.choice(["<->", "->"])
            found.append(f'"{ends[0]} {arrow} {ends[1]} {name}"')
        return ", ".join(dict.fromkeys(found))

    base = random_.choice(['action = "block"\nfilters = ["me <-> any"]', ""])
    rules = [f"[[rule]]\n{base}\n"] if base else []
    rules += [
        f'[[rule]]\naction = "{one}"\nfilters = [{filters()}]\n' for one in ("permit", "block")
    ]
    return 'name = "Random"\n' + "".join(rules)


def random_packet(random_: Random) -> tuple[bytes, Direction]:
    """A packet in, out or routed, whole or odd."""
    four = random_.random() < 0.6
    me = GUARD if four else "2001:db8::10"
    direction = random_.choice([Direction.IN, Direction.OUT, Direction.FORWARD])
    strangers = random_.sample(STRANGERS if four else STRANGERS6, 2)
    source, destination = strangers if direction is Direction.FORWARD else (strangers[0], me)
    if direction is Direction.OUT:
        source, destination = destination, source
    ports = [random_.choice(PORTS), random_.choice((random_.randrange(1024, 65536), *PORTS))]
    random_.shuffle(ports)
    source_port, destination_port = ports
    protocol = random_.choice([6, 6, 6, 17, 17, 17, 17, 1 if four else 58, 47])
    payload = {
        6: lambda: tcp(source_port, destination_port),
        17: lambda: udp(source_port, destination_port),
        1: lambda: icmp(random_.choice([0, 8])),
        58: lambda: icmp(random_.choice([128, 129])),
    }.get(protocol, lambda: bytes(12))()
    if random_.random() < 0.1:
        if four:
            return ipv4(source, destination, protocol, payload, options=b"\x01" * 4), direction
        behind = extension(protocol) + payload
        return ipv6(source, destination, DESTINATION_OPTIONS, behind), direction
    return ip(source, destination, protocol, payload), direction


def driver_of(policy: str, guard: Host, mode: Mode) -> Driver:
    """The driver that judges by a policy file on the guard."""
    model = parse_policy(policy, "random.toml", Names(None)).policy
    table = compile_table(specific_filters([(Store.LOCAL, model)], ipv6=True), 1)
    settings = Settings(
        mode=mode,
        profile=PROFILES["linux"],
        exempt=0,
        host=guard.seen_by_driver(),
        table=table,
    )
    return Driver(settings, time.monotonic)
