"""The rules of the start-up modes, as text (spec 6.1 to 6.4); tests/live has them on packets."""

from __future__ import annotations

import re

import pytest

from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.modes import BootExemption, Mode
from ipsecfd.kernel.boot import Startup, ruleset
from ipsecfd.kernel.marks import Marks

PERMIT, BLOCK = Mode.STARTUP_PERMIT, Mode.STARTUP_BLOCK
STATEFUL = Mode.STARTUP_STATEFUL
FILTERING = [BLOCK, STATEFUL]


def text(
    mode: Mode,
    *exemptions: str,
    profile: str = "linux",
    forward: bool = False,
    defragment: bool = True,
    marks: Marks = Marks(),  # noqa: B008 - a frozen value
) -> str:
    parsed = tuple(map(BootExemption.parse, exemptions))
    startup = Startup(mode, PROFILES[profile], parsed, forward, marks)
    return ruleset(startup, defragment=defragment)


def chains(rules: str) -> dict[str, list[str]]:
    """The rules of each chain."""
    return {
        name: body.split("\n\t\t")[1:]
        for name, body in re.findall(r"\tchain (\w+) \{(.*?)\n\t\}", rules, re.DOTALL)
    }


@pytest.mark.parametrize("mode", [PERMIT, *FILTERING])
def test_never_loaded_over_rules_that_are_there(mode: Mode) -> None:
    """A table is not created twice, so a running agent's rules stay."""
    assert text(mode).startswith("create table inet ipsecfd\n")


def test_permit_drops_nothing() -> None:
    """Start-up mode permit counts and filters nothing (M18)."""
    rules = text(PERMIT, "tcp:0:22:inbound", forward=True)
    assert "drop" not in rules
    assert chains(rules)["permit_in"] == ["counter accept"]


@pytest.mark.parametrize("mode", FILTERING)
def test_chain_of_each_direction_ends_in_its_default(mode: Mode) -> None:
    """Inbound and routed packets that nothing lets pass are dropped; outbound ones pass in
    stateful mode, even when they cannot be remembered (spec 6.1, 6.4)."""
    found = chains(text(mode, forward=True))
    assert found[f"{mode}_in".removeprefix("startup-")][-1] == "counter drop"
    assert found[f"{mode}_forward".removeprefix("startup-")][-1] == "counter drop"
    last = found[f"{mode}_out".removeprefix("startup-")][-1]
    assert last.startswith("counter accept" if mode is STATEFUL else "counter drop")


@pytest.mark.parametrize("mode", [PERMIT, *FILTERING])
def test_loopback_passes_first(mode: Mode) -> None:
    """What never leaves the host is judged in no mode."""
    found = chains(text(mode))
    assert found["input"][1] == "iif lo accept"
    assert found["postrouting"][1] == "oif lo accept"


@pytest.mark.parametrize("mode", FILTERING)
@pytest.mark.parametrize("profile", sorted(PROFILES))
def test_ipv6_is_left_alone_where_the_profile_does(mode: Mode, profile: str) -> None:
    """Profiles without IPv6 pass it before anything looks at it; `linux` knows DHCPv6 (spec 6.2)
    and neighbour discovery, `vista` neither."""
    found = chains(text(mode, profile=profile, forward=True))
    prefix = str(mode).removeprefix("startup-")
    for direction in ("in", "out", "forward"):
        first = found[f"{prefix}_{direction}"][0]
        alone = first == "meta nfproto ipv6 counter accept"
        assert alone is not PROFILES[profile].filters_ipv6
    inbound = "\n".join(found[f"{prefix}_in"])
    routed = "\n".join(found[f"{prefix}_forward"])
    assert ("jump neighbours" in routed) is (profile == "linux")
    assert ("sport 547" in inbound) is (profile == "linux")
    assert ("jump neighbours" in inbound) is (profile == "linux")


