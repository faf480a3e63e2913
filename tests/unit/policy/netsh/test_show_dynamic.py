"""`netsh ipsec dynamic show`: what is in force, the properties and the counters (spec 7.3, 8.3)."""

from __future__ import annotations

import ipaddress
import re

import pytest

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.specific import specific_filters
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.counters import Counters
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import GivenPolicy
from tests.builders import policy

from . import session

OWN = tuple(map(ipaddress.ip_address, ("192.0.2.10", "192.0.2.11", "2001:db8::10")))


def made(*lines: str, profile: str = "linux") -> Session:
    one = session(
        "add policy name=Local assign=yes",
        "add filter filterlist=Web srcaddr=any dstaddr=me protocol=TCP dstport=80",
        "add filteraction name=Permit action=permit",
        "add rule name=Web policy=Local filterlist=Web filteraction=Permit",
        "ipsec dynamic",
        *lines,
        profile=profile,
    )
    one.state.workspace.addresses = OWN
    one.state.workspace.host = "SERVER"
    return one


def shown(line: str, one: Session) -> str:
    reply = one.execute(f"ipsec dynamic {line}")
    assert not reply.failed, reply.text
    return reply.text


def values(label: str, text: str) -> list[str]:
    return re.findall(rf"^{label} *: (.*)$", text, re.MULTILINE)


TELNET = "add rule any me proto=tcp dstport=23 actioninbound=block actionoutbound=permit"


def test_the_parameters_are_shown_as_windows_shows_them() -> None:
    """The layout of spec 7.3 to the letter."""
    one = made()
    one.state.workspace.properties = Properties(0, 0, 1, 3600, 3, "stateful", ("udp:0:68:inbound",))
    assert shown("show config", one) == (
        """
IPSec Configuration Parameters
------------------------------
IPSecDiagnostics      : 0
IKElogging            : 0
StrongCRLCheck        : 1
IPSecloginterval      : 3600
IPSecexempt           : 3
Boot Mode             : Stateful
Boot Mode Exemptions  :
Protocol  Src Port  Dst Port  Direction
--------- --------- --------- ---------
UDP       0         68        Inbound
"""
    )


def test_a_property_that_is_not_set_is_the_configured_one() -> None:
    """What the configuration file says holds until `set config` says otherwise."""
    one = made("set config ipsecexempt value=1", "set config bootexemptions value=icmp:outbound")
    one.state.workspace.configured = Properties(5, 0, 1, 0, 2, "block", ())
    text = shown("show config", one)
    assert values("IPSecDiagnostics", text) == ["5"]
    assert values("IPSecexempt", text) == ["1"]
    assert values("Boot Mode", text) == ["Block"]
    assert text.endswith("ICMP      0         0         Outbound\n")


def test_no_boot_exemption_is_none() -> None:
    """`value=none` leaves an empty table."""
    text = shown("show config", made("set config bootexemptions value=none"))
    assert text.endswith("Boot Mode Exemptions  : NONE\n")


@pytest.mark.parametrize(("kind", "ike", "ipsec"), [("all", 1, 1), ("ike", 1, 0), ("ipsec", 0, 1)])
def test_counters_by_type(kind: str, ike: int, ipsec: int) -> None:
    """Windows' counters are 0; the driver's own stand with those of IPSec."""
    one = made()
    one.state.workspace.counters = Counters(1, 2, 3, 4, 5, 6, 7)
    text = shown(f"show stats type={kind}", one)
    assert values("Invalid Packets Received", text) == ["0"] * ike
    assert values("Bytes Received In Tunnels", text) == ["0"] * ipsec
    own = ("Permitted In", "Permitted Out", "Blocked In", "Blocked Out")
    found = [values(f"Packets {label}", text) for label in own]
    found += [values(label, text) for label in ("Exempted", "No Filter", "Fragments Dropped")]
    assert found == [[str(number)] * ipsec for number in range(1, 8)]


