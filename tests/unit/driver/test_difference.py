"""Two policies compared by their verdicts."""

from __future__ import annotations

import pytest

from ipsecfd.driver import difference as module
from ipsecfd.driver.difference import Change, Difference, difference
from ipsecfd.driver.driver import Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.host import Host
from ipsecfd.policy.model import Connection, Rule, Store
from tests.builders import THIS_HOST, host, policy, rule

CLOSED = "block me <-> any"


def compare(
    before: list[str | Rule],
    after: list[str | Rule],
    *,
    on: Host = THIS_HOST,
    profile: str = "linux",
    exempt: int = 3,
    forward: bool = False,
) -> Difference:
    """The difference of two policies with these rules."""
    now, then = ([(Store.LOCAL, policy(*rules))] for rules in (before, after))
    settings = Settings(profile=PROFILES[profile], exempt=exempt, host=on)
    return difference(now, then, settings, forward=forward)


def shown(found: Difference) -> list[str]:
    """Each change in a line."""
    return [line(change) for change in found.changes]


def line(change: Change) -> str:
    """Packet, verdicts, and the filters that decide."""
    direction, protocol, source, source_port, destination, port = change.example
    packet = f"{direction} {protocol} {source}:{source_port} -> {destination}:{port}"
    verdicts = f"{change.before.verdict.value} to {change.after.verdict.value}"
    return f"{packet} {verdicts}: {change.before.filter} / {change.after.filter}"


def test_equal_policies() -> None:
    """Nothing changes, nothing is tried."""
    assert compare([CLOSED], [CLOSED]) == Difference((), complete=True)


def test_a_filter_more() -> None:
    """One example for each direction; both families are one change."""
    assert shown(compare([CLOSED], [CLOSED, "permit any <-> me:80 tcp"])) == [
        "in 6 203.0.113.66:40000 -> 192.0.2.10:80 block to permit: me <-> any / any <-> me:80 tcp",
        "out 6 192.0.2.10:80 -> 203.0.113.66:9999 block to permit: me <-> any / any <-> me:80 tcp",
    ]


def test_a_filter_that_decides_nothing() -> None:
    """It changes no verdict where a more specific one decides, or the same action."""
    assert compare([CLOSED], [CLOSED, "block any <-> me:80 tcp"]).changes == ()
    before: list[str | Rule] = ["block 10.0.0.5 -> me", "permit 10.0.0.0/24 -> me"]
    assert compare(before, [*before, "block 10.0.0.4/31 -> 192.0.2.99"]).changes == ()


def test_a_hole_beneath_a_more_specific_filter() -> None:
    """The example lies where the changed filter decides, not where another one does."""
    before: list[str | Rule] = ["block 10.0.0.1 -> me", "block 10.0.0.2/31 -> me"]
    found = shown(compare(before, [*before, "block 10.0.0.0/29 -> me"]))
    assert found == [
        "in 6 10.0.0.4:40000 -> 192.0.2.10:9999 permit to block: None / 10.0.0.0/29 -> me"
    ]


def test_a_prefix_that_smaller_ones_cover() -> None:
    """Where no address is left to a filter alone, one of each smaller prefix is tried."""
    before: list[str | Rule] = [
        "permit 10.0.0.0/31 -> me:80 tcp",
        "permit 10.0.0.2/31 -> me:81 tcp",
    ]
    found = shown(compare(before, [*before, "block 10.0.0.0/30 -> me"]))
    assert found == [
        "in 6 10.0.0.1:40000 -> 192.0.2.10:9999 permit to block: None / 10.0.0.0/30 -> me"
    ]


def test_the_hosts_addresses_are_told_apart_where_filters_do() -> None:
    """Of two addresses one has a filter of its own: the other one shows the change."""
    on = host("192.0.2.10/24", "192.0.2.11/24")
    before: list[str | Rule] = ["permit any -> 192.0.2.10"]
    found = shown(compare(before, [*before, "block any -> me"], on=on))
    assert found == [
        "in 6 203.0.113.66:40000 -> 192.0.2.10:9999 permit to block: any -> 192.0.2.10 / any -> me",
        "in 6 203.0.113.66:40000 -> 192.0.2.11:9999 permit to block: None / any -> me",
    ]


