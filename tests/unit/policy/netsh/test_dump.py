"""`dump`: what it prints makes the same configuration when it is run (spec 8.2)."""

from __future__ import annotations

from ipsecfd.policy.model import Store
from ipsecfd.policy.netsh import dump
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.stores.content import Content

from . import session

POLICY = (
    "add policy name='P' assign=yes pollinginterval=5 description=\"it's one\"",
    "add filter filterlist=Web srcaddr=any dstaddr=me protocol=TCP dstport=80",
    "add filter filterlist=Web srcaddr=10.0.0.5-10.0.0.9 dstaddr=me mirrored=no",
    "add filteraction name=Permit action=permit",
    "add rule name=Web policy='P' filterlist=Web filteraction=Permit psk=key",
    "set defaultrule policy='P' qmpfs=yes",
)
RULES = (
    "ipsec dynamic",
    "add mmpolicy mm",
    "add qmpolicy qm soft=yes",
    "add rule any me mm qm",
    "add rule any me proto=tcp dstport=23 actioninbound=block actionoutbound=block",
    "set config ipsecexempt value=1",
    'set config bootexemptions value="tcp:0:22:inbound icmp:outbound"',
)


def fed(text: str) -> Session:
    """A new session that was given a dump."""
    made = session()
    for line in ("..", *text.split("\n")):
        reply = made.execute(line)
        assert not reply.failed, f"{line}: {reply.text}"
    return made


def content(one: Session, store: Store) -> Content:
    return one.state.workspace.stores[store].content()


def test_a_store_is_made_again() -> None:
    """With everything in it, and what is assigned."""
    one = session(*POLICY)
    made = fed(dump.static(one.state.workspace, Store.LOCAL))
    assert content(made, Store.LOCAL) == content(one, Store.LOCAL)
    assert content(made, Store.LOCAL).assigned == "'p'"


def test_another_store_is_selected_and_left() -> None:
    """The dump of the persistent store fills that one only."""
    one = session("set store persistent", *POLICY)
    made = fed(dump.static(one.state.workspace, Store.PERSISTENT))
    assert content(made, Store.PERSISTENT) == content(one, Store.PERSISTENT)
    assert content(made, Store.LOCAL) == Content()
    assert made.store is Store.LOCAL


def test_dynamic_rules_and_properties_are_made_again() -> None:
    """The rules with their policies, and every property that was set."""
    one = session(*RULES)
    made = fed(dump.dynamic(one.state.workspace))
    before, after = one.state.workspace, made.state.workspace
    assert before.dynamic is not None
    assert after.dynamic is not None
    assert after.dynamic.content() == before.dynamic.content()
    assert after.properties == before.properties


def test_the_whole_configuration() -> None:
    """Both stores that administrators fill, and the dynamic part."""
    one = session("set store persistent", *POLICY, "set store local", *POLICY, *RULES)
    made = fed(dump.everything(one.state.workspace))
    for store in (Store.PERSISTENT, Store.LOCAL):
        assert content(made, store) == content(one, store)
    assert made.state.dynamic.content() == one.state.dynamic.content()
    assert made.state.workspace.properties == one.state.workspace.properties


def test_without_a_service_there_are_no_rules_to_dump() -> None:
    """The stores and properties are dumped all the same."""
    one = session(*POLICY, "set config ipsecexempt value=0", service=False)
    text = dump.everything(one.state.workspace)
    assert "set config property=ipsecexempt value=0" in text
    assert content(fed(text), Store.LOCAL) == content(one, Store.LOCAL)


def test_what_a_script_cannot_say_is_a_remark() -> None:
    """A DNS name is resolved anew by who runs the script."""
    one = session("add filter filterlist=L srcaddr=www.example.com dstaddr=me")
    assert dump.static(one.state.workspace, Store.LOCAL).split("\n")[-1].startswith("# Note: ")


def test_each_context_dumps_its_own() -> None:
    """`netsh ipsec dump` is everything, below it there is one part each."""
    one = session(*POLICY, *RULES)
    whole, static, dynamic = (
        one.execute(f"netsh ipsec {context}dump").text for context in ("", "static ", "dynamic ")
    )
    assert "add policy" in static
    assert "set config" not in static
    assert "set config" in dynamic
    assert "add policy" not in dynamic
    assert whole == f"{static}\n{dynamic}"
    assert [line for line in whole.split("\n") if line.startswith("#")] == [
        "# Policies of ipsecfd. Read them back with: netsh -f FILE"
    ]
    assert dynamic.count("pushd ipsec") == dynamic.count("pushd ipsec dynamic") == 2
