"""Stores as text: what each form looks like, and what it says it cannot hold."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from dataclasses import replace

import pytest

from ipsecfd.policy.export import FORMS, Form, export
from ipsecfd.policy.grammar import parse_filter
from ipsecfd.policy.ipseccmd.commands import run
from ipsecfd.policy.ipseccmd.lines import split_line
from ipsecfd.policy.model import (
    Action,
    AddressRange,
    Connection,
    Filter,
    IPAddress,
    Store,
)
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.stores import reader as storereader
from ipsecfd.policy.stores.content import (
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
    name_key,
)
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)
from ipsecfd.policy.workspace import Workspace

WEB = (ipaddress.ip_address("192.0.2.80"),)
BLOCK = StoredAction("Block", Behaviour.BLOCK)


def resolve(name: str) -> tuple[IPAddress, ...]:
    assert name == "www.example.com"
    return WEB


def one(text: str, description: str = "") -> Filter:
    return replace(parse_filter(text, resolve), description=description)


def content(
    lists: Iterable[StoredList] = (),
    actions: Iterable[StoredAction] = (),
    policies: Iterable[StoredPolicy] = (),
    assigned: str | None = None,
) -> Content:
    return Content(
        {name_key(each.name): each for each in policies},
        {name_key(each.name): each for each in lists},
        {name_key(each.name): each for each in actions},
        assigned,
    )


def with_rule(rule: StoredRule) -> Content:
    return content([StoredList("L")], [BLOCK], [StoredPolicy("P", rules=(rule,))])


STORE = content(
    [
        StoredList(
            "All traffic",
            (
                one("me <-> any"),
                one("10.0.11.0/24 -> me:3389 tcp", "RDP"),
                one("www.example.com <-> me"),
                one("dns <-> me:53 udp"),
                one("10.0.0.5-10.0.0.9 <-> me"),
                one("2001:db8::/32 -> me 58"),
            ),
            'with "quotes"',
        )
    ],
    [BLOCK, StoredAction("Ask", inpass=True, qmpfs=True, qmsecmethods="AH[MD5]")],
    [
        StoredPolicy(
            "Packet Filters",
            rules=(
                StoredRule("Block all", "All traffic", "Block", connection=Connection.LAN),
                StoredRule(
                    "Ask",
                    "All traffic",
                    "Ask",
                    active=False,
                    tunnel="192.0.2.9",
                    authentication=(
                        Authentication("rootca", "CN=A certmap:yes"),
                        Authentication("kerberos"),
                    ),
                ),
            ),
            polling=600,
            default_rule=DefaultRule(False),
        )
    ],
    "packet filters",
)

NETSH = r"""# Policies of ipsecfd. Read them back with: netsh -f FILE
pushd ipsec static
add filterlist name="All traffic" description="with \'quotes\'"
add filter filterlist="All traffic" srcaddr=me dstaddr=any protocol=ANY mirrored=yes
add filter filterlist="All traffic" srcaddr=10.0.11.0 srcmask=255.255.255.0 dstaddr=me protocol=TCP dstport=3389 mirrored=no description="RDP"
add filter filterlist="All traffic" srcaddr=www.example.com dstaddr=me protocol=ANY mirrored=yes
add filter filterlist="All traffic" srcaddr=DNS dstaddr=me protocol=UDP dstport=53 mirrored=yes
add filter filterlist="All traffic" srcaddr=10.0.0.5-10.0.0.9 dstaddr=me protocol=ANY mirrored=yes
add filter filterlist="All traffic" srcaddr=2001:db8::/32 dstaddr=me protocol=58 mirrored=no
add filteraction name="Block" action=block
add filteraction name="Ask" action=negotiate inpass=yes qmpfs=yes qmsecmethods="AH[MD5]"
add policy name="Packet Filters" activatedefaultrule=no pollinginterval=10
add rule name="Block all" policy="Packet Filters" filterlist="All traffic" filteraction="Block" conntype=lan
add rule name="Ask" policy="Packet Filters" filterlist="All traffic" filteraction="Ask" tunnel=192.0.2.9 activate=no rootca="CN=A certmap:yes" kerberos=yes
set policy name="Packet Filters" assign=yes
popd
"""  # noqa: E501

IPSECCMD = """REM Policies of ipsecfd. Read them back with: ipseccmd -file FILE
ipseccmd -w REG -p "Packet Filters:10" -r "Block all" -f 0+* 10.0.11.0/255.255.255.0=0:3389:TCP www.example.com+0 -lan -n BLOCK
ipseccmd -w REG -p "Packet Filters:10" -x
"""  # noqa: E501


def by_netsh(text: str, workspace: Workspace | None = None) -> Content:
    workspace = workspace or Workspace(resolve)
    session = Session(workspace)
    for line in text.split("\n"):
        reply = session.execute(line)
        assert not reply.failed, f"{line}: {reply.text}"
    return workspace.stores[Store.LOCAL].content()


def test_the_netsh_script() -> None:
    """A complete script, one object a line; it ends where it began."""
    exported = export(STORE, "netsh")
    assert exported.text == NETSH
    assert exported.notes == ("the DNS names of 1 filter are resolved anew by who reads this",)
    assert by_netsh(NETSH) == STORE


def test_the_ipseccmd_commands() -> None:
    """One command a rule; what it has no switches for is said."""
    exported = export(STORE, "ipseccmd")
    assert exported.text == IPSECCMD
    block, ask = (f"rule '{name}' of policy 'Packet Filters'" for name in ("Block all", "Ask"))
    assert list(exported.notes) == [
        f"{block}: descriptions of filters are not written",
        f"{block}: the filter dns <-> me:53 udp has no form here; not written",
        f"{block}: the filter 10.0.0.5-10.0.0.9 <-> me has no form here; not written",
        f"{block}: the filter 2001:db8::/32 -> me icmpv6 has no form here; not written",
        f"{ask}: it is inactive, for which there is no switch; not written",
        f"{block}: filter list's name not kept",
        f"{block}: filter action's name not kept",
        "filter list 'All traffic': its description is not written",
        "DNS names are resolved anew by who reads this",
    ]


@pytest.mark.parametrize("form", FORMS)
def test_an_empty_store(form: Form) -> None:
    """Nothing is a store, too."""
    exported = export(Content(), form)
    assert exported.notes == ()
    assert exported.text.endswith("\n")


def test_toml_keeps_identities() -> None:
    """TOML is the store itself, with GUIDs and times."""
    back = storereader.parse(export(STORE, "toml").text, "s.toml")
    assert back == STORE
    guids = {name: each.guid for name, each in STORE.filter_lists.items()}
    assert {name: each.guid for name, each in back.filter_lists.items()} == guids


@pytest.mark.parametrize(
    ("store", "note"),
    [
        (content([StoredList("a\nb")]), "name 'a b': control characters and line breaks"),
        (content([StoredList("x" * 256)]), "longer than netsh takes (255)"),
        (
            content([StoredList("L", (one("me -> any", "a"), one("me -> any", "b")))]),
            "filter list 'L': me -> any is twice in it; written once",
        ),
        (
            content((), [StoredAction("A", Behaviour.BLOCK, qmsecmethods="AH[MD5]")]),
            "filter action 'A': its methods mean nothing",
        ),
        (
            content(policies=[StoredPolicy("P", polling=61)]),
            "policy 'P': its polling interval is 2 minutes here, not 61 seconds",
        ),
        (
            content(policies=[StoredPolicy("P", default_rule=DefaultRule(authentication=()))]),
            "policy 'P': it has no authentication method",
        ),
        (
            content(
                [StoredList("L")],
                [BLOCK],
                [StoredPolicy("P", rules=(StoredRule("", "L", "Block"),))],
            ),
            "policy 'P': a rule without a name is named 'L' here",
        ),
        (
            with_rule(StoredRule("R", "L", "Block", tunnel="no where")),
            "rule 'R': its tunnel ends at 'no where'; not written",
        ),
        (
            with_rule(
                StoredRule(
                    "R",
                    "L",
                    "Block",
                    authentication=(Authentication("psk", "a"), Authentication("psk", "b")),
                )
            ),
            "rule 'R': netsh takes one psk; the first is written",
        ),
    ],
)
def test_what_netsh_has_no_words_for(store: Content, note: str) -> None:
    """Each thing that the script says otherwise is a note."""
    exported = export(store, "netsh")
    assert any(note in one for one in exported.notes), exported.notes
    if "longer" not in note:
        by_netsh(exported.text)


@pytest.mark.parametrize("prefix", ["0.0.0.0/0", "0.0.0.0/32", "::/0"])
def test_prefixes_that_netsh_takes_for_words(prefix: str) -> None:
    """They are written as ranges, which mean the same packets."""
    store = content([StoredList("L", (one(f"{prefix} -> me"),))])
    exported = export(store, "netsh")
    assert len(exported.notes) == 1
    network = ipaddress.ip_network(prefix)
    (made,) = by_netsh(exported.text).filter_lists["l"].filters
    assert made.source == AddressRange(network[0], network[-1])


def test_a_rule_that_cannot_be_told_to_ipseccmd_whole() -> None:
    """What decides about packets is written even where the rest has no form."""
    rule = StoredRule("R", "R", "BLOCK", authentication=(Authentication("psk", ""),))
    store = content(
        [StoredList("R", (one("me -> any"),))],
        [StoredAction("BLOCK", Behaviour.BLOCK)],
        [StoredPolicy("P", rules=(rule,), default_rule=DefaultRule(False), mmsecmethods="odd")],
    )
    exported = export(store, "ipseccmd")
    assert "ipseccmd -w REG -p P -r R -f 0=* -n BLOCK\n" in exported.text
    assert exported.notes == (
        "policy 'P': main mode methods not kept",
        "rule 'R' of policy 'P': authentication not kept",
    )


def test_a_tunnel_rule_is_told_to_ipseccmd_without_mirrors() -> None:
    """They do not count in it (spec 2.3), and ipseccmd refuses them."""
    filters = one("me <-> any:80 tcp")
    rule = StoredRule("R", "R", "BLOCK", tunnel="192.0.2.9")
    store = content(
        [StoredList("R", (filters,))],
        [StoredAction("BLOCK", Behaviour.BLOCK)],
        [StoredPolicy("P", rules=(rule,), default_rule=DefaultRule(False))],
    )
    dynamic = DynamicRule(filters, Action.BLOCK, Action.BLOCK, tunnel="192.0.2.9")
    exported = export(store, "ipseccmd", dynamic=DynamicContent(rules={dynamic.identity: dynamic}))
    assert "-r R -f 0=*:80:TCP -n BLOCK -t 192.0.2.9\n" in exported.text
    assert "ipseccmd -f 0=*:80:TCP -n BLOCK -t 192.0.2.9\n" in exported.text
    assert exported.notes == (
        "rule 'R' of policy 'P': mirrors do not count in a tunnel rule; not written",
        "dynamic rule me <-> any:80 tcp: mirrors do not count in a tunnel rule; not written",
    )


DYNAMIC = DynamicContent(
    {"mm": MainModePolicy("mm", 3, 60, 100, "3DES-SHA1-2")},
    {"qm": QuickModePolicy("qm", True, "GRP1", "AH[MD5]")},
    {
        rule.identity: rule
        for rule in (
            DynamicRule(one("me <-> any:80 tcp"), Action.PERMIT, Action.BLOCK, mmpolicy="mm"),
            DynamicRule(
                one("me -> any"), Action.SOFT, Action.SOFT, Connection.LAN, "mm", "qm"
            ),
        )
    },
)  # fmt: skip


def test_dynamic_rules_by_netsh() -> None:
    """Dynamic rules follow the store, and make the same ones."""
    workspace = Workspace(resolve, dynamic=DynamicDraft())
    exported = export(STORE, "netsh", dynamic=DYNAMIC)
    by_netsh(exported.text, workspace)
    assert workspace.dynamic is not None
    assert workspace.dynamic.content() == DYNAMIC
    assert len(exported.notes) == 1


def test_dynamic_rules_that_negotiate_alone() -> None:
    """Those made by ipseccmd need a main mode policy in netsh."""
    rule = DynamicRule(one("me -> any"), Action.NEGOTIATE, Action.INPASS, qmpolicy="q")
    dynamic = DynamicContent({}, {"q": QuickModePolicy("q")}, {rule.identity: rule})
    exported = export(Content(), "netsh", dynamic=dynamic)
    assert exported.notes == (
        "main mode policy 'default': made for the rules that negotiate without one",
        "dynamic rule 'me -> any': its outbound action is inpass; not written",
    )
    by_netsh(exported.text, Workspace(resolve, dynamic=DynamicDraft()))


def test_dynamic_rules_by_ipseccmd() -> None:
    """What is alike in both directions has a command."""
    exported = export(Content(), "ipseccmd", dynamic=DYNAMIC)
    assert exported.text.endswith("\nipseccmd -f 0=* -lan -soft\n")
    assert exported.notes == (
        "main mode and quick mode policies of dynamic rules: not written",
        "dynamic rule me <-> any:80 tcp: it has no form here; not written",
    )
    words = split_line(exported.text.split("\n")[-2])
    workspace = Workspace(resolve, dynamic=DynamicDraft())
    assert not run(words[1:], workspace).failed


def test_dynamic_rules_have_no_place_in_toml() -> None:
    """A store's file is for stores."""
    exported = export(STORE, "toml", dynamic=DYNAMIC)
    assert exported.notes == ("dynamic rules are no part of a store: 2 not written",)