def test_groups_are_delivered_to_me() -> None:
    """In profile `linux`, multicast and broadcast are `me`, told apart where filters do."""
    before: list[str | Rule] = ["permit any -> 224.0.0.0/4", "permit any -> 192.0.2.255"]
    found = shown(compare(before, [*before, "block any -> me"]))
    assert found == [
        "in 6 203.0.113.66:40000 -> 192.0.2.10:9999 permit to block: None / any -> me",
        (
            "in 6 203.0.113.66:40000 -> 192.0.2.255:9999 permit to block:"
            " any -> 192.0.2.255 / any -> me"
        ),
        "in 6 203.0.113.66:40000 -> 224.0.0.1:9999 permit to block: any -> 224.0.0.0/4 / any -> me",
    ]


def test_exempt_packets_change_nothing() -> None:
    """What no filter sees meets the same verdict (spec 4.2)."""
    assert compare([], ["block any <-> me:88 tcp"], exempt=0).changes == ()
    assert compare([], ["block any:500 -> me:500 udp"]).changes == ()
    assert compare([], ["block any -> 224.0.0.0/4"], exempt=1).changes == ()
    assert compare([], ["block any <-> 2001:db8::10"], profile="win2003").changes == ()


def test_filters_of_others_change_nothing() -> None:
    """No packet of this host meets them; routed ones do."""
    after: list[str | Rule] = ["block 10.0.0.1 -> 10.0.0.2"]
    assert compare([], after).changes == ()
    assert shown(compare([], after, forward=True)) == [
        "forward 6 10.0.0.1:40000 -> 10.0.0.2:9999 permit to block: None / 10.0.0.1 -> 10.0.0.2"
    ]


def test_actions_of_one_direction() -> None:
    """A dynamic rule that blocks inbound only (spec 8.3) changes nothing outbound."""
    found = shown(compare([], ["block/permit 10.0.0.1 <-> me icmp"]))
    assert found == ["in 1 10.0.0.1:0 -> 192.0.2.10:0 permit to block: None / 10.0.0.1 <-> me icmp"]


def test_rules_of_dialup_interfaces() -> None:
    """They change verdicts there only, and the change says so."""
    found = compare([], [rule("block", "10.0.0.1 -> me tcp", connection=Connection.DIALUP)])
    assert [change.dialup for change in found.changes] == [True]


def test_servers() -> None:
    """A kind of server is the servers in use."""
    on = host("192.0.2.10/24", dns=["192.0.2.53"])
    assert shown(compare([CLOSED], [CLOSED, "permit me <-> dns:53 udp"], on=on)) == [
        "in 17 192.0.2.53:53 -> 192.0.2.10:9999 block to permit: me <-> any / me <-> dns:53 udp",
        "out 17 192.0.2.10:40000 -> 192.0.2.53:53 block to permit: me <-> any / me <-> dns:53 udp",
    ]


def test_every_port_is_found() -> None:
    """Among hundreds of filters between the same two sides each change is told."""
    before: list[str | Rule] = [f"permit any -> me:{port} tcp" for port in range(1, 301)]
    after: list[str | Rule] = [f"block any -> me:{port} tcp" for port in range(1, 301)]
    assert len(compare(before, after).changes) == 300
    mirrored: list[str | Rule] = [f"permit any:{port} -> me tcp" for port in range(1, 301)]
    blocked: list[str | Rule] = [f"block any:{port} -> me tcp" for port in range(1, 301)]
    assert len(compare(mirrored, blocked).changes) == 300
    assert len(compare([CLOSED, *before], [CLOSED]).changes) == 300


def test_ports_of_the_other_end() -> None:
    """A filter of destination ports meets one of a source port in packets that have both."""
    ports: list[str | Rule] = [f"permit any -> me:{port} tcp" for port in range(1, 21)]
    found = compare([*ports, "block any:4000 -> me tcp"], ["block any:4000 -> me tcp"])
    ports_of = sorted((one.example.source_port, one.example[5]) for one in found.changes)
    assert ports_of == [(4000, port) for port in range(1, 21)]


def test_too_much_to_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given up, and said, when nobody would wait for the end."""
    monkeypatch.setattr(module, "MOST_PACKETS", 5)
    before: list[str | Rule] = [f"permit any -> me:{port} tcp" for port in range(1, 11)]
    found = compare(before, ["block any -> me"])
    assert not found.complete
    assert 0 < len(found.changes) <= 5
