"""Each warning is given when there is a reason, and only then."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecfd.agent.advice import advice
from ipsecfd.agent.config import parse
from ipsecfd.driver.decision import Reason
from ipsecfd.driver.driver import Driver
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.host import Host
from ipsecfd.policy.model import Connection, Policy, Rule, Store
from tests.builders import ask, host, make_driver, policy, rule

BLOCK_ALL = "block me <-> any"
WEB = "permit any <-> me:80 tcp"
IPV4_HOST = host("192.0.2.10/24")

KERBEROS = "port 88"
IKE = "port 500"
CLIENT = "Client permits"
IPV6 = "does not filter IPv6"
MULTICAST = "to multicast"
BROADCAST = "broadcast addresses"
FORWARDS = "forwards packets"
NEIGHBOURS = "neighbour discovery"
STRANGERS = "concerns an address"
NEGOTIATE = "negotiates no security"
IDLE = "filters nothing: every packet"


def advise(
    *rules: Rule | str,
    name: str = "policy",
    forwarding: bool = False,
    forward: bool = False,
    **driver: Any,
) -> list[str]:
    """The advice about one policy; further arguments are make_driver's."""
    made = make_driver(*rules, **driver)
    policies = [(Store.LOCAL, policy(*rules, name=name))]
    return advice(policies, made.settings, forwarding=forwarding, forward=forward)


def warns(warnings: list[str], words: str) -> bool:
    return any(words in one for one in warnings)


# --- nothing to say ---


@pytest.mark.parametrize(
    "rules",
    [
        (),
        (BLOCK_ALL,),
        (BLOCK_ALL, WEB, "permit 10.0.11.0/24 <-> me:3389 tcp"),
        (BLOCK_ALL, "permit me <-> dns:53 udp", "permit me <-> 198.51.100.7:80 tcp"),
        ("block any -> me:1434 udp", "permit me <-> any:53 udp"),
        ("permit me <-> any:80 tcp",),
        ("block any <-> any", WEB),
    ],
)
def test_sound_policies_cause_no_warning(rules: tuple[str, ...]) -> None:
    """In the default profile a policy that does what it seems to do is not talked about."""
    warnings = advise(*rules, forwarding=True, forward=True)
    assert warnings == [] if rules else warns(warnings, IDLE)


# --- the source-port attack ---


@pytest.mark.parametrize("value", [0, 1, 2, 3])
def test_kerberos_exemption(value: int) -> None:
    """Values 0 and 2 let senders from port 88 in anywhere; it matters if something is blocked."""
    hole = value in (0, 2)
    assert warns(advise(BLOCK_ALL, exempt=value), KERBEROS) == hole
    assert warns(advise("block any -> me:445 tcp", exempt=value), KERBEROS) == hole
    assert warns(advise("block me -> any:25 tcp", exempt=value), "leaves from or to") == hole
    assert not warns(advise(WEB, exempt=value), KERBEROS)
    assert not warns(advise("block any <-> me icmp", exempt=value), KERBEROS)
    assert not warns(advise("block 10.0.0.1 <-> 10.0.0.2", exempt=value), KERBEROS)
    assert not warns(advise(rule("block", "me <-> any", active=False), exempt=value), KERBEROS)


@pytest.mark.parametrize(("profile", "value"), [("winxp", 1), ("win2003", 3), ("linux", 3)])
def test_kerberos_remedy(profile: str, value: int) -> None:
    """The value recommended is one that the profile has."""
    assert warns(advise(BLOCK_ALL, profile=profile, exempt=0), f"Set exempt = {value}.")


def test_wide_ike_exemption() -> None:
    """Only in profile win2000 is one port 500 enough, and only blocked UDP is concerned."""
    assert warns(advise(BLOCK_ALL, profile="win2000", exempt=1), IKE)
    assert not warns(advise(BLOCK_ALL, profile="winxp", exempt=1), IKE)
    assert not warns(advise("block any -> me:80 tcp", profile="win2000", exempt=1), IKE)
    assert not warns(advise("block me -> any udp", profile="win2000", exempt=1), IKE)


# --- the mirror's weakness ---


