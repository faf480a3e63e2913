"""The decision itself: flow memory, fragments, unknown local addresses, routed packets."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import pytest

from ipsecfd.driver import driver as driver_module
from ipsecfd.driver import table as table_module
from ipsecfd.driver.causes import LOOPBACK, NO_FILTER
from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver, Settings, is_dialup
from ipsecfd.driver.host import Host
from ipsecfd.driver.modes import Mode
from ipsecfd.driver.packet import COPY_RANGE
from tests.builders import (
    DESTINATION_OPTIONS,
    FRAGMENT_HEADER,
    ME,
    ME6,
    ROUTING,
    Clock,
    ask,
    extension,
    fragment_header,
    host,
    icmp,
    ipv4,
    ipv6,
    make_driver,
    packet,
    rule,
    tcp,
    udp,
    verdict,
    why,
)

A, A6 = "203.0.113.66", "2001:db8::66"
WEB = (rule("block", "me <-> any", name="all"), rule("permit", "any <-> me:80 tcp", name="web"))


def inbound(driver: Driver, data: bytes, cut: bool = False) -> str:
    return why(driver.decide(data, Direction.IN, "eth0", cut))


class TestFlowMemory:
    """Decisions are remembered by flow; each of these would fool a careless key."""

    @pytest.fixture
    def driver(self) -> Driver:
        driver = make_driver(*WEB)
        for data in (ipv4(A, ME, 6, tcp(4000, 80)), ipv6(A6, ME6, 6, tcp(4000, 80))):
            assert inbound(driver, data) == inbound(driver, data) == "web"
        return driver

    @pytest.mark.parametrize(
        ("data", "expected"),
        [
            (ipv4(A, ME, 6, tcp(4000, 80), tos=255, ttl=1, identification=9), "web"),
            (ipv4(A, ME, 6, tcp(4000, 80), flags=0x4000), "web"),
            (ipv4(A, ME, 6, tcp(4000, 80), total_length=0), "web"),
            (ipv4(A, ME, 6, tcp(4000, 80) + bytes(999)), "web"),
            (ipv4(A, ME, 6, tcp(4000, 81)), "all'"),
            (ipv4(A, ME, 6, tcp(80, 4000)), "all'"),
            (ipv4(A, ME, 17, udp(4000, 80)), "all'"),
            (ipv4(A, ME, 1, tcp(4000, 80)), "all'"),
            (ipv4(A, ME, 6, tcp(4000, 80), more=True), "web"),
            (ipv4(A, ME, 6, tcp(4000, 80), offset=1), "fragment: TCP fragment at offset 8"),
            (
                ipv4(A, ME, 6, tcp(4000, 80), offset=185),
                "fragment: a filter with ports may have decided otherwise",
            ),
            (ipv4(A, ME, 6, tcp(4000, 81), options=tcp(4000, 80)[:4]), "all'"),
            (
                ipv4(A, ME, 6, tcp(4000, 80), total_length=22),
                "malformed: transport header without ports",
            ),
            (
                ipv4(A, ME, 6, tcp(4000, 80), total_length=99),
                "malformed: IPv4 total length beyond the packet",
            ),
            (
                ipv4(A, ME, 6, tcp(4000, 80), header_words=4),
                "malformed: IPv4 header length below 20",
            ),
            (ipv6(A6, ME6, 6, tcp(4000, 80), hop_limit=1, flow_label=7), "web"),
            (ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=0), "web"),
            (ipv6(A6, ME6, 6, tcp(4000, 81)), "all'"),
            (ipv6(A6, ME6, 17, udp(4000, 80)), "all'"),
            (ipv6(A6, ME6, 58, tcp(4000, 80)), "all'"),
            (
                ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=99),
                "malformed: IPv6 payload length beyond the packet",
            ),
            (
                ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=2),
                "malformed: transport header without ports",
            ),
        ],
    )
    def test_neighbours_of_a_known_flow(self, driver: Driver, data: bytes, expected: str) -> None:
        """A packet that shares most bytes with a permitted flow is judged by what it is."""
        assert inbound(driver, data) == expected
        assert inbound(driver, data) == expected
        assert inbound(make_driver(*WEB), data) == expected

    @pytest.mark.parametrize(
        ("data", "fields"),
        [
            (ipv4(A, ME, 6, tcp(4000, 80)), (9, *range(12, 24))),
            (ipv4(A, ME, 47, bytes(8)), (9, *range(12, 20))),
            (ipv6(A6, ME6, 6, tcp(4000, 80)), (6, *range(8, 44))),
            (ipv6(A6, ME6, 47, bytes(8)), (6, *range(8, 40))),
        ],
        ids=["IPv4 TCP", "IPv4 GRE", "IPv6 TCP", "IPv6 GRE"],
    )
    def test_every_bit_of_a_flow_counts(self, data: bytes, fields: tuple[int, ...]) -> None:
        """What differs in one bit of protocol, addresses or ports is another flow."""
        driver = make_driver(
            rule("block", "any <-> any", name="all"),
            rule("permit", f"[{A}]:4000 -> [{ME}]:80 tcp", f"{A} -> {ME} 47", name="own"),
            rule("permit", f"[{A6}]:4000 -> [{ME6}]:80 tcp", f"{A6} -> {ME6} 47", name="own"),
        )
        for _ in range(2):
            assert inbound(driver, data) == "own"
        for place in fields:
            for bit in range(8):
                other = bytearray(data)
                other[place] ^= 1 << bit
                assert not driver.decide(bytes(other), Direction.IN, "eth0").permits, (place, bit)

    def test_cut(self, driver: Driver) -> None:
        """A copy known to be cut is believed about its length, another is not."""
        data = ipv4(A, ME, 6, tcp(4000, 80), total_length=1500)
        assert inbound(driver, data, cut=True) == "web"
        assert driver.judge(Direction.IN)(data).reason.value == "malformed"
        assert driver.decide(data, Direction.IN, "eth0").reason.value == "malformed"
        assert inbound(driver, data, cut=True) == "web"

    @pytest.mark.parametrize("first", [80, 445])
    @pytest.mark.parametrize(
        "headers",
        [
            (DESTINATION_OPTIONS, extension(17)),
            (0, extension(17, 16)),
            (43, extension(17)),
            (FRAGMENT_HEADER, fragment_header(17)),
        ],
        ids=["destination options", "hop-by-hop", "routing", "atomic fragment"],
    )
    def test_behind_extension_headers(self, first: int, headers: tuple[int, bytes]) -> None:
        """Four bytes of an extension header are no ports: every port behind it is looked at."""
        driver = make_driver("block me <-> any", rule("permit", "any <-> me:80 udp", name="p"))
        for port in (first, 80, 445, 80):
            data = ipv6(A6, ME6, headers[0], headers[1] + udp(4000, port))
            assert (inbound(driver, data) == "p") is (port == 80)

    @pytest.mark.parametrize("first", [80, 445])
    @pytest.mark.parametrize("words", [1, 2, 10])
    def test_behind_options(self, first: int, words: int) -> None:
        """Nor are four bytes of IPv4 options."""
        driver = make_driver(*WEB)
        for port in (first, 80, 445, 80):
            data = ipv4(A, ME, 6, tcp(4000, port), options=b"\x01" * 4 * words)
            assert (inbound(driver, data) == "web") is (port == 80)

    def test_lengths(self) -> None:
        """A flow known from a packet of length zero (BIG TCP) is not known for short ones."""
        judge = make_driver(*WEB).judge(Direction.IN)
        for length, expected in ((0, True), (20, True), (3, False), (0, True), (21, False)):
            data = ipv4(A, ME, 6, tcp(4000, 80), total_length=length and length + 20)
            assert judge(data).permits is expected
            data = ipv6(A6, ME6, 6, tcp(4000, 80), payload_length=length)
            assert judge(data).permits is expected

    def test_port_zero(self, driver: Driver) -> None:
        """Port 0 in a packet is a port like others, not any."""
        assert inbound(driver, ipv4(A, ME, 6, tcp(80, 0))) == "all'"
        assert inbound(driver, ipv4(A, ME, 6, tcp(0, 80))) == "web"

    def test_direction_and_connection(self) -> None:
        """Directions and connection types remember by themselves."""
        driver = make_driver("block/permit any <-> any")
        data = ipv4(A, ME, 6, tcp(4000, 80))
        for _ in range(2):
            assert not driver.decide(data, Direction.IN, "eth0").permits
            assert driver.decide(data, Direction.OUT, "eth0").permits
            assert not driver.decide(data, Direction.FORWARD, "eth0").permits

    def test_flows_with_ports_are_not_parsed(
        self, driver: Driver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The next packet of a whole, known flow costs one look-up, the first one a few."""
        monkeypatch.delattr(driver_module, "parse")
        for data in (
            ipv4(A, ME, 6, tcp(4000, 80) + bytes(300), tos=1, ttl=2),
            ipv4(A, ME, 6, tcp(4000, 80)[:4]),
            ipv6(A6, ME6, 6, tcp(4000, 80) + bytes(300), flow_label=1, hop_limit=2),
            ipv6(A6, ME6, 6, tcp(4000, 80)[:4]),
            ipv4(A, ME, 6, tcp(4000, 80) + bytes(1460))[:COPY_RANGE],
            ipv6(A6, ME6, 6, tcp(4000, 80) + bytes(1440))[:COPY_RANGE],
        ):
            assert why(driver.judge(Direction.IN)(data)) == "web"
        with pytest.raises(NameError):
            driver.judge(Direction.IN)(ipv4(A, ME, 1, bytes(8)))

    def test_full_memories(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A full memory is emptied, and decisions stay what they were."""
        monkeypatch.setattr(driver_module, "FLOW_MEMORY", 3)
        monkeypatch.setattr(table_module, "PAIR_MEMORY", 3)
        driver = make_driver(*WEB)
        for number in range(40):
            for port, expected in ((80, "web"), (81, "all'")):
                data = ipv4(f"203.0.113.{number}", ME, 6, tcp(4000 + number, port))
                assert inbound(driver, data) == expected

    def test_memories_are_bounded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody fills the host's by sending from everywhere: a flow takes some 200 bytes."""
        monkeypatch.setattr(driver_module, "FLOW_MEMORY", 100)
        monkeypatch.setattr(table_module, "PAIR_MEMORY", 100)
        judge = make_driver(*WEB).judge(Direction.IN)
        packets = [
            ipv4(f"203.0.{number % 256}.{number // 256}", ME, protocol, tcp(4000, 80))
            for number in range(10_000)
            for protocol in (6, 17, 47)
        ]
        tracemalloc.start()
        try:
            for data in packets:
                judge(data)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert most < 500_000


class TestFragments:
    """Spec section 5: a later fragment of a TCP packet from A to me."""

    @pytest.mark.parametrize(
        ("rules", "expected"),
        [
            (["permit any -> me:80 tcp", "block any -> me"], "fragment"),
            (["permit any -> me"], "permit"),
            (["permit any -> me tcp"], "permit"),
            (["permit any -> me tcp", "block any -> me"], "permit"),
            (["block any -> me:80 tcp"], "fragment"),
            (["permit any -> me:80 tcp"], "no-filter"),
            (["block any -> me:80 tcp", "block any -> me"], "block"),
            (["permit any -> me:80 tcp", "permit any -> me"], "permit"),
            (["block any -> me:80 udp", "permit any -> me"], "permit"),
            (["block any:20 -> me tcp", "permit any -> me tcp"], "fragment"),
            (["block any:20 -> me:80 tcp", "permit any -> me tcp"], "fragment"),
            (["permit 203.0.113.0/24 -> me", "block any -> me:80 tcp"], "permit"),
            (["block 203.0.113.0/24 -> me:80 tcp", "permit any -> me"], "fragment"),
            (["block 10.0.0.0/8 -> me:80 tcp", "permit any -> me"], "permit"),
            (["block any -> 192.0.2.10:80 tcp", "permit any -> me"], "fragment"),
            (["block any -> 192.0.2.10", "permit any -> me:80 tcp"], "fragment"),
            (["inpass any -> me:80 tcp", "permit any -> me"], "fragment"),
        ],
    )
    def test_later_fragment(self, rules: list[str], expected: str) -> None:
        """It matches only filters without ports, and is dropped where an earlier filter with
        ports would have acted otherwise."""
        decision = make_driver(*rules).decide(
            ipv4(A, ME, 6, bytes(64), offset=185), Direction.IN, "eth0"
        )
        if expected in ("fragment", "no-filter"):
            assert decision.reason.value == expected
            assert decision.permits is (expected == "no-filter")
        else:
            assert (decision.verdict.value, decision.reason.value) == (expected, "filter")

    def test_by_direction(self) -> None:
        """Only the actions of the packet's own direction are compared."""
        driver = make_driver("permit/block any <-> me:80 tcp", "permit any <-> me")
        assert driver.decide(ipv4(A, ME, 6, bytes(64), offset=185), Direction.IN, "eth0").permits
        out = ipv4(ME, A, 6, bytes(64), offset=185)
        assert driver.decide(out, Direction.OUT, "eth0").reason.value == "fragment"

    def test_hidden_protocol(self) -> None:
        """Where IPv6 hides the protocol, a filter with one may decide otherwise as well."""
        body = fragment_header(DESTINATION_OPTIONS, offset=185) + extension(6) + tcp(1, 80)
        data = ipv6(A6, ME6, FRAGMENT_HEADER, body)
        assert inbound(make_driver("permit any -> me"), data) == "permit any -> me"
        for one in ("block any -> me tcp", "block any -> me:80 udp", "block any -> me 50"):
            driver = make_driver(one, "permit any -> me")
            assert inbound(driver, data).startswith("fragment")

    @pytest.mark.parametrize("protocol", [1, 47, 50])
    def test_other_protocols(self, protocol: int) -> None:
        """ICMP, ESP and others are judged by address and protocol as usual."""
        driver = make_driver(*WEB, rule("permit", f"any -> me {protocol}", name="other"))
        data = ipv4(A, ME, protocol, bytes(64), offset=185)
        assert inbound(driver, data) == "other"

    @pytest.mark.parametrize(
        "data",
        [
            ipv4(A, ME, 6, b"\x00\x50\x00", more=True),
            ipv4(A, ME, 17, b"", more=True),
            ipv4(A, ME, 6, bytes(16), offset=1),
            ipv6(A6, ME6, FRAGMENT_HEADER, fragment_header(60, more=True) + extension(60)),
        ],
    )
    def test_hostile(self, data: bytes) -> None:
        """Fragments that can only be attacks are dropped whatever the policy permits."""
        for rules in ([], ["permit any <-> any"]):
            decision = make_driver(*rules).decide(data, Direction.IN, "eth0")
            assert (decision.verdict.value, decision.reason.value) == ("block", "fragment")


class TestDelivered:
    """On the live path an address not yet known as local is `me` (design, kernel facts)."""

    def test_inbound(self) -> None:
        """An inbound unicast packet was delivered, so it is for the host."""
        text = "in tcp 203.0.113.66:4000 -> 192.0.2.99:445"
        assert verdict(make_driver(*WEB, on=host(f"{ME}/24", delivered=True)), text) == "block"
        assert verdict(make_driver(*WEB, on=host(f"{ME}/24")), text) == "permit"

    def test_outbound(self) -> None:
        """What the host sends comes from the host."""
        text = "out tcp 192.0.2.99:4000 -> 203.0.113.66:25"
        assert verdict(make_driver(*WEB, on=host(f"{ME}/24", delivered=True)), text) == "block"
        assert verdict(make_driver(*WEB, on=host(f"{ME}/24")), text) == "permit"

    @pytest.mark.parametrize(
        "text",
        ["out udp 0.0.0.0:68 -> 255.255.255.255:67", "out udp [::]:546 -> [ff02::1:2]:547"],
    )
    def test_unspecified(self, text: str) -> None:
        """The unspecified address is nobody's."""
        assert ask(make_driver(*WEB, on=host(f"{ME}/24", delivered=True)), text) is NO_FILTER

    def test_only_its_own_side(self) -> None:
        """The other side of a packet stays a stranger, and so does everything routed."""
        driver = make_driver("block any -> me", "block me -> any", on=Host(delivered=True))
        assert verdict(driver, "out tcp 192.0.2.99:1 -> 203.0.113.66:2") == "block"
        assert verdict(driver, "forward tcp 192.0.2.99:1 -> 203.0.113.66:2") == "permit"
        one_way = make_driver("block any -> me", on=Host(delivered=True))
        assert verdict(one_way, "out tcp 192.0.2.99:1 -> 203.0.113.66:2") == "permit"

    def test_groups(self) -> None:
        """Multicast and broadcast are `me` by profile, not because they were delivered."""
        on = host(f"{ME}/24", delivered=True)
        driver = make_driver("block any -> me", on=on, profile="vista", exempt=3)
        assert verdict(driver, "in udp 192.0.2.77:1 -> 224.0.0.251:5353") == "permit"


class TestForward:
    def test_literal_addresses(self) -> None:
        """Routed packets are judged by their addresses; both directions' stricter action holds."""
        driver = make_driver("block 203.86.31.0/24 -> 60.190.145.9", "permit/block any -> 10.0.0.1")
        assert verdict(driver, "forward tcp 203.86.31.5:1 -> 60.190.145.9:2") == "block"
        assert verdict(driver, "forward tcp 203.86.32.5:1 -> 60.190.145.9:2") == "permit"
        assert verdict(driver, "forward tcp 203.86.32.5:1 -> 10.0.0.1:2") == "block"

    def test_me(self) -> None:
        """`me <-> any` is not about routed packets."""
        text = "forward tcp 10.0.0.1:1 -> 10.1.0.1:2"
        assert verdict(make_driver("block me <-> any"), text) == "permit"


class TestMalformed:
    @pytest.mark.parametrize("mode", [Mode.SECURE, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    @pytest.mark.parametrize("data", [b"", b"\x45", bytes(64), ipv4(A, ME, 6, b"")])
    def test_dropped(self, data: bytes, mode: Mode) -> None:
        """What is no packet is dropped in every direction, without any policy."""
        for direction in Direction:
            decision = make_driver(mode=mode).decide(data, direction, "eth0")
            assert (decision.verdict.value, decision.reason.value) == ("block", "malformed")
            assert decision.detail

    def test_no_interface(self) -> None:
        """Damage is not loopback."""
        assert make_driver().decide(b"\x45", Direction.IN).reason.value == "malformed"


def test_same_cause_same_object() -> None:
    """Counting decisions counts causes: one object for each."""
    driver = make_driver(*WEB)
    one = ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:445")
    assert ask(driver, "in icmp 203.0.113.99 -> 192.0.2.10") is one
    assert ask(driver, "in tcp 127.0.0.1:1 -> 127.0.0.1:2", "lo") is LOOPBACK
    damage = driver.decide(b"", Direction.IN, "eth0")
    assert driver.decide(b"", Direction.OUT, "eth0") is damage


def test_decision_names_everything() -> None:
    """A decision says policy, rule, filter list, filter, mirror, action and policy version."""
    decision = ask(make_driver(*WEB), "out tcp 192.0.2.10:80 -> 203.0.113.66:4000")
    assert decision.policy == "policy"
    assert decision.rule == "web"
    assert decision.filter_list == "list of web"
    assert decision.filter == "any <-> me:80 tcp"
    assert decision.mirrored
    assert decision.action is not None
    assert decision.action.name == "PERMIT"
    assert decision.version == 1


@pytest.mark.parametrize(
    ("interface", "expected"),
    [("ppp0", True), ("tun7", True), ("wg0", True), ("eth0", False), ("xppp0", False), ("", False)],
)
def test_dialup_interfaces(interface: str, expected: bool) -> None:
    """`ppp*`, `tun*` and `wg*` are dial-up, everything else is LAN (spec 1.4)."""
    assert is_dialup(interface, driver_module.DIALUP_INTERFACES) is expected


def test_refused_conversations() -> None:
    """The count of refused entries is the stateful memory's."""
    driver = make_driver(mode=Mode.STARTUP_STATEFUL)
    driver.decide(ipv4(ME, A, 1, icmp()), Direction.OUT, "eth0")
    assert driver.refused_conversations == 0


def test_stateful_mode_goes_on_when_an_address_comes() -> None:
    """A driver that replaces another one in stateful mode knows its conversations; one that comes
    from another mode does not."""
    clock = Clock()
    asked, answer = (
        packet("out udp 192.0.2.10:4000 -> 198.51.100.7:53"),
        packet("in udp 198.51.100.7:53 -> 192.0.2.10:4000"),
    )
    stateful = Settings(mode=Mode.STARTUP_STATEFUL, host=host("192.0.2.10/24"))
    first = Driver(stateful, clock)
    first.decide(*asked, interface="eth0")
    moved = replace(stateful, host=host("192.0.2.10/24", "192.0.2.11/24"))
    second = Driver(moved, clock, first)
    assert second.decide(*answer, interface="eth0").permits
    secure = Driver(replace(stateful, mode=Mode.BLOCK), clock, second)
    third = Driver(stateful, clock, secure)
    assert not third.decide(*answer, interface="eth0").permits


class TestSourceRoutes:
    """The kernel goes on with such packets, and to another address of the host unasked."""

    ROUTED_ON = ipv6(A6, ME6, ROUTING, b"\x11\x02\x04\x01" + bytes(20) + udp(4000, 53))

    @pytest.mark.parametrize("mode", [Mode.SECURE, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    def test_segments_left(self, mode: Mode) -> None:
        """An inbound IPv6 packet whose destination is not its last is malformed."""
        driver = make_driver("permit any <-> any", mode=mode)
        found = why(driver.decide(self.ROUTED_ON, Direction.IN, "eth0"))
        assert found == "malformed: IPv6 routing header with segments left"

    @pytest.mark.parametrize("direction", [Direction.OUT, Direction.FORWARD])
    def test_not_for_this_host(self, direction: Direction) -> None:
        """What only passes is judged by its literal addresses, as everything is."""
        driver = make_driver("permit any <-> any")
        assert driver.decide(self.ROUTED_ON, direction, "eth0").permits

    def test_routed_to_the_host_itself(self) -> None:
        """With an option, a routed packet to the host is not for it: the kernel is still to write
        the next destination."""
        driver = make_driver("permit any <-> any")
        source_route = ipv4(A, ME, 17, udp(1, 2), options=bytes(8))
        found = why(driver.decide(source_route, Direction.FORWARD, "eth0"))
        assert found == "malformed: IPv4 source route"
        assert driver.decide(source_route, Direction.IN, "eth0").permits
        plain = ipv4(A, ME, 17, udp(1, 2))
        assert driver.decide(plain, Direction.FORWARD, "eth0").permits