def test_rules_of_every_store_in_force_are_shown() -> None:
    """The running database holds the assigned policies' filters and the dynamic ones."""
    text = shown("show rule", made(TELNET))
    assert values("Filter Name", text) == ["Web", "any <-> me:23 tcp"]
    assert values("Store", text) == ["Local Store <SERVER>", "Dynamic Store <SERVER>"]
    assert values("Inbound Action", text) == ["PERMIT", "BLOCK"]
    assert values("Outbound Action", text) == ["PERMIT", "PERMIT"]


def test_a_domain_policy_hides_the_local_one() -> None:
    """The domain policy replaces the local policy (spec 1.5)."""
    one = made()
    domain, local = (one.state.workspace.stores[s] for s in (Store.DOMAIN, Store.LOCAL))
    domain.add_filter_list(local.filter_list("Web"))
    domain.add_filter_action(local.filter_action("Permit"))
    domain.add_policy(local.policy("Local"))
    domain.assign("Local")
    assert values("Store", shown("show qmfilter all", one)) == ["Domain Store <SERVER>"]


def test_a_policy_of_a_file_stands_in_for_the_store() -> None:
    """The persistent and the dynamic rules add to it, as to a policy of the local store."""
    one = made(TELNET)
    web = policy("block any <-> me:8080 tcp")
    one.state.workspace.given = (GivenPolicy("Web", "web.toml", lambda: web),)
    text = shown("show rule", one)
    assert values("Destination Port", text) == ["8080", "23"]
    assert values("Store", text) == ["Local Store <SERVER>", "Dynamic Store <SERVER>"]


def test_a_file_that_went_is_an_error() -> None:
    """It is in force, and cannot be shown."""

    def gone() -> Policy:
        raise IpsecfdError("web.toml: cannot be read: No such file or directory")

    one = made()
    one.state.workspace.given = (GivenPolicy("Web", "web.toml", gone),)
    reply = one.execute("show qmfilter all")
    assert reply.failed
    assert "web.toml: cannot be read" in reply.text


def test_an_inactive_rule_is_not_in_force() -> None:
    """It contributes no filters (spec 1.1)."""
    one = made()
    one.execute("ipsec static set rule name=Web policy=Local activate=no")
    assert values("No. of Filters", shown("show qmfilter all", one)) == ["0"]


def test_specific_filters_have_addresses_and_weights() -> None:
    """`me` is each own address of the family, mirrors stand alone, and the filter that decides
    first stands first (spec 2.4, 3.5)."""
    text = shown("show qmfilter all type=specific", made(profile="win2003"))
    pairs = zip(
        values("Source IP Address", text), values("Destination IP Address", text), strict=True
    )
    own = ["192.0.2.10", "192.0.2.11"]
    there = [("<Any IP Address>", one) for one in own]
    assert sorted(pairs) == sorted(there + [(b, a) for a, b in there])
    weights = [int(weight) for weight in values("Weight", text)]
    assert len(weights) == 4
    assert weights == sorted(weights, reverse=True)


def test_weights_are_the_drivers_own() -> None:
    """A filter whose directions differ has two of them."""
    one = made(TELNET, profile="win2003")
    dynamic = one.state.workspace.dynamic
    assert dynamic is not None
    (there, _) = sorted(
        specific_filters([(Store.DYNAMIC, dynamic.content().policy())], ipv6=False),
        key=lambda filt: filt.mirrored,
    )
    inbound, outbound = (there.weight(way) for way in (Direction.IN, Direction.OUT))
    text = shown("show qmfilter all type=specific dstport=23", one)
    assert set(values("Weight", text)) == {f"{inbound} in, {outbound} out"}


def test_ipv6_filters_are_shown_where_the_profile_filters_ipv6() -> None:
    """A filter of any and me stands for both families."""
    text = shown("show qmfilter all type=specific dstaddr=me", made())
    found = values("Destination IP Address", text)
    assert sorted(found) == ["192.0.2.10", "192.0.2.11", "2001:db8::10"]