@pytest.mark.parametrize(
    "permit",
    [
        "me <-> any:80 tcp",
        "any:53 <-> me udp",
        "any:53 -> me udp",
        "me <-> 0.0.0.0/0:80 tcp",
        "192.0.2.10 <-> any:80 tcp",
    ],
)
@pytest.mark.parametrize("action", ["permit", "soft", "inpass"])
def test_client_permits(permit: str, action: str) -> None:
    """A permit of whatever comes from a remote port, to any local port, is a hole in a block."""
    warnings = advise(rule(action, permit, name="Out"), BLOCK_ALL)
    assert warns(warnings, CLIENT)
    assert warns(warnings, f'"{permit}" (rule "Out")')


def test_client_permits_of_anybody() -> None:
    """A permit between all addresses is a hole in a block between all addresses; against a block
    of the host's own it is less specific, and none."""
    assert warns(advise("permit any <-> any:80 tcp", "block any <-> any"), CLIENT)
    assert not warns(advise("permit any <-> any:80 tcp", BLOCK_ALL), CLIENT)


@pytest.mark.parametrize(
    "permit",
    [
        "any <-> me:80 tcp",
        "me -> any:80 tcp",
        "me <-> any tcp",
        "me:68 <-> any:67 udp",
        "me <-> 198.51.100.7:80 tcp",
        "me <-> dns:53 udp",
        "198.51.100.1 <-> any:80 tcp",
    ],
)
def test_server_permits_are_no_holes(permit: str) -> None:
    """A permit bound to a local port, to one way or to known servers opens nothing else."""
    assert not warns(advise(f"permit {permit}", BLOCK_ALL), CLIENT)


@pytest.mark.parametrize(
    "block",
    [
        "any -> me:1434 udp",
        "me -> any",
        "192.0.2.10 -> any",
        "any <-> me udp",
        "203.0.113.0/24 <-> me",
    ],
)
def test_client_permits_matter_where_they_win(block: str) -> None:
    """No hole where nothing is blocked inbound, where another protocol is, or where the block is
    more specific than the permit."""
    assert not warns(advise("permit me <-> any:80 tcp", f"block {block}"), CLIENT)


def test_client_permits_against_a_block_of_some() -> None:
    """A block of some senders to anybody is less specific than the permit: a hole for these."""
    assert warns(advise("permit me <-> any:80 tcp", "block 203.0.113.0/24 -> any"), CLIENT)


def test_client_permits_on_dial_up_interfaces() -> None:
    """Rules for dial-up interfaces alone are looked at, too."""
    dialup = rule("block", "me <-> any", connection=Connection.DIALUP)
    assert warns(advise(dialup, "permit me <-> any:80 tcp"), CLIENT)


def test_few_are_named() -> None:
    """A warning names three filters and says how many more there are."""
    clients = rule("permit", *(f"me <-> any:{port} tcp" for port in range(1, 1235)), name="Out")
    (warning,) = advise(clients, BLOCK_ALL)
    assert warning.count('(rule "Out")') == 3
    assert "or 1,231 more" in warning


# --- IPv6 ---


@pytest.mark.parametrize("profile", ["win2000", "winxp", "winxpsp2", "win2003"])
def test_ipv6_unfiltered(profile: str) -> None:
    """Profiles without IPv6 leave it open; it matters where there is some and it seems blocked."""
    assert warns(advise(BLOCK_ALL, profile=profile), IPV6)
    assert warns(advise("block me <-> 2001:db8:1::/48", profile=profile), IPV6)
    assert not warns(advise(BLOCK_ALL, profile=profile, on=IPV4_HOST), IPV6)
    assert not warns(advise("block me <-> 10.0.0.0/8", profile=profile), IPV6)
    assert not warns(advise(WEB, profile=profile), IPV6)


@pytest.mark.parametrize("profile", ["vista", "linux"])
def test_ipv6_filtered(profile: str) -> None:
    """The other profiles filter IPv6."""
    assert not warns(advise(BLOCK_ALL, profile=profile), IPV6)


