"""The IPSec test of netdiag: the samples of spec 8.5, and filters as the driver sees them."""

from __future__ import annotations

import ipaddress
from textwrap import dedent

import pytest

from ipsecfd.policy.model import (
    Action,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Me,
    Policy,
    Rule,
    ServerKind,
    Store,
)
from ipsecfd.policy.netdiag import (
    NetdiagFilter,
    NetdiagPolicy,
    NetdiagView,
    filter_lines,
    netdiag,
    shown_filters,
)
from tests.builders import generic

ME, ME6 = ipaddress.ip_address("192.168.1.1"), ipaddress.ip_address("2001:db8::10")
LOCAL = NetdiagPolicy(
    "Block UDP 1434 Filter", "{D239C599-F945-47A3-A4E3-B37BC12826B9}", Store.LOCAL
)
ANY, HOST = ipaddress.ip_network("0.0.0.0/0"), ipaddress.ip_network("192.168.1.1/32")
IDS = "{5EC1FD53-EA98-4C1B-A99F-6D2A0FF94592}", "{509492EA-1214-4F50-BF43-9CAC2B538518}"
IN = NetdiagFilter(ANY, HOST, 0, 1434, 17, Action.BLOCK, None, *IDS)
OUT = NetdiagFilter(HOST, ANY, 0, 1434, 17, None, Action.BLOCK, *IDS)


def rule(*filters: str | Filter, action: FilterAction | None = None, active: bool = True) -> Rule:
    made = tuple(generic(one) if isinstance(one, str) else one for one in filters)
    return Rule(
        "a rule",
        FilterList("a list", made),
        action or FilterAction.both("BLOCK", Action.BLOCK),
        active=active,
    )


def shown(*rules: Rule, ipv6: bool = False) -> list[tuple[str, str, int, int, str]]:
    """Source, destination, ports, and the directions and actions of each filter."""
    found = shown_filters(
        [(Store.LOCAL, Policy("P", rules))],
        [ME, ME6],
        {ServerKind.DNS: [ipaddress.ip_address("192.168.1.53")]},
        ipv6=ipv6,
    )
    return [
        (
            str(one.source),
            str(one.destination),
            one.source_port,
            one.destination_port,
            " ".join(
                f"{way} {action.name}"
                for way, action in (("in", one.inbound), ("out", one.outbound))
                if action is not None
            ),
        )
        for one in found
    ]


@pytest.mark.parametrize("debug", [True, False])
def test_no_policy_is_assigned(debug: bool) -> None:
    """The published sample, with and without /debug."""
    assert netdiag(NetdiagView(running=True), debug) == dedent(
        """\
        IP Security test . . . . . . . . . : Passed
            IPSec policy service is active, but no policy is assigned."""
    )


def test_a_local_policy_with_its_filters() -> None:
    """The published sample of /debug."""
    text = netdiag(NetdiagView(True, (LOCAL,), (IN, OUT)), debug=True)
    assert text == dedent(
        """\
        IP Security test . . . . . . . . . : Passed
            Local IPSec Policy Active: 'Block UDP 1434 Filter'
            IP Security Policy Path: SOFTWARE\\Policies\\Microsoft\\Windows\\IPSec\\Policy\\Local\\ipsecPolicy{D239C599-F945-47A3-A4E3-B37BC12826B9}

            There are 2 filters
            No Name
                Filter Id: {5EC1FD53-EA98-4C1B-A99F-6D2A0FF94592}
                Policy Id: {509492EA-1214-4F50-BF43-9CAC2B538518}
                Src Addr : 0.0.0.0          Src Mask : 0.0.0.0
                Dest Addr : 192.168.1.1     Dest Mask : 255.255.255.255
                Tunnel Addr : 0.0.0.0       Src Port : 0       Dest Port : 1434
                Protocol : 17               TunnelFilter: No
                Flags : Inbound Block
            No Name
                Filter Id: {5EC1FD53-EA98-4C1B-A99F-6D2A0FF94592}
                Policy Id: {509492EA-1214-4F50-BF43-9CAC2B538518}
                Src Addr : 192.168.1.1      Src Mask : 255.255.255.255
                Dest Addr : 0.0.0.0         Dest Mask : 0.0.0.0
                Tunnel Addr : 0.0.0.0       Src Port : 0       Dest Port : 1434
                Protocol : 17               TunnelFilter: No
                Flags : Outbound Block"""  # noqa: E501
    )


def test_filters_need_debug() -> None:
    """Without /debug only the policy is named."""
    text = netdiag(NetdiagView(True, (LOCAL,), (IN, OUT)), debug=False)
    assert "filters" not in text
    assert len(text.splitlines()) == 3


def test_a_stopped_service() -> None:
    """The test fails then."""
    text = netdiag(NetdiagView(running=False), debug=True)
    assert text == (
        "IP Security test . . . . . . . . . : Failed\n    IPSec policy service is not running."
    )