def test_dhcp_one_way_each() -> None:
    """From the client's port out, to it in (spec 6.2, M2, M3)."""
    found = chains(text(BLOCK))
    assert "meta nfproto ipv4 udp sport 68 udp dport 67 counter accept" in found["block_out"]
    assert "meta nfproto ipv4 udp sport 67 udp dport 68 counter accept" in found["block_in"]


@pytest.mark.parametrize(
    ("exemptions", "inbound", "outbound"),
    [
        (["tcp:0:3389:inbound"], ["meta l4proto . th dport { 6 . 3389 }"], []),
        (["tcp:3389:0:outbound"], [], ["meta l4proto . th sport { 6 . 3389 }"]),
        (["udp:1:2:inbound"], ["meta l4proto . th sport . th dport { 17 . 1 . 2 }"], []),
        (["icmpv6:inbound", "raw:inbound"], ["meta l4proto { 58, 255 }"], []),
        (["icmp:outbound"], [], ["meta l4proto . meta nfproto { 1 . ipv4 }"]),
        (["udp:0:0:inbound", "0:outbound"], ["meta l4proto { 17 }"], ["meta l4proto { 0 }"]),
        (
            ["tcp:0:22:inbound", "icmp:inbound", "udp:0:68:inbound", "TCP:0:22:INBOUND"],
            [
                "meta l4proto . th dport { 6 . 22, 17 . 68 }",
                "meta l4proto . meta nfproto { 1 . ipv4 }",
            ],
            [],
        ),
    ],
)
def test_boot_exemptions(exemptions: list[str], inbound: list[str], outbound: list[str]) -> None:
    """Each in its direction, without a mirror, those of one form in one rule (spec 6.3)."""
    plain, found = chains(text(BLOCK)), chains(text(BLOCK, *exemptions))
    for name, expected in (("block_in", inbound), ("block_out", outbound)):
        added = [rule for rule in found[name] if rule not in plain[name]]
        assert [f"{rule} counter accept" for rule in expected] == added


def test_memory_is_as_large_and_as_long_as_the_drivers() -> None:
    """65,536 entries for 300 seconds, renewed by each outbound packet (spec 6.4)."""
    rules = text(STATEFUL)
    assert rules.count("timeout 300s\n\t\tsize 65536") == 4
    updates = [rule for rule in chains(rules)["stateful_out"] if "update @" in rule]
    assert len(updates) == 4
    assert all("timeout 300s" in rule for rule in updates)
    assert "set " not in text(BLOCK).replace("mark set", "")


@pytest.mark.parametrize("mode", FILTERING)
def test_routed_packets_are_judged_with_forward_only(mode: Mode) -> None:
    """Without `forward` they pass, as they do while the agent runs."""
    assert "forward" not in chains(text(mode))
    assert chains(text(mode, forward=True))["forward"][-1].startswith("goto ")


@pytest.mark.parametrize("forward", [False, True])
def test_what_goes_on_from_loopback_is_outbound(forward: bool) -> None:
    """It passes FORWARD unjudged and without the bit by which routed packets are known."""
    found = chains(text(BLOCK, forward=forward))
    assert found["routed"][1] == "iif lo meta mark set meta mark & 0x03ffffff accept"
    assert not forward or found["forward"][1] == "iif lo accept"


def test_own_bit_of_the_mark() -> None:
    """Of others' marks no other bit is changed."""
    found = chains(text(BLOCK, marks=Marks(0x1F0)))
    assert found["routed"][-1] == "meta mark set meta mark | 0x00000100"
    assert found["own"][1] == "meta mark & 0x00000100 != 0 meta mark set meta mark & 0xfffffeff"


@pytest.mark.parametrize("defragment", [True, False])
def test_defragmentation_needs_tproxy(defragment: bool) -> None:
    """On a kernel without that expression the rules do without."""
    assert ("tproxy" in text(STATEFUL, defragment=defragment)) is defragment
