"""Default exemptions by profile and value (spec section 4), and those of profile `linux`."""

from __future__ import annotations

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import Mode
from tests.builders import (
    FRAGMENT_HEADER,
    ME6,
    ask,
    extension,
    fragment_header,
    host,
    icmp,
    ipv4,
    ipv6,
    make_driver,
    verdict,
    why,
)

BLOCK_ALL = "block me <-> any"
KERBEROS = "in tcp 203.0.113.66:88 -> 192.0.2.10:445"
MATRIX = {
    KERBEROS: "permit block permit block",
    "in udp 203.0.113.66:4000 -> 192.0.2.10:88": "permit block permit block",
    "in 46 203.0.113.66 -> 192.0.2.10": "permit block permit block",
    "in udp 203.0.113.66:500 -> 192.0.2.10:500": "permit permit permit permit",
    "out udp 192.0.2.10:4000 -> 224.0.0.251:5353": "permit permit block block",
    "out udp 192.0.2.10:4000 -> 192.0.2.255:137": "permit permit block block",
}
IN_GROUP = "in udp 192.0.2.77:5353 -> 224.0.0.251:5353"
IN_BROADCAST = "in udp 192.0.2.77:137 -> 192.0.2.255:137"
IN_LIMITED = "in udp 192.0.2.77:137 -> 255.255.255.255:137"
IPV6_GROUPS = [
    "in udp [2001:db8::77]:5353 -> [ff02::fb]:5353",
    "out udp [2001:db8::10]:5353 -> [ff02::fb]:5353",
]


class TestMatrix:
    """Spec 4.4."""

    @pytest.mark.parametrize("exempt", range(4))
    @pytest.mark.parametrize("packet", MATRIX)
    @pytest.mark.parametrize("profile", ["win2003", "winxpsp2", "vista", "linux"])
    def test_block_all(self, packet: str, exempt: int, profile: str) -> None:
        """With `me <-> any` blocked the value decides who is exempt."""
        driver = make_driver(BLOCK_ALL, profile=profile, exempt=exempt)
        assert verdict(driver, packet) == MATRIX[packet].split()[exempt]

    @pytest.mark.parametrize("exempt", range(4))
    @pytest.mark.parametrize("packet", [IN_GROUP, IN_BROADCAST, IN_LIMITED])
    def test_inbound_groups(self, packet: str, exempt: int) -> None:
        """Inbound multicast and broadcast stay exempt with every value on Windows; in `linux`
        they are filtered like anything else with 2 and 3."""
        for profile in ("win2003", "winxpsp2", "vista"):
            driver = make_driver("block any <-> any", profile=profile, exempt=exempt)
            assert verdict(driver, packet) == "permit"
        driver = make_driver("block any <-> any", profile="linux", exempt=exempt)
        assert verdict(driver, packet) == ("permit" if exempt < 2 else "block")


