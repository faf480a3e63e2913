"""The truth table of spec section 10, and its cases without a fixed packet."""

from __future__ import annotations

import ipaddress
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.driver.compile import compile_table
from ipsecfd.driver.decision import Decision, Direction
from ipsecfd.driver.driver import Driver, Settings
from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.driver.host import Host
from ipsecfd.driver.specific import specific_filters
from ipsecfd.policy.model import (
    PROTOCOL_NUMBERS,
    Connection,
    Filter,
    Policy,
    Rule,
    Store,
)
from tests.builders import (
    Clock,
    address,
    ask,
    host,
    icmp,
    ip,
    make_driver,
    policy,
    rule,
    tcp,
    udp,
    verdict,
    why,
)

TRUTH = json.loads((Path(__file__).parents[2] / "data" / "truth-table.json").read_text())
CASES = {case["id"]: case for case in TRUTH["cases"]}
HOST = Host(
    frozenset(ipaddress.ip_address(text) for text in TRUTH["me"]),
    frozenset(ipaddress.ip_address(text) for text in TRUTH["broadcast"]),
)


def _rule(written: dict[str, Any]) -> Rule:
    """One filter of the table as a rule of its own, named as the table names it."""
    text = written["protocol"]
    generic = Filter(
        address(written["src"]),
        address(written["dst"]),
        written["srcport"],
        written["dstport"],
        int(text) if text.isdigit() else PROTOCOL_NUMBERS[text.lower()],
        mirrored=written["mirrored"],
    )
    made = rule(written["action"], name=written["name"])
    return _with_filters(made, generic)


def _with_filters(made: Rule, *filters: Filter) -> Rule:
    listed = type(made.filter_list)(made.name, filters)
    return type(made)(made.name, listed, made.action, active=made.active)


POLICIES = {
    written["name"]: Policy(written["name"], tuple(_rule(one) for one in written["filters"]))
    for written in TRUTH["policies"]
}


def _driver(policies: list[Policy], profile: str, exempt: int, on: Host = HOST) -> Driver:
    filters = specific_filters(
        [(Store.LOCAL, one) for one in policies], ipv6=PROFILES[profile].filters_ipv6
    )
    return Driver(
        Settings(
            profile=PROFILES[profile], exempt=exempt, host=on, table=compile_table(filters, 1)
        ),
        Clock(),
    )


def _decide(driver: Driver, case: dict[str, Any]) -> Decision:
    ports = case["sport"], case["dport"]
    payload = {6: tcp(*ports), 17: udp(*ports)}.get(case["proto"], icmp(0))
    data = ip(case["src"], case["dst"], case["proto"], payload)
    return driver.decide(data, Direction[case["direction"].upper()], "eth0")


def test_all_cases_are_there() -> None:
    """The table has its 76 cases."""
    assert list(range(1, 77)) == sorted(CASES)


@pytest.mark.parametrize("number", sorted(CASES))
def test_case(number: int) -> None:
    """Verdict and deciding filter are those of the table."""
    case = CASES[number]
    driver = _driver([POLICIES[case["policy"]]], case["profile"], case["exempt"])
    decision = _decide(driver, case)

    assert (case["verdict"], case["decided_by"]) == (decision.verdict.value, why(decision))
    assert decision.version == (1 if decision.rule else 0)


@pytest.mark.parametrize("number", sorted(CASES))
def test_case_offline(number: int) -> None:
    """Without an interface, as `explain` asks, the answer is the same."""
    case = CASES[number]
    driver = _driver([POLICIES[case["policy"]]], case["profile"], case["exempt"])
    ports = case["sport"], case["dport"]
    payload = {6: tcp(*ports), 17: udp(*ports)}.get(case["proto"], icmp(0))
    data = ip(case["src"], case["dst"], case["proto"], payload)
    decision = driver.decide(data, Direction[case["direction"].upper()])

    assert (case["verdict"], case["decided_by"]) == (decision.verdict.value, why(decision))


