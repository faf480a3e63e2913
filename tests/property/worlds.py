"""Random policies, hosts and packets from small pools, so that they meet often.

From a seeded generator and not from hypothesis' own draws: a thousand times cheaper, and thousands
of worlds are wanted. A failing seed is all that is needed to see a world again.
"""

from __future__ import annotations

import ipaddress
from random import Random

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.host import Host
from ipsecfd.driver.specific import specific_filters
from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Me,
    Policy,
    Prefix,
    Rule,
    Server,
    ServerKind,
    Store,
)
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    HOP_BY_HOP,
    ROUTING,
    Clock,
    extension,
    fragment_header,
    icmp,
    ipv4,
    ipv6,
    tcp,
    udp,
)
from tests.property.naive import ICMP, ICMPV6, RSVP, TCP, UDP, Facts, World

ADDRESSES = {
    4: ["192.0.2.10", "192.0.2.11", "10.0.11.5", "198.51.100.7"],
    6: ["2001:db8::10", "2001:db8::11", "2001:db8:1::5", "fe80::1"],
}
GROUPS = {4: ["192.0.2.255", "255.255.255.255", "224.0.0.251"], 6: ["ff02::1", "ff02::fb"]}
UNSPECIFIED = {4: "0.0.0.0", 6: "::"}
NETWORKS = [
    "0.0.0.0/0", "128.0.0.0/1", "10.0.0.0/8", "10.0.11.0/24", "192.0.2.0/24", "192.0.2.10/31",
    "224.0.0.0/4", "::/0", "2000::/3", "2001:db8::/32", "2001:db8::/64", "2001:db8::10/127",
    "ff00::/8",
]  # fmt: skip
RANGES = [
    ("10.0.0.1", "10.0.11.5"),
    ("192.0.2.9", "192.0.2.12"),
    ("2001:db8::f", "2001:db8::77"),
    ("198.51.100.7", "198.51.100.7"),
]
PORTS = [80, 443, 0xFFFF]
EXEMPT_PORTS = [88, 500, 4500]
PROTOCOLS = [TCP, UDP, ICMP, ICMPV6, RSVP, 50, 255]


def random_world(random: Random, filters: int) -> World:
    """A host and a few policies with this many filters altogether."""
    by_store: dict[Store, list[Rule]] = {}
    by_direction = random.choice([0.0, 0.4, 1.0])
    left = filters
    while left > 0:
        some = min(left, random.choice([1, 1, 2, 4]))
        left -= some
        rules = by_store.setdefault(random.choice(list(Store)), [])
        rules.append(random_rule(random, f"rule {len(rules)}", some, by_direction))
    profile = random.choice(["linux", "linux", "linux", "vista", "vista", *PROFILES])
    return World(
        [
            (store, Policy(f"policy {store}", tuple(rules)))
            for store, rules in random.sample(sorted(by_store.items()), len(by_store))
        ],
        random_host(random),
        profile,
        random.choice([PROFILES[profile].default_exempt, *PROFILES[profile].allowed_exempt]),
    )


def random_host(random: Random) -> Host:
    """A host with up to two addresses a family, and servers that may be the host itself."""
    addresses = [ipaddress.ip_address(text) for pool in ADDRESSES.values() for text in pool]
    mine = [one for one in addresses[:2] + addresses[4:6] if random.random() < 0.7]
    return Host(
        frozenset(mine),
        frozenset(ipaddress.ip_address(text) for text in GROUPS[4][:2]),
        {
            kind: frozenset(random.sample(addresses, random.choice([0, 1, 2])))
            for kind in ServerKind
        },
        delivered=random.random() < 0.5,
    )


def random_rule(random: Random, name: str, filters: int, by_direction: float) -> Rule:
    """A rule whose action is most often permit or block, and may differ by direction."""
    inbound, outbound = (
        random.choice([Action.PERMIT, Action.PERMIT, Action.BLOCK, Action.BLOCK, *Action])
        for _ in range(2)
    )
    if random.random() >= by_direction:
        outbound = inbound
    made = [random_filter(random, f"{name}, filter {number}") for number in range(filters)]
    if random.random() < 0.2:
        made.append(random.choice(made))
    return Rule(
        name,
        FilterList(f"list of {name}", tuple(made)),
        FilterAction("action", inbound, outbound),
        active=random.random() < 0.9,
        connection=random.choice([Connection.ALL, Connection.ALL, *Connection]),
        tunnel=random.random() < 0.1,
    )


def random_filter(random: Random, text: str) -> Filter:
    """A filter; half of those with a protocol that has ports name one or both."""
    protocol = random.choice([0] * 4 + [TCP] * 3 + [UDP] * 3 + PROTOCOLS)
    source_port = destination_port = 0
    if protocol in (TCP, UDP):
        source_port, destination_port = (random.choice([0] * 5 + PORTS) for _ in range(2))
    return Filter(
        random_address(random),
        random_address(random),
        source_port,
        destination_port,
        protocol,
        mirrored=random.random() < 0.5,
        text=text,
    )