class TestProfiles:
    @pytest.mark.parametrize(
        ("profile", "default", "allowed"),
        [
            ("win2000", 0, {0, 1}),
            ("winxp", 0, {0, 1}),
            ("winxpsp2", 1, {0, 1, 2, 3}),
            ("win2003", 3, {0, 1, 2, 3}),
            ("vista", 3, {0, 1, 2, 3}),
            ("linux", 3, {0, 1, 2, 3}),
        ],
    )
    def test_values(self, profile: str, default: int, allowed: set[int]) -> None:
        """Each profile has its default value and its allowed ones (spec 4.1)."""
        assert PROFILES[profile].default_exempt == default
        assert PROFILES[profile].allowed_exempt == allowed

    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize(
        "packet",
        ["in udp 203.0.113.66:500 -> 192.0.2.10:1434", "in udp 203.0.113.66:9 -> 192.0.2.10:500"],
    )
    def test_wide_ike(self, profile: str, packet: str) -> None:
        """Only Windows 2000 takes either port 500 for IKE (X2)."""
        driver = make_driver(BLOCK_ALL, profile=profile, exempt=1)
        assert verdict(driver, packet) == ("permit" if profile == "win2000" else "block")

    @pytest.mark.parametrize("profile", PROFILES)
    def test_ike_is_udp(self, profile: str) -> None:
        """TCP 500 is not IKE."""
        driver = make_driver(BLOCK_ALL, profile=profile, exempt=1)
        assert verdict(driver, "in tcp 203.0.113.66:500 -> 192.0.2.10:500") == "block"

    @pytest.mark.parametrize("profile", PROFILES)
    def test_natt(self, profile: str) -> None:
        """UDP 4500 is exempt in profile `vista`, for IPv4 (spec 4.1)."""
        driver = make_driver(BLOCK_ALL, profile=profile, exempt=1)
        expected = "EX:NATT" if profile == "vista" else f"{BLOCK_ALL}'"
        assert why(ask(driver, "in udp 203.0.113.66:4500 -> 192.0.2.10:4500")) == expected
        driver = make_driver(BLOCK_ALL, profile="vista")
        assert verdict(driver, "in udp 2001:db8::99:4500 -> [2001:db8::10]:4500") == "block"

    @pytest.mark.parametrize("profile", PROFILES)
    def test_ipv6(self, profile: str) -> None:
        """Profiles up to Server 2003 pass all native IPv6, the others filter it."""
        driver = make_driver("block any <-> any", profile=profile, exempt=1)
        expected = "block any <-> any" if profile in ("vista", "linux") else "EX:IPV6"
        assert why(ask(driver, "in tcp 2001:db8::99 -> [2001:db8::10]:445")) == expected
        assert verdict(driver, "in 41 203.0.113.66 -> 192.0.2.10") == "block"

    def test_damaged_ipv6_is_left_alone(self) -> None:
        """Where IPv6 is not looked at, damage in it is not looked for."""
        long_chain = ipv6("2001:db8::99", ME6, 0, extension(60, 128) + extension(6, 128))
        for mode in (Mode.SECURE, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL):
            driver = make_driver("block any <-> any", profile="win2003", mode=mode)
            assert why(driver.decide(long_chain, Direction.IN, "eth0")) == "EX:IPV6"


class TestLimits:
    @pytest.mark.parametrize(
        "packet",
        [
            "in icmp 203.0.113.66 -> 192.0.2.10",
            "out icmp 192.0.2.10 -> 203.0.113.66",
            "in 50 203.0.113.66 -> 192.0.2.10",
            "in 51 203.0.113.66 -> 192.0.2.10",
            "out udp 192.0.2.10:68 -> 198.51.100.7:67",
            "out udp 192.0.2.10:4000 -> 198.51.100.7:53",
        ],
    )
    @pytest.mark.parametrize("profile", PROFILES)
    def test_not_exempt(self, packet: str, profile: str) -> None:
        """ICMP, ESP, AH, DHCP and DNS are not exempt with any value (spec 4.2)."""
        for exempt in PROFILES[profile].allowed_exempt:
            assert (
                verdict(make_driver(BLOCK_ALL, profile=profile, exempt=exempt), packet) == "block"
            )

    @pytest.mark.parametrize("protocol", [6, 17])
    def test_fragments_of_kerberos(self, protocol: int) -> None:
        """A later fragment whose data looks like port 88 is not Kerberos."""
        driver = make_driver(BLOCK_ALL, exempt=0)
        data = ipv4("203.0.113.66", "192.0.2.10", protocol, bytes((0, 88, 0, 88)), offset=185)
        assert not driver.decide(data, Direction.IN, "eth0").permits

    def test_kerberos_is_tcp_and_udp(self) -> None:
        """Bytes that look like port 88 in another protocol are not Kerberos."""
        driver = make_driver(BLOCK_ALL, exempt=0)
        data = ipv4("203.0.113.66", "192.0.2.10", 47, bytes((0, 88, 0, 88)))
        assert not driver.decide(data, Direction.IN, "eth0").permits

    def test_small_networks_have_no_broadcast(self) -> None:
        """A /31 or /32 has no broadcast address (spec 4.2)."""
        driver = make_driver("block any -> any", on=host("192.0.2.254/31"), exempt=1)
        assert verdict(driver, "in udp 192.0.2.77:137 -> 192.0.2.255:137") == "block"
        assert verdict(driver, IN_LIMITED) == "permit"

    def test_broadcast_depends_on_the_mask(self) -> None:
        """The all-ones address of another network is nobody's broadcast."""
        driver = make_driver("block any -> any", on=host("192.0.2.10/25"), exempt=1)
        assert verdict(driver, "in udp 192.0.2.77:137 -> 192.0.2.255:137") == "block"
        assert verdict(driver, "in udp 192.0.2.77:137 -> 192.0.2.127:137") == "permit"

    @pytest.mark.parametrize(
        ("address", "expected"),
        [("223.255.255.255", "block"), ("224.0.0.0", "permit"), ("239.255.255.255", "permit"),
         ("240.0.0.0", "block")],
    )  # fmt: skip
    def test_multicast_is_a_slash_4(self, address: str, expected: str) -> None:
        """Multicast is 224.0.0.0/4 exactly."""
        driver = make_driver("block any -> any", exempt=1)
        assert verdict(driver, f"out udp 192.0.2.10:1 -> {address}:2") == expected

    @pytest.mark.parametrize("exempt", range(4))
    @pytest.mark.parametrize("profile", ["vista", "linux"])
    @pytest.mark.parametrize("packet", IPV6_GROUPS)
    def test_ipv6_multicast_is_none(self, packet: str, profile: str, exempt: int) -> None:
        """Spec 4.2 names IPv4's multicast alone: IPv6's is filtered with every value."""
        driver = make_driver("block any <-> any", profile=profile, exempt=exempt)
        assert verdict(driver, packet) == "block"

    @pytest.mark.parametrize("exempt", range(4))
    @pytest.mark.parametrize("packet", [*MATRIX, IN_GROUP])
    def test_routed_packets(self, packet: str, exempt: int) -> None:
        """Routed packets are never exempt."""
        text = packet.replace("in ", "forward ").replace("out ", "forward ")
        assert verdict(make_driver("block any <-> any", exempt=exempt), text) == "block"


