"""The driver's modes: cases M1 to M18, DHCP and boot exemptions (spec section 6)."""

from __future__ import annotations

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import BootExemption, Mode
from tests.builders import ask, icmp, ipv4, ipv6, make_driver, udp, verdict, why

ME_TO_D = "out udp 192.0.2.10:4000 -> 198.51.100.53:53"
D_TO_ME = "in udp 198.51.100.53:53 -> 192.0.2.10:4000"
SMB = "in tcp 203.0.113.66:4000 -> 192.0.2.10:445"


@pytest.fixture(params=["win2000", "win2003", "linux"])
def profile(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def driver(mode: Mode, profile: str, *boot: str) -> Driver:
    return make_driver("block me <-> any", mode=mode, profile=profile, exempt=1, boot=boot)


class TestModeCases:
    """Spec 6.6."""

    def test_m1(self, profile: str) -> None:
        """M1: start-up block drops."""
        decision = ask(
            driver(Mode.STARTUP_BLOCK, profile), "in tcp 203.0.113.66:1 -> 192.0.2.10:80"
        )
        assert (decision.verdict.value, why(decision)) == ("block", "mode: startup-block")

    @pytest.mark.parametrize("mode", [Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL])
    def test_m2_m3(self, profile: str, mode: Mode) -> None:
        """M2, M3: DHCP passes both ways in start-up block and stateful."""
        one = driver(mode, profile)
        assert why(ask(one, "out udp 0.0.0.0:68 -> 255.255.255.255:67")) == "EX:DHCP"
        assert why(ask(one, "out udp 192.0.2.10:68 -> 198.51.100.1:67")) == "EX:DHCP"
        assert why(ask(one, "in udp 192.0.2.1:67 -> 255.255.255.255:68")) == "EX:DHCP"
        assert why(ask(one, "in udp 192.0.2.1:67 -> 192.0.2.10:68")) == "EX:DHCP"

    @pytest.mark.parametrize(
        "packet",
        [
            "in udp 192.0.2.1:68 -> 255.255.255.255:67",
            "in udp 192.0.2.1:4000 -> 192.0.2.10:68",
            "in udp 192.0.2.1:67 -> 192.0.2.10:69",
            "in tcp 192.0.2.1:67 -> 192.0.2.10:68",
            "forward udp 192.0.2.1:67 -> 10.0.0.1:68",
        ],
    )
    def test_not_dhcp(self, profile: str, packet: str) -> None:
        """Nothing that merely resembles DHCP passes (spec 6.2)."""
        for mode in (Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL):
            assert verdict(driver(mode, profile), packet) == "block"

    def test_m4_m5(self, profile: str) -> None:
        """M4, M5: a boot exemption lets in what it says and has no mirror."""
        one = driver(Mode.STARTUP_BLOCK, profile, "tcp:0:3389:inbound")
        assert verdict(one, "in tcp 203.0.113.66:5000 -> 192.0.2.10:3389") == "permit"
        assert verdict(one, "out tcp 192.0.2.10:3389 -> 203.0.113.66:5000") == "block"
        assert verdict(one, "in tcp 203.0.113.66:3389 -> 192.0.2.10:5000") == "block"
        assert verdict(one, "in udp 203.0.113.66:5000 -> 192.0.2.10:3389") == "block"

    def test_m6(self, profile: str) -> None:
        """M6: with its counterpart the answer leaves."""
        one = driver(Mode.STARTUP_BLOCK, profile, "tcp:0:3389:inbound", "tcp:3389:0:outbound")
        assert verdict(one, "out tcp 192.0.2.10:3389 -> 203.0.113.66:5000") == "permit"

    def test_m7_to_m10(self, profile: str) -> None:
        """M7 to M10: stateful mode lets in the answer, from that peer and to that port only."""
        one = driver(Mode.STARTUP_STATEFUL, profile)
        assert verdict(one, D_TO_ME) == "block"
        assert verdict(one, ME_TO_D) == "permit"
        assert verdict(one, D_TO_ME) == "permit"
        assert verdict(one, D_TO_ME.replace("4000", "4001")) == "block"
        assert verdict(one, D_TO_ME.replace("198.51.100.53", "198.51.100.54")) == "block"

    def test_m11_m12(self) -> None:
        """M11, M12: default exemptions do not apply in stateful mode."""
        one = make_driver(mode=Mode.STARTUP_STATEFUL, profile="win2000", exempt=0)
        assert verdict(one, "in tcp 203.0.113.66:88 -> 192.0.2.10:445") == "block"
        assert verdict(one, "in udp 192.0.2.77:137 -> 192.0.2.255:137") == "block"
        assert verdict(one, "in udp 203.0.113.66:500 -> 192.0.2.10:500") == "block"

    def test_m13(self, profile: str) -> None:
        """M13: an outbound ping lets the reply in."""
        one = driver(Mode.STARTUP_STATEFUL, profile)
        assert verdict(one, "in icmp 198.51.100.7 -> 192.0.2.10") == "block"
        assert verdict(one, "out icmp 192.0.2.10 -> 198.51.100.7") == "permit"
        assert verdict(one, "in icmp 198.51.100.7 -> 192.0.2.10") == "permit"
        assert verdict(one, "in icmp 198.51.100.8 -> 192.0.2.10") == "block"

    def test_m14(self, profile: str) -> None:
        """M14: entering secure mode forgets who was spoken to: a new Driver has no memory."""
        assert verdict(driver(Mode.STARTUP_STATEFUL, profile), ME_TO_D) == "permit"
        decision = ask(driver(Mode.SECURE, profile), D_TO_ME)
        assert why(decision) == "block me <-> any'"

    def test_m15(self, profile: str) -> None:
        """M15: with the service stopped everything passes."""
        assert why(ask(driver(Mode.PERMIT, profile), SMB)) == "mode: permit"
        assert verdict(driver(Mode.PERMIT, profile), SMB) == "permit"

    def test_m16_m17(self, profile: str) -> None:
        """M16, M17: operational block knows neither boot exemptions nor DHCP."""
        one = driver(Mode.BLOCK, profile, "tcp:0:3389:inbound")
        for packet in (
            "in tcp 203.0.113.66:5000 -> 192.0.2.10:3389",
            "out udp 192.0.2.10:68 -> 255.255.255.255:67",
            "in udp 203.0.113.66:500 -> 192.0.2.10:500",
            SMB,
        ):
            assert why(ask(one, packet)) == "mode: block"
            assert verdict(one, packet) == "block"

    def test_m18(self, profile: str) -> None:
        """M18: start-up permit filters nothing."""
        assert verdict(driver(Mode.STARTUP_PERMIT, profile), SMB) == "permit"

    @pytest.mark.parametrize("mode", [Mode.STARTUP_PERMIT, Mode.PERMIT])
    def test_permit_is_for_everything(self, mode: Mode) -> None:
        """Where nothing is filtered damage passes as well."""
        for direction in Direction:
            assert make_driver(mode=mode).decide(b"\x45", direction, "eth0").permits


class TestStatefulMode:
    def test_routed(self) -> None:
        """Stateful mode is about the host's own traffic: what is routed is dropped."""
        one = driver(Mode.STARTUP_STATEFUL, "linux")
        verdict(one, "forward udp 192.0.2.10:4000 -> 198.51.100.53:53")
        assert verdict(one, "forward udp 192.0.2.10:4000 -> 198.51.100.53:53") == "block"
        assert verdict(one, D_TO_ME) == "block"

    def test_inbound_makes_no_entry(self) -> None:
        """Only what the host sends opens a way in."""
        one = driver(Mode.STARTUP_STATEFUL, "linux")
        ask(one, "in udp 192.0.2.10:4000 -> 198.51.100.53:53")
        assert verdict(one, D_TO_ME) == "block"

    def test_neighbour_discovery_makes_no_entry(self) -> None:
        """Any neighbour can make the host answer a solicitation; that lets no ping of it in."""
        one = driver(Mode.STARTUP_STATEFUL, "linux")
        answer = ipv6("fe80::10", "fe80::99", 58, icmp(136), hop_limit=255)
        assert why(one.decide(answer, Direction.OUT, "eth0")) == "EX:ND"
        assert verdict(one, "in icmpv6 fe80::99 -> fe80::10") == "block"

    def test_boot_exemption_inbound(self) -> None:
        """A boot exemption opens its port; the answer leaves anyway."""
        one = driver(Mode.STARTUP_STATEFUL, "linux", "tcp:0:22:inbound")
        assert why(ask(one, "in tcp 203.0.113.66:1 -> 192.0.2.10:22")) == "EX:BOOT tcp:0:22:inbound"
        assert verdict(one, "out tcp 192.0.2.10:22 -> 203.0.113.66:1") == "permit"

    def test_hostile_fragments(self) -> None:
        """Fragments that can only be attacks are dropped in start-up modes, too."""
        data = ipv4("198.51.100.53", "192.0.2.10", 17, udp(53, 4000)[:3], more=True)
        for mode in (Mode.STARTUP_BLOCK, Mode.STARTUP_STATEFUL):
            decision = driver(mode, "linux").decide(data, Direction.IN, "eth0")
            assert decision.reason.value == "fragment"

    def test_fragments_of_an_answer(self) -> None:
        """A later fragment shows no ports: it answers nothing and no boot exemption is for it."""
        one = driver(Mode.STARTUP_STATEFUL, "linux", "udp:0:0:inbound")
        ask(one, ME_TO_D)
        data = ipv4("198.51.100.53", "192.0.2.10", 17, udp(53, 4000), offset=185)
        assert not one.decide(data, Direction.IN, "eth0").permits


class TestBootExemptions:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("tcp:0:3389:inbound", BootExemption(6, Direction.IN, 0, 3389)),
            ("TCP:0:3389:INBOUND", BootExemption(6, Direction.IN, 0, 3389)),
            ("Udp:0:68:Inbound", BootExemption(17, Direction.IN, 0, 68)),
            ("tcp:22:65535:outbound", BootExemption(6, Direction.OUT, 22, 65535)),
            ("icmp:inbound", BootExemption(1, Direction.IN)),
            ("Raw:Outbound", BootExemption(255, Direction.OUT)),
            ("50:inbound", BootExemption(50, Direction.IN)),
            ("255:inbound", BootExemption(255, Direction.IN)),
            ("  icmp:inbound ", BootExemption(1, Direction.IN)),
            ("58:inbound", BootExemption(58, Direction.IN)),
        ],
    )
    def test_parse(self, text: str, expected: BootExemption) -> None:
        """The grammar of spec 6.3, case-insensitive; what it prints it reads."""
        assert BootExemption.parse(text) == expected
        assert BootExemption.parse(str(expected)) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "", "none", "tcp", "tcp:inbound", "tcp:0:inbound", "tcp:0:0:0:inbound",
            "icmp:0:0:inbound", "tcp:0:65536:inbound", "tcp:-1:0:inbound", "tcp:0:http:inbound",
            "256:inbound", "-1:inbound", "tcp:0:22:both", "tcp:0:22:", "tcp:0:22", "esp:inbound",
            "tcp:0:22:inbound udp:0:68:inbound", "tcp: 0:22:inbound", "tcp:0:\u0662\u0662:inbound",
            "tcp:0:22:inbound\n;",
        ],
    )  # fmt: skip
    def test_errors(self, text: str) -> None:
        """Anything else is refused, with what was expected."""
        with pytest.raises(ValueError, match=r"^expected "):
            BootExemption.parse(text)

    @pytest.mark.parametrize(
        ("exemption", "packet", "expected"),
        [
            ("icmp:inbound", "in icmp 203.0.113.66 -> 192.0.2.10", True),
            ("icmp:inbound", "out icmp 192.0.2.10 -> 203.0.113.66", False),
            ("icmp:inbound", "in icmpv6 2001:db8::99 -> 2001:db8::10", False),
            ("icmp:inbound", "in 1 2001:db8::99 -> 2001:db8::10", False),
            ("58:inbound", "in icmpv6 2001:db8::99 -> 2001:db8::10", True),
            ("50:outbound", "out 50 192.0.2.10 -> 203.0.113.66", True),
            ("raw:inbound", "in 255 203.0.113.66 -> 192.0.2.10", True),
            ("raw:inbound", "in 50 203.0.113.66 -> 192.0.2.10", False),
            ("6:inbound", "in tcp 203.0.113.66:1 -> 192.0.2.10:2", True),
            ("udp:53:0:inbound", "in udp 203.0.113.66:53 -> 192.0.2.10:9", True),
            ("udp:53:0:inbound", "in udp 203.0.113.66:54 -> 192.0.2.10:53", False),
            ("udp:53:9:inbound", "in udp 203.0.113.66:53 -> 192.0.2.10:8", False),
            ("tcp:0:22:inbound", "in tcp [2001:db8::99]:1 -> [2001:db8::10]:22", True),
            ("tcp:0:22:inbound", "forward tcp 203.0.113.66:1 -> 10.0.0.1:22", False),
        ],
    )
    def test_matches(self, exemption: str, packet: str, expected: bool) -> None:
        """Protocol, direction and both ports must agree; port 0 is any."""
        one = driver(Mode.STARTUP_BLOCK, "linux", exemption)
        assert ask(one, packet).permits is expected

    @pytest.mark.parametrize("profile", PROFILES)
    def test_not_in_secure_mode(self, profile: str) -> None:
        """Boot exemptions end with the start-up modes."""
        one = driver(Mode.SECURE, profile, "tcp:0:445:inbound")
        assert verdict(one, SMB) == "block"