def random_address(random: Random) -> Address:
    """An address of any kind, `any` and `me` most often."""
    match random.randrange(10):
        case 0 | 1 | 2:
            return AnyAddress()
        case 3 | 4 | 5:
            return Me()
        case 6:
            return Prefix.of(ipaddress.ip_network(random.choice(ADDRESSES[4] + ADDRESSES[6])))
        case 7:
            return Prefix.of(ipaddress.ip_network(random.choice(NETWORKS)))
        case 8:
            first, last = random.choice(RANGES)
            return AddressRange(ipaddress.ip_address(first), ipaddress.ip_address(last))
        case _:
            if random.random() < 0.5:
                return Server(random.choice(list(ServerKind)))
            some = random.sample(ADDRESSES[4] + ADDRESSES[6], 2)
            return DnsName("www.example.com", tuple(ipaddress.ip_address(one) for one in some))


def random_packet(random: Random) -> tuple[bytes, Facts]:
    """A packet of any kind the parser knows, with what it means."""
    family = random.choice([4, 6])
    source = random.choice([*ADDRESSES[family], *ADDRESSES[family], UNSPECIFIED[family]])
    destination = random.choice(ADDRESSES[family] * 4 + GROUPS[family])
    if random.random() < 0.7:  # most packets concern the host, if it has these addresses
        mine = random.choice(ADDRESSES[family][:2])
        source, destination = random.choice([(source, mine), (mine, destination)])
    protocol = random.choice([TCP, TCP, TCP, UDP, UDP, UDP, *PROTOCOLS])
    source_port, destination_port = (
        random.choice([0, *PORTS * 6, *EXEMPT_PORTS, 40_000]) for _ in range(2)
    )
    if random.random() < 0.1:
        destination_port = source_port
    icmp_type = random.choice([8, 128, 130, 135, 143])
    hop_limit = random.choice([1, 64, 255, 255])
    ported = {TCP: tcp, UDP: udp}.get(protocol)
    payload = ported(source_port, destination_port) if ported else icmp(icmp_type)
    kind = random.choice(["whole"] * 6 + ["later"] * 3 + ["first", "short", "overlap"])
    shown: int | None = protocol
    offset, more = 0, False
    goes_on = with_options = False
    if kind == "first":
        more = True
    elif kind == "short":
        payload, more = payload[: random.randrange(4)], True
    elif kind == "overlap":
        offset = 1
    elif kind == "later":
        offset, more = random.randrange(2, 0x2000), random.random() < 0.5
    if family == 4:
        options = bytes(4 * random.choice([0, 0, 0, 1, 10]))
        with_options = options != b""
        data = ipv4(
            source, destination, protocol, payload, offset=offset, more=more, options=options,
            ttl=hop_limit, tos=random.randrange(256), identification=random.randrange(0x10000),
            flags=random.choice([0, 0x4000]),
        )  # fmt: skip
    else:
        first = protocol
        atomic = kind == "whole" and random.random() < 0.2
        if kind == "later" and random.random() < 0.3:
            shown, first = None, DESTINATION_OPTIONS
        if kind != "whole" or atomic:
            payload = fragment_header(first, offset=offset, more=more) + payload
            first = FRAGMENT_HEADER
        for header in (DESTINATION_OPTIONS, ROUTING, HOP_BY_HOP):
            if random.random() < 0.15:
                fill = random.choice([0, 1, 80])
                payload = extension(first, random.choice([8, 16]), fill) + payload
                goes_on = goes_on or (header == ROUTING and fill > 0)
                first = header
        data = ipv6(
            source, destination, first, payload,
            hop_limit=hop_limit, flow_label=random.randrange(1 << 20),
        )  # fmt: skip
    ports_shown = shown in (TCP, UDP) and kind in ("whole", "first")
    whole_icmpv6 = family == 6 and protocol == ICMPV6 and kind == "whole"
    return data, Facts(
        ipaddress.ip_address(source),
        ipaddress.ip_address(destination),
        shown,
        source_port if ports_shown else None,
        destination_port if ports_shown else None,
        later_fragment=offset > 0,
        hostile_fragment=(kind == "short" and protocol in (TCP, UDP))
        or (kind == "overlap" and protocol == TCP),
        icmpv6_type=icmp_type if whole_icmpv6 else None,
        hop_limit=hop_limit,
        goes_on=goes_on,
        with_options=with_options,
    )


def driver_of(world: World) -> Driver:
    """The driver that should answer as the world does."""
    profile = PROFILES[world.profile]
    lan, dialup = (
        compile_table(
            specific_filters(world.policies, ipv6=profile.filters_ipv6, dialup=on_dialup), 7
        )
        for on_dialup in (False, True)
    )
    return Driver(
        Settings(
            profile=profile,
            exempt=world.exempt,
            host=world.host,
            table=lan,
            dialup_table=dialup,
        ),
        Clock(),
    )


def random_direction(random: Random) -> Direction:
    """Inbound or outbound, now and then routed."""
    return random.choice([Direction.IN] * 3 + [Direction.OUT] * 3 + [Direction.FORWARD])
