"""`set config`: properties of the driver (spec 4.1, 6.3, 7.1, 8.3)."""

from __future__ import annotations

import pytest

from ipsecfd.policy.stores.properties import Properties

from . import refused, session


@pytest.mark.parametrize("context", ["dynamic", "static"])
@pytest.mark.parametrize(
    ("words", "properties"),
    [
        ("property=ipsecdiagnostics value=7", Properties(ipsecdiagnostics=7)),
        ("ipsecexempt value=1", Properties(ipsecexempt=1)),
        ("ipsecexempt 0", Properties(ipsecexempt=0)),
        ("prop=IKELOGGING val=1", Properties(ikelogging=1)),
        ("strongcrl 2", Properties(strongcrlcheck=2)),
        ("ipseclog value=60", Properties(ipsecloginterval=60)),
        ("bootmode value=Stateful", Properties(bootmode="stateful")),
        ("bootexemptions value=none", Properties(bootexemptions=())),
        (
            "bootexemptions value=tcp:0:3389:inbound",
            Properties(bootexemptions=("tcp:0:3389:inbound",)),
        ),
        (
            'property=bootexemptions value="TCP:0:3389:Inbound  udp:0:68:inbound ICMP:outbound"',
            Properties(bootexemptions=("tcp:0:3389:inbound", "udp:0:68:inbound", "icmp:outbound")),
        ),
    ],
)
def test_properties(context: str, words: str, properties: Properties) -> None:
    """Property and value may be untagged, in both contexts (X5)."""
    one = session()
    reply = one.execute(f"netsh ipsec {context} set config {words}")
    assert not reply.failed, reply.text
    assert one.state.workspace.properties == properties


def test_properties_need_no_service() -> None:
    """Properties are kept for the next start, whether the service runs or not."""
    assert not session("dynamic", service=False).execute("set config ipsecexempt 3").failed


@pytest.mark.parametrize(
    ("words", "when"),
    [
        ("ipsecexempt 0", "started again"),  # T16
        ("ipsecdiagnostics 7", "started again"),
        ("ipsecloginterval 60", "started again"),
        ("bootmode permit", "next boot"),
        ("bootexemptions none", "next boot"),
        ("ikelogging 1", ""),
        ("strongcrlcheck 0", ""),
    ],
)
def test_when_a_value_takes_effect(words: str, when: str) -> None:
    """What takes effect later says so; ikelogging and strongcrlcheck are silent (spec 7.1)."""
    text = session().execute(f"set config {words}").text
    assert when in text
    assert bool(text) == bool(when)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        ("ipsecdiagnostics 8", "0 to 7"),  # X1
        ("ipsecdiagnostics 9", "0 to 7"),
        ("ipsecloginterval 0", "60 to 86400"),
        ("ipsecloginterval 86401", "60 to 86400"),
        ("ipsecexempt 4", "0 to 3"),
        ("ipsecexempt", "value"),
        ("ikelogging 2", "0 to 1"),
        ("strongcrlcheck yes", "0 to 2"),
        ("bootmode secure", "stateful, block or permit"),
        ("bootexemptions tcp:3389:inbound", "tcp:3389:inbound"),
        ("bootexemptions tcp:0:99999:inbound", "65535"),
        ('bootexemptions ""', "none"),
        ("ipsec 1", "ipsecdiagnostics"),
        ("nope 1", "bootmode"),
    ],
)
def test_refused_values(words: str, why: str) -> None:
    """A value out of range is refused with the range."""
    assert why in refused(session(), f"set config {words}")


def test_profiles() -> None:
    """2000 and XP know exemptions 0 and 1; Vista has few properties (spec 4.1, 8.3)."""
    assert "0 and 1" in refused(session(profile="win2000"), "set config ipsecexempt 3")
    assert not session(profile="winxp").execute("set config ipsecexempt 1").failed
    assert "vista" in refused(session(profile="vista"), "set config bootmode block")
    assert not session(profile="vista").execute("set config ipsecexempt 2").failed