class TestLoopback:
    @pytest.mark.parametrize(
        "packet",
        [
            "out tcp 127.0.0.1:1 -> 127.0.0.2:2",
            "out tcp 192.0.2.10:1 -> 192.0.2.10:2",
            "in icmpv6 ::1 -> ::1",
            "out tcp [2001:db8::10]:1 -> [2001:db8::10]:2",
        ],
    )
    def test_by_address(self, packet: str) -> None:
        """In captures, which know no interface, self traffic is told by its addresses."""
        for mode in Mode:
            driver = make_driver("block any <-> any", mode=mode)
            assert ask(driver, packet, None).reason.value == "loopback"
            assert ask(driver, packet, "lo").reason.value == "loopback"

    def test_forged(self) -> None:
        """On a real interface a forged loopback source opens nothing."""
        driver = make_driver("block any <-> any")
        for source in ("127.0.0.1", "192.0.2.10"):
            assert verdict(driver, f"in tcp {source}:1 -> 192.0.2.10:445", "eth0") == "block"
        assert verdict(driver, "in tcp 192.0.2.10:1 -> 192.0.2.77:445", None) == "block"


class TestLinux:
    """Profile `linux`, item by item (design)."""

    @pytest.mark.parametrize("packet", [IN_GROUP, IN_BROADCAST, IN_LIMITED])
    @pytest.mark.parametrize("policy", ["me <-> any", "any -> me", "any -> me udp"])
    def test_me_covers_inbound_groups(self, packet: str, policy: str) -> None:
        """`block me <-> any` blocks inbound multicast and broadcast, too."""
        assert verdict(make_driver(f"block {policy}"), packet) == "block"

    def test_me_covers_ipv6_groups(self) -> None:
        """And IPv6 multicast."""
        assert verdict(make_driver(BLOCK_ALL), "in udp fe80::1:5353 -> [ff02::fb]:5353") == "block"
        driver = make_driver(BLOCK_ALL, rule_for_mdns := "permit any -> me:5353 udp")
        text = "in udp [fe80::1]:5353 -> [ff02::fb]:5353"
        assert why(ask(driver, text)) == rule_for_mdns

    def test_me_is_as_specific_as_a_host(self) -> None:
        """`me` for a group has the specificity of a host: it beats a subnet, ties with the
        address itself."""
        driver = make_driver("block any -> me", "permit any -> 224.0.0.0/4")
        assert verdict(driver, IN_GROUP) == "block"
        driver = make_driver("permit any -> me", "block any -> 224.0.0.251")
        assert verdict(driver, IN_GROUP) == "block"

    def test_not_outbound_nor_routed(self) -> None:
        """A group is `me` only as the destination of an inbound packet."""
        driver = make_driver("block any -> me")
        assert verdict(driver, "out udp 192.0.2.10:1 -> 224.0.0.251:5353") == "permit"
        assert verdict(driver, "forward udp 10.0.0.1:1 -> 224.0.0.251:5353") == "permit"

    def test_windows_me_is_no_group(self) -> None:
        """In the other profiles the broadcast address is not Me (case 53)."""
        driver = make_driver(
            "block any -> me", profile="vista", on=host("192.0.2.10/24", delivered=True)
        )
        assert why(ask(driver, IN_BROADCAST)) == "EX:BCAST-IN"

    @pytest.mark.parametrize("kind", range(133, 138))
    @pytest.mark.parametrize("mode", [mode for mode in Mode if mode.value != "permit"])
    def test_neighbour_discovery(self, kind: int, mode: Mode) -> None:
        """ICMPv6 133-137 with hop limit 255 is exempt in every mode, in and out."""
        driver = make_driver("block any <-> any", mode=mode)
        for direction in (Direction.IN, Direction.OUT):
            for hop_limit in (0, 1, 64, 254, 255):
                data = ipv6("fe80::99", "ff02::1", 58, icmp(kind), hop_limit=hop_limit)
                decision = driver.decide(data, direction, "eth0")
                if mode is Mode.STARTUP_PERMIT:
                    assert decision.permits
                elif mode is Mode.STARTUP_STATEFUL and direction is Direction.OUT:
                    assert decision.permits
                    assert (why(decision) == "EX:ND") is (hop_limit == 255)
                else:
                    assert (why(decision) == "EX:ND") is decision.permits is (hop_limit == 255)

    @pytest.mark.parametrize("kind", [130, 131, 132, 143])
    @pytest.mark.parametrize("mode", [Mode.SECURE, Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    def test_mld(self, kind: int, mode: Mode) -> None:
        """MLD is exempt behind the router alert it always carries, whatever its hop limit is."""
        driver = make_driver("block any <-> any", mode=mode)
        for direction in (Direction.IN, Direction.OUT):
            for hop_limit in (0, 1, 2, 64, 255):
                body = extension(58) + icmp(kind)
                data = ipv6("fe80::99", "ff02::16", 0, body, hop_limit=hop_limit)
                assert why(driver.decide(data, direction, "eth0")) == "EX:MLD"

    @pytest.mark.parametrize(
        ("kind", "hop_limit"),
        [*((kind, 255) for kind in (1, 2, 128, 129, 138, 142, 144, 151)), (134, 64), (135, 254)],
    )
    def test_other_icmpv6(self, kind: int, hop_limit: int) -> None:
        """No other ICMPv6 is exempt, nor neighbour discovery that may have been routed."""
        data = ipv6("fe80::99", ME6, 58, icmp(kind), hop_limit=hop_limit)
        assert not make_driver("block any <-> any").decide(data, Direction.IN, "eth0").permits

    @pytest.mark.parametrize("header", [{"more": True}, {"offset": 1}, {"offset": 1, "more": True}])
    def test_fragmented(self, header: dict[str, int]) -> None:
        """Fragmented neighbour discovery is not exempt (RFC 6980)."""
        body = fragment_header(58, **header) + icmp(135)  # type: ignore[arg-type]
        data = ipv6("fe80::99", ME6, FRAGMENT_HEADER, body, hop_limit=255)
        assert not make_driver("block any <-> any").decide(data, Direction.IN, "eth0").permits

    def test_protocol_58_in_ipv4(self) -> None:
        """IPv4 has no neighbour discovery: protocol 58 with such a first byte is not exempt."""
        for kind in (130, 135):
            data = ipv4("203.0.113.66", "192.0.2.10", 58, icmp(kind), ttl=255)
            for mode in (Mode.SECURE, Mode.STARTUP_BLOCK, Mode.BLOCK):
                driver = make_driver(BLOCK_ALL, mode=mode)
                assert not driver.decide(data, Direction.IN, "eth0").permits

    @pytest.mark.parametrize("mode", [Mode.SECURE, Mode.BLOCK, Mode.STARTUP_STATEFUL])
    def test_routed_and_bridged(self, mode: Mode) -> None:
        """What is routed is never exempt; what is bridged, and so has its whole hop limit or a
        source that no router lets pass, is, as on any other link."""
        driver = make_driver("block any <-> any", mode=mode)
        for kind, source, hop_limit, exempt in (
            (130, "2001:db8::99", 254, False),
            (130, "2001:db8::99", 1, False),
            (130, "fe80::99", 1, True),
            (143, "::", 1, True),
            (135, "2001:db8::99", 254, False),
            (135, "2001:db8::99", 255, True),
            (135, "::", 255, True),
            (136, "fe80::99", 254, False),
            (136, "fec0::99", 254, False),
            (128, "fe80::99", 255, False),
        ):
            data = ipv6(source, "2001:db8:1::5", 58, icmp(kind), hop_limit=hop_limit)
            assert driver.decide(data, Direction.FORWARD, "eth0").permits is exempt

    def test_other_profiles(self) -> None:
        """Profile `vista` filters IPv6 without these exemptions."""
        data = ipv6("2001:db8::99", ME6, 58, icmp(135), hop_limit=255)
        driver = make_driver("block any <-> any", profile="vista")
        assert not driver.decide(data, Direction.IN, "eth0").permits

    @pytest.mark.parametrize("mode", [Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    def test_dhcpv6(self, mode: Mode) -> None:
        """DHCPv6 passes wherever DHCP does, from client to server and back only."""
        driver = make_driver(mode=mode)
        assert why(ask(driver, "out udp [fe80::10]:546 -> [ff02::1:2]:547")) == "EX:DHCPV6"
        assert why(ask(driver, "in udp [fe80::99]:547 -> [fe80::10]:546")) == "EX:DHCPV6"
        assert verdict(driver, "in udp [fe80::99]:546 -> [fe80::10]:547") == "block"
        assert verdict(driver, "in udp [fe80::99]:67 -> [fe80::10]:68") == "block"
        assert verdict(driver, "in udp 198.51.100.1:547 -> 192.0.2.10:546") == "block"

    def test_dhcpv6_in_secure_mode(self) -> None:
        """In secure mode it needs a filter, as DHCP does."""
        text = "out udp [2001:db8::10]:546 -> [ff02::1:2]:547"
        assert verdict(make_driver(BLOCK_ALL), text) == "block"

    @pytest.mark.parametrize("profile", PROFILES)
    def test_operational_block(self, profile: str) -> None:
        """Operational block stops IPv6 in every profile but for neighbour discovery in `linux`."""
        driver = make_driver(profile=profile, mode=Mode.BLOCK)
        assert verdict(driver, "in tcp [2001:db8::99]:1 -> [2001:db8::10]:80") == "block"
        data = ipv6("fe80::99", ME6, 58, icmp(135), hop_limit=255)
        assert driver.decide(data, Direction.IN, "eth0").permits is (profile == "linux")

    @pytest.mark.parametrize("profile", PROFILES)
    @pytest.mark.parametrize("mode", [Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    def test_start_up(self, profile: str, mode: Mode) -> None:
        """Profiles without IPv6 leave it alone in start-up modes as well."""
        driver = make_driver(profile=profile, mode=mode)
        expected = "block" if profile in ("vista", "linux") else "permit"
        assert verdict(driver, "in tcp [2001:db8::99]:1 -> [2001:db8::10]:80") == expected
