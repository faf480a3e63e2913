"""The commands of `netsh ipsec dynamic` (spec 8.3)."""

from __future__ import annotations

import pytest

from ipsecfd.policy.model import TCP, Action, AnyAddress, Connection, Filter, Me
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.stores.content import Authentication
from ipsecfd.policy.stores.dynamic import DynamicRule, MainModePolicy, QuickModePolicy

from . import refused, session

POLICIES = ("dynamic", "..", "dynamic", "add mmpolicy m", "add qmpolicy q", "add qmpolicy s soft=y")


def dynamic(*lines: str, profile: str = "linux") -> Session:
    """A session of `ipsec dynamic` with policies m, q and s (soft)."""
    return session(*POLICIES, *lines, profile=profile)


def rules(one: Session) -> list[DynamicRule]:
    assert one.state.workspace.dynamic is not None
    return list(one.state.workspace.dynamic.rules.values())


def test_defaults_of_policies() -> None:
    """What is not told is as spec 8.3 says."""
    one = dynamic()
    draft = one.state.dynamic
    assert draft.mmpolicies.by_key["m"] == MainModePolicy("m", 0, 480, 300, "")
    assert draft.qmpolicies.by_key["q"] == QuickModePolicy("q", False, "NOPFS", "")
    one.execute('set mmpolicy m qmpermm=3 softsaexpirationtime=10 mmsec="3DES-SHA1-2"')
    assert draft.mmpolicies.by_key["m"] == MainModePolicy("m", 3, 480, 10, "3DES-SHA1-2")
    one.execute("set qmpolicy q pfsgroup=grp2")
    assert draft.qmpolicies.by_key["q"] == QuickModePolicy("q", False, "GRP2", "")


def test_a_rule_without_policies() -> None:
    """A rule that only permits and blocks needs no key exchange (T6)."""
    one = dynamic("add rule srcaddr=any dstaddr=any actioninbound=block actionoutbound=permit")
    assert rules(one) == [
        DynamicRule(Filter(AnyAddress(), AnyAddress()), Action.BLOCK, Action.PERMIT)
    ]


def test_every_tag_of_a_rule() -> None:
    """All tags reach the rule; `soft` of its quick mode policy decides how it negotiates."""
    one = dynamic(
        "add rule any me m s TCP 0 80 no lan permit negotiate 32 32 192.0.2.1 no secret rootca=CN=A"
    )
    assert rules(one) == [
        DynamicRule(
            Filter(AnyAddress(), Me(), 0, 80, TCP, False),
            Action.PERMIT,
            Action.SOFT,
            Connection.LAN,
            "m",
            "s",
            "192.0.2.1",
            (Authentication("psk", "secret"), Authentication("rootca", "CN=A")),
        )
    ]


def test_a_soft_policy_that_changes() -> None:
    """Rules follow their quick mode policy when its `soft` changes."""
    one = dynamic("add rule any me m q actioninbound=permit", "set qmpolicy q soft=y")
    assert [(rule.inbound, rule.outbound) for rule in rules(one)] == [(Action.PERMIT, Action.SOFT)]
    one.execute("set qmpolicy q soft=n")
    assert [(rule.inbound, rule.outbound) for rule in rules(one)] == [
        (Action.PERMIT, Action.NEGOTIATE)
    ]


def test_set_rule_keeps_the_identity() -> None:
    """Addresses, ports, protocol, mirror and interfaces find the rule; the rest is changed."""
    one = dynamic(
        "add rule WINS me m q TCP dstport=80 conntype=lan",
        "set rule srca=WINS dsta=0.0.0.0 srcmask=32 dstmask=32 tunneldst=192.168.145.1"
        " proto=tcp dstport=80 mir=yes con=lan qmp=s actioninbound=block kerb=no psk=x",
    )
    (rule,) = rules(one)
    assert (rule.inbound, rule.outbound, rule.qmpolicy) == (Action.BLOCK, Action.SOFT, "s")
    assert (rule.tunnel, rule.authentication) == ("192.168.145.1", (Authentication("psk", "x"),))
    assert "no dynamic rule" in refused(one, "set rule WINS me tcp dstport=80 actionin=permit")


def test_delete_rule() -> None:
    """A rule is deleted by its identity; a name in it need not resolve."""
    one = dynamic(
        "add rule any me actionin=block actionout=block",
        "add rule www.example.com me proto=tcp dstport=80 actionin=block actionout=block",
    )
    refused(one, "delete rule any me mirrored=no")
    assert not one.execute("delete rule any me").failed
    one.state.workspace.resolve = lambda name: pytest.fail(f"resolves {name}")
    refused(one, "delete rule www.example.com me")
    assert not one.execute("delete rule www.example.com me proto=tcp dstport=80").failed
    assert rules(one) == []


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("add rule any me", "mmpolicy and qmpolicy"),
        ("add rule any me m", "qmpolicy"),
        ("add rule any me nope q", "no main mode policy"),
        ("add rule any me m nope", "no quick mode policy"),
        ("add rule me 10.0.0.1 m q", "already a dynamic rule"),
        ("add rule any me m q dstport=80", "needs protocol tcp or udp"),
        ("add rule WINS any m q", "must be me"),
        ("add mmpolicy M", "already a main mode policy"),
        ("add qmpolicy q", "already a quick mode policy"),
        ("add qmpolicy r pfsgroup=GRP9", "nopfs"),
        ("set mmpolicy nope qmpermm=1", "no main mode policy"),
        ("set qmpolicy nope soft=y", "no quick mode policy"),
        ("delete mmpolicy m", "used by a dynamic rule"),
        ("delete mmpolicy all", "used by a dynamic rule"),
        ("delete qmpolicy all", "used by a dynamic rule"),
        ("delete rule any me", "no dynamic rule"),
        ("exportpolicy x", "not found"),
    ],
)
def test_refusals(line: str, why: str) -> None:
    """What cannot be is refused with the reason, and nothing is changed."""
    assert why in refused(dynamic("add rule me 10.0.0.1 m q"), line)


def test_delete_all() -> None:
    """Everything dynamic goes; there are no associations to delete."""
    one = dynamic("add rule me any m q", "delete sa", "delete all")
    assert rules(one) == []
    assert one.state.dynamic.mmpolicies.by_key == {}
    assert not dynamic("delete qmpolicy all", "delete mmpolicy all").state.dynamic.qmpolicies.by_key


@pytest.mark.parametrize("line", ["add rule any me", "add mmpolicy m", "delete all", "show all"])
def test_without_the_service(line: str) -> None:
    """Dynamic rules need the service; the error says how to start it."""
    one = session("dynamic", service=False)
    text = refused(one, line if line != "add rule any me" else f"{line} actionin=block")
    assert text.startswith("ERR Win32[01062] : ")
    assert "start ipsecfd" in text