class TestWithoutFixedPacket:
    def test_t1_any_order(self) -> None:
        """T1: WEB with its filters in any order or any rules gives the same verdicts."""
        web = [case for case in CASES.values() if case["policy"] == "WEB"]
        shuffle = random.Random(1)
        for _ in range(200):
            rules = list(POLICIES["WEB"].rules)
            shuffle.shuffle(rules)
            if shuffle.random() < 0.5:
                by_action: dict[str, list[Filter]] = {"permit": [], "block": []}
                for one in rules:
                    by_action[one.action.name].extend(one.filter_list.filters)
                rules = [
                    _with_filters(rule(action, name=action), *filters)
                    for action, filters in by_action.items()
                ]
            driver = _driver([Policy("WEB", tuple(rules))], "win2003", 3)
            for case in web:
                assert case["verdict"] == _decide(driver, case).verdict.value, rules

    def test_t2_inactive_rule(self) -> None:
        """T2: with the permit rule inactive everything but exemptions is blocked."""
        driver = make_driver(
            "block me <-> any",
            rule("permit", "any <-> me:80 tcp", "any <-> me:443 tcp", active=False),
            profile="win2003",
        )
        assert verdict(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80") == "block"
        assert verdict(driver, "out tcp 192.0.2.10:80 -> 203.0.113.66:4000") == "block"
        assert verdict(driver, "in udp 203.0.113.66:500 -> 192.0.2.10:500") == "permit"

    def test_t3_address_added(self) -> None:
        """T3: a second address of the host is filtered like the first, with the same table."""
        driver = _driver([POLICIES["WEB"]], "win2003", 3, host("192.0.2.10/24", "192.0.2.11/24"))
        for mine in ("192.0.2.10", "192.0.2.11"):
            assert verdict(driver, f"in tcp 203.0.113.66:4000 -> {mine}:80") == "permit"
            assert verdict(driver, f"in tcp 203.0.113.66:4000 -> {mine}:445") == "block"

    def test_t4_address_removed(self) -> None:
        """T4: packets to an address that is not the host's any more match no filter."""
        driver = _driver([POLICIES["WEB"]], "win2003", 3, host("192.0.2.11/24"))
        decision = ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:445")
        assert (decision.verdict.value, why(decision)) == ("permit", "no filter")

    def test_t6_action_by_direction(self) -> None:
        """T6: inbound block and outbound permit drop every inbound packet, replies too."""
        driver = make_driver("block/permit any <-> any", profile="win2003")
        assert verdict(driver, "out tcp 192.0.2.10:4000 -> 203.0.113.66:80") == "permit"
        assert verdict(driver, "in tcp 203.0.113.66:80 -> 192.0.2.10:4000") == "block"
        assert verdict(driver, "in icmp 203.0.113.66 -> 192.0.2.10") == "block"

    def test_t6_by_direction_beside_equal_filters(self) -> None:
        """T6: among equal filters the more restrictive decides in each direction by itself."""
        driver = make_driver(
            rule("block/permit", "any <-> me:80 tcp", name="x"),
            rule("permit/block", "any <-> me:80 tcp", name="y"),
            rule("permit", "any <-> me:80 tcp", name="z"),
            profile="win2003",
        )
        assert why(ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80")) == "x"
        assert why(ask(driver, "out tcp 192.0.2.10:80 -> 203.0.113.66:4000")) == "y'"
        driver = make_driver(
            rule("block/permit", "any <-> me", name="x"),
            rule("permit/block", "any <-> me", name="y"),
        )
        assert why(ask(driver, "in icmp 203.0.113.66 -> 192.0.2.10")) == "x"
        assert why(ask(driver, "out icmp 192.0.2.10 -> 203.0.113.66")) == "y'"

    def test_t11_dialup(self) -> None:
        """T11: a dial-up rule is no filter for a packet on eth0, and one for a packet on ppp0."""
        dialup = rule("block", "me <-> any", connection=Connection.DIALUP)
        driver = make_driver(dialup, profile="win2003")
        text = "in tcp 203.0.113.66:4000 -> 192.0.2.10:445"
        assert why(ask(driver, text, "eth0")) == "no filter"
        for interface in ("ppp0", "tun1", "wg0"):
            assert verdict(driver, text, interface) == "block"

    def test_t11_lan(self) -> None:
        """T11, the other way: a LAN rule is no filter on a dial-up interface."""
        driver = make_driver(rule("block", "me <-> any", connection=Connection.LAN))
        text = "in tcp 203.0.113.66:4000 -> 192.0.2.10:445"
        assert verdict(driver, text, "eth0") == "block"
        assert verdict(driver, text, None) == "block"
        assert verdict(driver, text, "ppp0") == "permit"

    def test_t12_no_rules(self) -> None:
        """T12: a policy without rules filters nothing."""
        decision = ask(make_driver(), "in tcp 203.0.113.66:4000 -> 192.0.2.10:445")
        assert (decision.verdict.value, why(decision)) == ("permit", "no filter")

    @pytest.mark.parametrize(
        ("action", "inbound", "outbound"),
        [
            ("negotiate", "block", "block"),  # T13
            ("inpass", "permit", "block"),  # T14
            ("soft", "permit", "permit"),  # T15
        ],
    )
    def test_t13_to_t15(self, action: str, inbound: str, outbound: str) -> None:
        """T13 to T15: without a key exchange, negotiation drops, inpass lets in, soft lets both."""
        driver = make_driver(f"{action} me <-> 10.0.0.0/8")
        for text, expected in (
            ("in tcp 10.1.2.3:4000 -> 192.0.2.10:80", inbound),
            ("out tcp 192.0.2.10:80 -> 10.1.2.3:4000", outbound),
        ):
            decision = ask(driver, text)
            assert (expected, "negotiate") == (decision.verdict.value, decision.reason.value)
        assert verdict(driver, "in tcp 198.51.100.7:4000 -> 192.0.2.10:80") == "permit"

    def test_stores_add_up(self) -> None:
        """The filters of all stores are one list; the store decides only whose name is logged."""
        stores = [
            (Store.PERSISTENT, policy(rule("block", "any -> me:445 tcp", name="p"))),
            (Store.DOMAIN, policy(rule("permit", "any -> me", name="d"))),
            (Store.DYNAMIC, policy(rule("block", "any -> me:445 tcp", name="a"))),
        ]
        for order in (stores, stores[::-1]):
            driver = make_driver(policies=order)
            assert why(ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:445")) == "p"
            assert why(ask(driver, "in tcp 203.0.113.66:4000 -> 192.0.2.10:80")) == "d"