def test_any_reads_as_any_in_both_families() -> None:
    """No side of a specific filter is called a subnet that was written as any; the masks tell the
    families apart."""
    text = shown("show qmfilter all type=specific dstaddr=me", made())
    assert set(values("Source IP Address", text)) == {"<Any IP Address>"}
    assert sorted(values("Source Mask", text)) == ["0.0.0.0", "0.0.0.0", "::"]
    assert "Subnet" not in text


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        ("", 2),
        ("all", 2),
        ("name=web", 1),
        ("srcaddr=any dstaddr=me", 2),
        ("srcaddr=me", 0),
        ("protocol=TCP", 2),
        ("protocol=UDP", 0),
        ("dstport=80", 1),
        ("srcport=0", 2),
        ("actioninbound=block", 1),
        ("actionoutbound=permit", 2),
        ("actionoutbound=negotiate", 0),
        ("type=specific dstaddr=192.0.2.10", 2),
        ("type=specific srcaddr=me dstaddr=any", 6),
    ],
)
def test_filters_are_found_by_what_they_are(tags: str, found: int) -> None:
    """Every tag narrows what is shown."""
    text = shown(f"show qmfilter {tags}", made(TELNET))
    assert len(values("Filter Name", text)) == found
    assert values("No. of Filters", text) == [str(found)]


def test_negotiation_is_one_behaviour() -> None:
    """Soft or not, a filter that negotiates is found as such; so are its main mode filters."""
    lines = ("add mmpolicy mm", "add qmpolicy qm soft=yes", "add rule any me mm qm")
    one = made(*lines)
    text = shown("show qmfilter actioninbound=negotiate", one)
    assert values("Inbound Action", text) == ["NEGOTIATE (SOFT)"]
    assert values("Quick Mode Policy", text) == ["qm"]
    main_mode = shown("show mmfilter all", one)
    assert values("Main Mode Policy", main_mode) == ["mm"]
    assert values("Protocol", main_mode) == []


def test_policies_are_shown_by_name() -> None:
    """In any case, or all."""
    one = made("add mmpolicy Main mmlifetime=60", "add qmpolicy Quick pfsgroup=GRP1")
    assert values("Main Mode Lifetime", shown("show mmpolicy main", one)) == ["60 minutes"]
    assert values("PFS Group", shown("show qmpolicy all", one)) == ["GRP1"]


@pytest.mark.parametrize("kind", ["mmfilter", "qmfilter", "mmpolicy", "qmpolicy"])
def test_an_unknown_name_is_an_error(kind: str) -> None:
    """Programs test for ERR."""
    reply = made().execute(f"show {kind} name=No")
    assert reply.failed
    assert reply.text.startswith("ERR IPsec [05011] : There is no ")


def test_rules_by_type() -> None:
    """A tunnel rule has an end point."""
    one = made(f"{TELNET} tunneldst=192.0.2.99")
    assert values("Tunnel Endpoint", shown("show rule type=tunnel", one)) == ["192.0.2.99"]
    assert values("Filter Name", shown("show rule type=transport", one)) == ["Web"]
    assert values("Filter Name", shown("show rule transport", one)) == ["Web"]
    assert values("No. of Rules", shown("show rule all", one)) == ["2"]
    assert values("No. of Rules", shown("show rule all tunnel", one)) == ["1"]


def test_there_are_no_associations() -> None:
    """Without a key exchange there cannot be any."""
    assert "not available" in shown("show mmsas", made())
    assert "not available" in shown("show qmsas", made())


def test_all_shows_every_part() -> None:
    """Parameters, policies, filters, associations and counters."""
    text = shown("show all", made(TELNET))
    for part in ("Parameters", "Main Mode Filters", "Quick Mode Filters", "IKE Statistics"):
        assert part in text