def test_neighbour_discovery() -> None:
    """Where neighbour discovery is blocked, IPv6 that is permitted cannot work."""
    assert warns(advise(BLOCK_ALL, WEB, profile="vista"), NEIGHBOURS)
    assert not warns(advise(BLOCK_ALL, WEB, profile="linux"), NEIGHBOURS)
    assert not warns(advise(BLOCK_ALL, profile="vista"), NEIGHBOURS)
    assert not warns(advise(BLOCK_ALL, WEB, profile="vista", on=IPV4_HOST), NEIGHBOURS)
    assert not warns(advise(BLOCK_ALL, "permit 10.0.0.1 <-> me", profile="vista"), NEIGHBOURS)
    for block in (BLOCK_ALL, "block any <-> any"):  # the remedy that is named works
        remedied = advise(block, WEB, "permit me <-> any icmpv6", profile="vista")
        assert not warns(remedied, NEIGHBOURS)


# --- multicast and broadcast ---


@pytest.mark.parametrize(
    ("profile", "exempt", "block", "expected"),
    [
        ("linux", 3, "me <-> any", False),
        ("linux", 3, "any <-> any", False),
        ("linux", 1, "me <-> any", True),
        ("win2003", 3, "me <-> any", True),
        ("win2003", 3, "any <-> any", True),
        ("win2003", 3, "any -> me:1434 udp", True),
        ("win2003", 3, "any -> me:1434 tcp", False),
        ("win2003", 3, "me -> any", False),
        ("winxp", 0, "me <-> any", True),
    ],
)
def test_groups_exempt(profile: str, exempt: int, block: str, expected: bool) -> None:
    """Exempt multicast and broadcast are mentioned where the same datagram to the host is not."""
    warnings = advise(f"block {block}", profile=profile, exempt=exempt)
    assert warns(warnings, MULTICAST) == expected
    assert warns(warnings, BROADCAST) == expected


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ('profile = "win2003"', "Use profile linux to filter them."),
        ('profile = "vista"\nexempt = 1', "Use profile linux to filter them."),
        ("exempt = 1", "Set exempt = 3 to filter them."),
        ("inbound_mcast_exempt = true", "Set inbound_mcast_exempt = false to filter them."),
    ],
)
def test_remedy_for_exempt_groups(text: str, remedy: str) -> None:
    """The advice names what would filter them."""
    config = parse(text, "ipsecfd.toml")
    made = make_driver(BLOCK_ALL, exempt=config.exempt_value)
    configured = replace(made.settings, profile=config.driver_profile)
    policies = [(Store.LOCAL, policy(BLOCK_ALL))]
    warnings = advice(policies, configured, forwarding=False, forward=False)
    assert [one.endswith(remedy) for one in warnings if MULTICAST in one] == [True]


def test_groups_without_a_filter() -> None:
    """A block of the host's address by its number leaves out the groups that `me` would cover."""
    warnings = advise("block any -> 192.0.2.10", on=IPV4_HOST)
    assert warns(warnings, "multicast and broadcast addresses match no filter")
    permit = "permit any -> 224.0.0.0/4"
    warnings = advise("block any -> 192.0.2.10", permit, on=IPV4_HOST)
    assert not warns(warnings, MULTICAST)
    assert warns(warnings, BROADCAST)


def test_ipv6_groups() -> None:
    """They are exempt nowhere, and named apart from IPv4's, which may be: the remedy is another."""
    unmatched = "to IPv6 multicast addresses match no filter"
    assert warns(advise(BLOCK_ALL, profile="vista"), unmatched)
    assert not warns(advise("block any <-> any", profile="vista"), unmatched)
    assert not warns(advise(BLOCK_ALL, profile="linux", exempt=1), "IPv6 multicast")


def test_groups_where_me_is_none() -> None:
    """In Windows' profiles `me` covers no groups: the advice says so, and what it says helps."""
    for filters, warned in (("block me <-> any", True), ("block any <-> any", False)):
        made = make_driver(filters, profile="win2003", on=IPV4_HOST)
        profile = replace(PROFILES["win2003"], inbound_group_exempt=False)
        judged_by = replace(made.settings, profile=profile)
        policies = [(Store.LOCAL, policy(filters))]
        warnings = advice(policies, judged_by, forwarding=False, forward=False)
        assert warned is warns(warnings, "multicast and broadcast addresses match no filter")
        assert warned is warns(warnings, 'Write "any" for that address: in profile win2003 "me" is')


# --- what is not judged, not used or not possible ---