def test_other_stores_are_named() -> None:
    """A domain policy is where it was fetched from, a persistent one beside the local ones."""
    policies = (
        NetdiagPolicy("Base", "{1}", Store.PERSISTENT),
        NetdiagPolicy("All hosts", "{2}", Store.DOMAIN, "https://policy.example/all.toml"),
    )
    windows_path = r"SOFTWARE\Policies\Microsoft\Windows\IPSec\Policy\Persistent\ipsecPolicy{1}"
    assert netdiag(NetdiagView(True, policies), debug=False).splitlines()[1:] == [
        "    Persistent IPSec Policy Active: 'Base'",
        f"    IP Security Policy Path: {windows_path}",
        "    Domain IPSec Policy Active: 'All hosts'",
        "    IP Security Policy Path: https://policy.example/all.toml",
    ]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("any -> me:1434 udp", [("0.0.0.0/0", "192.168.1.1/32", 0, 1434, "in BLOCK")]),
        ("me -> any:1434 udp", [("192.168.1.1/32", "0.0.0.0/0", 0, 1434, "out BLOCK")]),
        (
            "any:7 <-> me:80 tcp",
            [
                ("0.0.0.0/0", "192.168.1.1/32", 7, 80, "in BLOCK"),
                ("192.168.1.1/32", "0.0.0.0/0", 80, 7, "out BLOCK"),
            ],
        ),
        ("any <-> any", [("0.0.0.0/0", "0.0.0.0/0", 0, 0, "in BLOCK out BLOCK")]),
        ("10.0.0.0/8 -> any", [("10.0.0.0/8", "0.0.0.0/0", 0, 0, "in BLOCK")]),
        ("10.0.0.0/8 -> 10.0.0.1", [("10.0.0.0/8", "10.0.0.1/32", 0, 0, "in BLOCK out BLOCK")]),
        ("me -> 192.168.1.1", [("192.168.1.1/32", "192.168.1.1/32", 0, 0, "in BLOCK")]),
        ("me -> me", []),
        ("me -> dns", [("192.168.1.1/32", "192.168.1.53/32", 0, 0, "out BLOCK")]),
        ("me -> gateway", []),
        (
            "10.0.0.1-10.0.0.2 -> me",
            [
                ("10.0.0.1/32", "192.168.1.1/32", 0, 0, "in BLOCK"),
                ("10.0.0.2/32", "192.168.1.1/32", 0, 0, "in BLOCK"),
            ],
        ),
        ("2001:db8::/32 -> me", []),
    ],
)
def test_filters_as_the_driver_sees_them(
    line: str, expected: list[tuple[str, str, int, int, str]]
) -> None:
    """Plain addresses, mirrors apart, a direction that follows from where the host's address is."""
    assert shown(rule(line)) == expected


def test_both_families() -> None:
    """Where the profile filters IPv6, me and any are of both; ICMP is of IPv4 only."""
    assert shown(rule("me -> any"), ipv6=True) == [
        ("192.168.1.1/32", "0.0.0.0/0", 0, 0, "out BLOCK"),
        ("2001:db8::10/128", "::/0", 0, 0, "out BLOCK"),
    ]
    assert len(shown(rule("me -> any icmp"), ipv6=True)) == 1


def test_names_are_their_addresses() -> None:
    """A name's addresses are those of the day the filter was made."""
    name = DnsName("www.example.com", tuple(map(ipaddress.ip_address, ("10.0.0.1", "10.0.0.2"))))
    assert [one[1] for one in shown(rule(Filter(Me(), name, mirrored=False)))] == [
        "10.0.0.1/32",
        "10.0.0.2/32",
    ]


def test_inactive_rules_have_no_filters() -> None:
    """Only what the driver uses is listed."""
    assert shown(rule("me -> any", active=False)) == []


def test_directions_may_differ() -> None:
    """A dynamic rule has an action for each direction; a line of flags for each."""
    action = FilterAction("dynamic", Action.BLOCK, Action.PERMIT)
    (found,) = shown_filters(
        [(Store.DYNAMIC, Policy("P", (rule("any <-> any", action=action),)))], [ME], ipv6=False
    )
    lines = list(filter_lines([found]))
    assert [one.strip() for one in lines[-2:]] == [
        "Flags : Inbound Block",
        "Flags : Outbound Permit",
    ]


def test_names_and_ids() -> None:
    """A description is the name; ids tell filters apart and are the same at the next look."""
    rules = (rule(Filter(Me(), Me()), generic("any <-> me:80 tcp")),)
    policies = [(Store.LOCAL, Policy("P", rules))]
    one, other = shown_filters(policies, [ME], ipv6=False)
    assert one.filter_id != other.filter_id
    assert one.policy_id == other.policy_id
    assert (one, other) == shown_filters(policies, [ME], ipv6=False)
    named = Filter(Me(), generic("any -> any").source, mirrored=False, description="all out")
    (with_name,) = shown_filters([(Store.LOCAL, Policy("P", (rule(named),)))], [ME], ipv6=False)
    assert "    all out" in list(filter_lines([with_name]))


def test_any_ipv6_address_reads_as_any() -> None:
    """Its mask is ::, as that of IPv4 is 0.0.0.0; other IPv6 masks are a number of bits."""
    everything = ipaddress.IPv6Network("::/0")
    one = NetdiagFilter(everything, everything, 0, 0, 0, None, Action.BLOCK, "{f}", "{p}")
    assert "        Src Addr : ::               Src Mask : ::" in list(filter_lines([one]))


def test_wide_values_keep_apart() -> None:
    """Columns that are too narrow for IPv6 still have a gap."""
    wide = ipaddress.ip_network("2001:db8:1111:2222:3333:4444:5555:6666/128")
    lines = list(
        filter_lines([NetdiagFilter(wide, wide, 65535, 65535, 6, None, None, "{1}", "{2}")])
    )
    assert f"Src Addr : {wide.network_address} Src Mask : 128" in lines[4]
    assert "Src Port : 65535   Dest Port : 65535" in lines[6]
