"""The ends of a specific filter, and the roles an address fills for a host."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.sides import Role, Roles, Side, expand
from tests.builders import address, host

THIS_HOST = host(
    "192.0.2.10/24", "2001:db8::10/64", gateway=["192.0.2.1"], dns=["192.0.2.1", "192.0.2.10"]
)


def roles(profile: str = "linux", *, delivered: bool = False) -> Roles:
    on = host("192.0.2.10/24", "2001:db8::10/64", delivered=delivered)
    return Roles(on, PROFILES[profile])


def number(text: str) -> int:
    return int(ipaddress.ip_address(text))


@pytest.mark.parametrize(
    ("network", "inside", "outside"),
    [
        ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
        ("192.0.2.10", "192.0.2.10", "192.0.2.11"),
        ("192.0.2.10/31", "192.0.2.11", "192.0.2.12"),
        ("128.0.0.0/1", "255.255.255.255", "127.255.255.255"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
        ("::1", "::1", "::2"),
    ],
)
def test_prefix(network: str, inside: str, outside: str) -> None:
    """A prefix covers its addresses and prints as it is written."""
    family = 6 if ":" in network else 4
    (side,) = expand(address(network), family)
    assert side.matches(number(inside), frozenset())
    assert not side.matches(number(outside), frozenset())
    assert str(side) == network


@pytest.mark.parametrize("family", [4, 6])
def test_any(family: int) -> None:
    """`any` covers the first and the last address of either family."""
    (side,) = expand(address("any"), family)
    assert side.matches(0, frozenset())
    assert side.matches((1 << (32 if family == 4 else 128)) - 1, frozenset())
    assert str(side) == "any"


@pytest.mark.parametrize("kind", ["me", "wins", "dns", "dhcp", "gateway"])
def test_role(kind: str) -> None:
    """A role covers what fills it, whatever the address."""
    (side,) = expand(address(kind), 4)
    assert side == Side(4, 32, role=Role(kind))
    assert side.matches(0, frozenset({Role(kind)}))
    assert not side.matches(0, frozenset(set(Role) - {Role(kind)}))
    assert str(side) == kind


def test_one_address_many_roles() -> None:
    """An address may be gateway and resolver at once, and the host its own resolver."""
    known = Roles(THIS_HOST, PROFILES["linux"])
    assert known.of_source(4, number("192.0.2.1"), Direction.IN) == {Role.GATEWAY, Role.DNS}
    assert known.of_source(4, number("192.0.2.10"), Direction.OUT) == {Role.ME, Role.DNS}
    assert known.of_source(6, number("192.0.2.10"), Direction.IN) == frozenset()


@pytest.mark.parametrize("direction", list(Direction))
def test_unknown_addresses(direction: Direction) -> None:
    """Where packets were delivered, the host's own end is `me`, known or not; no other end is."""
    stranger = number("192.0.2.99")
    live = roles(delivered=True)
    assert (Role.ME in live.of_source(4, stranger, direction)) is (direction is Direction.OUT)
    assert (Role.ME in live.of_destination(4, stranger, direction)) is (direction is Direction.IN)
    offline = roles()
    assert not offline.of_source(4, stranger, direction)
    assert not offline.of_destination(4, stranger, direction)


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("direction", [Direction.IN, Direction.FORWARD])
def test_own_addresses_that_come_in(direction: Direction, delivered: bool) -> None:
    """In IPv6 anybody on the link may have forged them; in IPv4 they are the host's own multicasts
    and broadcasts, since the kernel refuses what is forged."""
    known = roles(delivered=delivered)
    for family, own in ((4, "192.0.2.10"), (6, "2001:db8::10")):
        assert Role.ME in known.of_source(family, number(own), Direction.OUT)
        assert (Role.ME in known.of_source(family, number(own), direction)) is (family == 4)


@pytest.mark.parametrize(
    ("destination", "own"),
    [("192.0.2.10", False), ("192.0.2.11", False), ("192.0.2.255", True), ("224.0.0.251", True)],
)
def test_only_groups_bring_back_what_the_host_sends(destination: str, own: bool) -> None:
    """What comes in from an own address and is for one host was forged."""
    known = roles(delivered=True)
    ends = number("192.0.2.10"), number(destination)
    assert Role.ME in known.of_ends(4, *ends, Direction.OUT)[0]
    for direction in (Direction.IN, Direction.FORWARD):
        assert (Role.ME in known.of_ends(4, *ends, direction)[0]) is own


@pytest.mark.parametrize("family", [4, 6])
def test_unspecified_source(family: int) -> None:
    """0.0.0.0 and :: are nobody's, even when the host sends from them."""
    assert not roles(delivered=True).of_source(family, 0, Direction.OUT)


@pytest.mark.parametrize("delivered", [False, True])
@pytest.mark.parametrize("profile", ["win2003", "vista", "linux"])
@pytest.mark.parametrize("group", ["224.0.0.1", "192.0.2.255", "255.255.255.255", "ff02::1"])
def test_groups(group: str, profile: str, delivered: bool) -> None:
    """Multicast and broadcast are `me` in profile `linux` as inbound destinations only."""
    known = roles(profile, delivered=delivered)
    family = 6 if ":" in group else 4
    for direction in Direction:
        found = known.of_destination(family, number(group), direction)
        expected = profile == "linux" and direction is Direction.IN
        assert (Role.ME in found) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("223.255.255.255", None),
        ("224.0.0.0", "multicast"),
        ("239.255.255.255", "multicast"),
        ("240.0.0.0", None),
        ("192.0.2.255", "broadcast"),
        ("192.0.2.127", None),
        ("255.255.255.255", "broadcast"),
        ("feff::", None),
        ("ff00::", "multicast"),
        ("ffff:ffff::ffff", "multicast"),
        ("::ffff:224.0.0.1", None),
    ],
)
def test_group(text: str, expected: str | None) -> None:
    """224.0.0.0/4, ff00::/8 and the host's broadcast addresses mean many hosts."""
    assert roles().group(6 if ":" in text else 4, number(text)) == expected


def test_is_me() -> None:
    """Only an address of the host is its own, delivered or not, and a group never is."""
    known = roles(delivered=True)
    assert known.is_me(4, number("192.0.2.10"))
    assert known.is_me(6, number("2001:db8::10"))
    assert not known.is_me(4, number("192.0.2.255"))
    assert not known.is_me(4, number("192.0.2.99"))