def test_forwarding() -> None:
    """Routed packets pass a block unless they are judged."""
    assert warns(advise(BLOCK_ALL, forwarding=True), FORWARDS)
    assert not warns(advise(BLOCK_ALL, forwarding=True, forward=True), FORWARDS)
    assert not warns(advise(BLOCK_ALL), FORWARDS)
    assert not warns(advise(WEB, forwarding=True), FORWARDS)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["10.0.0.1 <-> 10.0.0.2", "10.0.0.3 -> 10.1.0.0/16:80 tcp"], True),
        (["10.0.0.1 <-> 192.0.2.11-192.0.2.19"], True),
        (["10.0.0.1 <-> 2001:db8:1::1"], True),
        (["10.0.0.1 <-> 10.0.0.2", "10.0.0.1 <-> me"], False),
        (["any -> 10.0.0.1"], False),
        (["10.0.0.1 <-> 192.0.2.10"], False),
        (["10.0.0.1 <-> 192.0.2.0/28"], False),
        (["10.0.0.1 <-> 192.0.2.9-192.0.2.19"], False),
        (["2001:db8:1::1 -> 2001:db8::/64"], False),
        (["10.0.0.1 -> 224.0.0.251"], False),
        (["10.0.0.1 -> 239.0.0.0/8"], False),
        (["10.0.0.1 -> 192.0.2.255"], False),
        (["2001:db8:1::1 -> ff02::/16"], False),
    ],
)
def test_a_policy_for_other_hosts(filters: list[str], expected: bool) -> None:
    """A policy none of whose filters can match this host's packets is for another host; one for
    routed packets is not."""
    rules = rule("block", *filters)
    assert warns(advise(rules), STRANGERS) == expected
    assert not warns(advise(rules, forward=True), STRANGERS)
    assert not warns(advise(rules, on=Host()), STRANGERS)


@pytest.mark.parametrize(
    ("action", "effect"),
    [
        ("negotiate", "is dropped"),
        ("inpass", "accepted in clear inbound and dropped outbound"),
        ("soft", "let through in clear both ways"),
        ("negotiate/permit", "dropped inbound and sent in clear"),
    ],
)
def test_negotiate(action: str, effect: str) -> None:
    """What becomes of negotiate is said, by rule; an inactive rule negotiates nothing."""
    warnings = advise(rule(action, "me <-> 10.0.0.0/8", name="Safe"))
    assert warns(warnings, NEGOTIATE)
    assert warns(warnings, '"Safe" would protect is')
    assert warns(warnings, f"{effect}, unless the kernel's IPsec protects it")
    assert not warns(advise(rule(action, "me <-> 10.0.0.0/8", active=False)), NEGOTIATE)
    assert not warns(advise(BLOCK_ALL, WEB), NEGOTIATE)


@pytest.mark.parametrize(
    ("rules", "why"),
    [
        ((), "has no rule"),
        ((rule("block", "me <-> any", active=False),), "none of whose rules is active"),
        ((rule("block", name="Empty"),), "rules have no filters"),
    ],
)
def test_idle_policies(rules: tuple[Rule, ...], why: str) -> None:
    """A policy that is in force and filters nothing is named, with the reason."""
    (warning,) = advise(*rules, name="Mine")
    assert warning.startswith('Policy "Mine"')
    assert why in warning
    assert IDLE in warning


def test_each_policy_is_looked_at() -> None:
    """Of several policies only the idle one, or the one for another host, is named."""
    policies = [
        (Store.LOCAL, policy(BLOCK_ALL, name="good")),
        (Store.DYNAMIC, policy(name="idle")),
        (Store.PERSISTENT, policy("block 10.0.0.1 <-> 10.0.0.2", name="foreign")),
    ]
    made = make_driver(policies=policies)
    warnings = advice(policies, made.settings, forwarding=False, forward=False)
    assert len(warnings) == 2
    assert warns(warnings, '"idle"')
    assert warns(warnings, '"foreign"')


# --- all together ---


def test_a_host_without_addresses() -> None:
    """Before the network is up the policy is judged for any address."""
    warnings = advise("permit me <-> any:80 tcp", BLOCK_ALL, exempt=0, on=Host())
    assert warns(warnings, CLIENT)
    assert warns(warnings, KERBEROS)


PORTS = (0, 25, 80)
ADDRESSES = ("any", "me", "192.0.2.10", "203.0.113.0/24", "203.0.113.66", "dns")
FILTERS = st.builds(
    lambda source, arrow, destination, protocol, from_port, to_port: (
        f"{source}{f':{from_port}' if from_port and protocol != 'any' else ''} {arrow} "
        f"{destination}{f':{to_port}' if to_port and protocol != 'any' else ''} {protocol}"
    ),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("->", "<->")),
    st.sampled_from(ADDRESSES),
    st.sampled_from(("any", "tcp", "udp")),
    st.sampled_from(PORTS),
    st.sampled_from(PORTS),
)
RULES = st.lists(
    st.builds(
        lambda action, filters: rule(action, *filters),
        st.sampled_from(("permit", "block", "negotiate", "inpass", "soft", "block/permit")),
        st.lists(FILTERS, min_size=1, max_size=3),
    ),
    min_size=1,
    max_size=4,
)
NOBODY = "198.51.100.200"
"""In no filter above but by `any`."""
SENDERS = ("203.0.113.66", "203.0.113.9", NOBODY)
LOCAL_PORTS = (25, 80, 50_001)


def opened(driver: Driver, sender: str, local_port: int) -> bool:
    """Whether port 25 or 80 lets this sender in where another port does not."""
    return any(
        not ask(driver, f"in {protocol} {sender}:50000 -> 192.0.2.10:{local_port}").permits
        and ask(driver, f"in {protocol} {sender}:{port} -> 192.0.2.10:{local_port}").permits
        for protocol in ("tcp", "udp")
        for port in (25, 80)
    )


@settings(max_examples=200, deadline=None)
@given(RULES, st.sampled_from(("linux", "win2003", "win2000")), st.sampled_from((0, 1)))
def test_warnings_are_true_and_complete(rules: list[Rule], profile: str, exempt: int) -> None:
    """Checked with packets one by one: who gets in by sending from a permitted port, which groups
    pass where the host's address does not, and what the Kerberos exemption opens."""
    driver = make_driver(*rules, profile=profile, exempt=exempt, on=IPV4_HOST)
    warnings = advise(*rules, profile=profile, exempt=exempt, on=IPV4_HOST)

    if opened(driver, NOBODY, 50_001):
        assert warns(warnings, CLIENT)
    if warns(warnings, CLIENT):
        assert any(opened(driver, one, port) for one in SENDERS for port in LOCAL_PORTS)

    for words, group in ((MULTICAST, "224.0.0.251"), (BROADCAST, "192.0.2.255")):
        assert warns(warnings, words) == any(
            not ask(driver, f"in udp {NOBODY}:50000 -> 192.0.2.10:{port}").permits
            and ask(driver, f"in udp {NOBODY}:50000 -> {group}:{port}").reason
            in (Reason.EXEMPTION, Reason.NO_FILTER)
            for port in LOCAL_PORTS
        )

    if any(
        not ask(driver, f"in tcp {one}:50000 -> 192.0.2.10:{port}").permits
        and ask(driver, f"in tcp {one}:88 -> 192.0.2.10:{port}").permits
        for one in SENDERS
        for port in LOCAL_PORTS
    ):
        assert warns(warnings, KERBEROS)


@pytest.mark.parametrize(
    "rules",
    [
        [rule("permit", *(f"me <-> any:{n} tcp" for n in range(1, 10_001))), BLOCK_ALL],
        [rule("block", *(f"10.{n >> 8}.{n & 255}.0/24 <-> 172.16.0.0/12" for n in range(10_000)))],
        [rule("block", *(f"10.{n >> 8}.{n & 255}.0/24 <-> me:{n + 1} udp" for n in range(10_000)))],
    ],
)
def test_large_policies(rules: list[Rule | str]) -> None:
    """Ten thousand filters are advised in little time: far below a second on a busy machine."""
    made = make_driver(*rules)
    chosen = replace(made.settings, dialup_table=None)
    policies = [(Store.LOCAL, Policy("large", policy(*rules).rules))]
    before = time.process_time()
    advice(policies, chosen, forwarding=True, forward=False)
    assert time.process_time() - before < 0.5
