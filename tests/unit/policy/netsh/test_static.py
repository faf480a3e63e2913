"""The commands of `netsh ipsec static` (spec 8.2)."""

from __future__ import annotations

import pytest

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Connection, Store
from ipsecfd.policy.stores.content import (
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft

from . import NOW, content, refused, session

BASE = (
    "add policy name=P",
    "add filterlist name=L",
    "add filteraction name=B action=block",
)
RULE = (*BASE, "add rule name=R policy=P filterlist=L filteraction=B")


def test_defaults_of_a_policy() -> None:
    """What `add policy` is not told is as spec 8.2 says; it is not assigned."""
    made = content(session("add policy name=P"))
    assert StoredPolicy("P", polling=10_800, mmlifetime=480) == made.policies["p"]
    assert made.policies["p"].modified == NOW
    assert made.assigned is None


def test_every_tag_of_a_policy() -> None:
    """Polling is minutes on the command line and seconds in the store (X7)."""
    made = content(
        session(
            'add policy name=P description="a b" mmpfs=y qmpermm=5 mmlifetime=60'
            ' activatedefaultrule=n pollinginterval=30 assign=yes mmsecmethods="3DES-SHA1-2"'
        )
    )
    assert (
        StoredPolicy(
            "P",
            "a b",
            (),
            1_800,
            True,
            5,
            60,
            "3DES-SHA1-2",
            DefaultRule(active=False),
        )
        == made.policies["p"]
    )
    assert made.assigned == "p"


def test_polling_of_zero() -> None:
    """A polling interval of 0 is three hours (spec 1.6)."""
    made = content(session("add policy name=P pollinginterval=0"))
    assert made.policies["p"].polling == 10_800


def test_assigning_unassigns_the_other() -> None:
    """At most one policy of a store is assigned (T5)."""
    one = session("add policy A assign=y", "add policy B", "set policy name=b assign=y")
    assert content(one).assigned == "b"
    one.execute("set policy name=A assign=n")
    assert content(one).assigned == "b"
    one.execute("set policy name=B assign=n")
    assert content(one).assigned is None


def test_set_policy_changes_only_what_is_given() -> None:
    """A policy keeps what `set policy` does not mention; its new name stays assigned."""
    one = session(
        "add policy P description=d mmlifetime=9 assign=y",
        "set policy name=P newname=Q activatedefaultrule=no pollinginterval=1",
    )
    assert content(one).policies == {
        "q": StoredPolicy(
            "Q", "d", polling=60, mmlifetime=9, default_rule=DefaultRule(active=False)
        )
    }
    assert content(one).assigned == "q"


@pytest.mark.parametrize(
    ("kind", "held"),
    [("policy", "policies"), ("filterlist", "filter_lists"), ("filteraction", "filter_actions")],
)
def test_objects_are_found_by_guid(kind: str, held: str) -> None:
    """`set` takes a GUID in place of the name, with or without braces, in any case."""
    one = session(f"add {kind} name=old")
    guid = getattr(content(one), held)["old"].guid
    assert not one.execute(f"set {kind} guid={guid.strip('{}').lower()} newname=new").failed
    assert list(getattr(content(one), held)) == ["new"]
    assert "exclude each other" in refused(one, f"set {kind} name=new guid={guid}")
    assert "{00000000-" in refused(
        one, f"set {kind} guid={{00000000-0000-0000-0000-000000000000}} description=x"
    )


def test_filter_makes_its_list() -> None:
    """`add filter` makes the filter list if there is none (spec 8.2)."""
    one = session('add filter filterlist="Web Server" srcaddr=any dstaddr=me')
    assert content(one).filter_lists["web server"].name == "Web Server"


def test_equal_filter_is_refused() -> None:
    """Two equal filters cannot be in one list, whatever their description (spec 3.4)."""
    one = session("add filter L me any protocol=TCP dstport=80 description=a")
    assert "already" in refused(one, "add filter L me any protocol=6 dstport=80 description=b")
    assert not one.execute("add filter L me any protocol=TCP dstport=80 mirrored=no").failed
    assert not one.execute("add filter M me any protocol=TCP dstport=80").failed


def test_delete_filter_takes_omitted_tags_as_defaults() -> None:
    """`delete filter` removes the filters equal to the given fields and defaults (spec 8.2)."""
    one = session(
        "add filter L me any",
        "add filter L me any mirrored=no",
        "add filter L me any protocol=tcp dstport=80 description=x",
        "delete filter filterlist=l srcaddr=me dstaddr=any protocol=TCP dstport=80",
        "delete filter L me any",
    )
    assert [one.mirrored for one in content(one).filter_lists["l"].filters] == [False]
    assert "no filter" in refused(one, "delete filter L me any")
    assert "no filter list" in refused(one, "delete filter nope me any")


def test_delete_filter_does_not_resolve() -> None:
    """A filter of a name is found by the name, even if the name no longer resolves."""
    one = session("add filter L me www.example.com")
    one.state.workspace.resolve = lambda name: pytest.fail(f"resolves {name}")
    assert not one.execute("delete filter L me WWW.EXAMPLE.COM").failed
    assert content(one).filter_lists["l"].filters == ()


def test_defaults_of_a_filteraction() -> None:
    """An action negotiates unless told otherwise (spec 8.2)."""
    made = content(session("add filteraction name=A")).filter_actions["a"]
    assert StoredAction("A", Behaviour.NEGOTIATE) == made


def test_methods_are_ignored_unless_an_action_negotiates() -> None:
    """Quick mode methods have no place in an action that permits or blocks (spec 8.2)."""
    one = session(
        'add filteraction name=B action=block qmsecmethods="ESP[3DES,SHA1]"',
        'add filteraction name=N inpass=y soft=y qmpfs=y qmsec="AH[MD5]:1k/2s ESP[DES,MD5]"',
    )
    assert content(one).filter_actions["b"].qmsecmethods == ""
    assert (
        StoredAction("N", Behaviour.NEGOTIATE, True, True, True, "AH[MD5]:1k/2s ESP[DES,MD5]")
        == content(one).filter_actions["n"]
    )
    one.execute("set filteraction n action=permit")
    assert content(one).filter_actions["n"].qmsecmethods == ""


def test_defaults_of_a_rule() -> None:
    """A rule is active on all interfaces, with Kerberos (spec 8.2)."""
    (rule,) = content(session(*RULE)).policies["p"].rules
    assert StoredRule("R", "L", "B", "", True, Connection.ALL, "", KERBEROS) == rule


def test_authentication_in_the_order_of_the_command() -> None:
    r"""Methods are preferred in the order in which they stand; `\'` is a quote mark (spec 8.2)."""
    one = session(
        *BASE,
        r'add rule R P L B psk="secret" rootca="CN=\'A\' certmap:yes" kerberos=yes rootca=CN=B',
    )
    (rule,) = content(one).policies["p"].rules
    assert rule.authentication == (
        Authentication("psk", "secret"),
        Authentication("rootca", 'CN="A" certmap:yes'),
        Authentication("kerberos"),
        Authentication("rootca", "CN=B"),
    )


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("add rule R P L nope", "no filter action with the name 'nope'"),
        ("add rule R P nope B", "no filter list with the name 'nope'"),
        ("add rule R nope L B", "no policy with the name 'nope'"),
        ("add rule R nope L Permit", "no policy with the name 'nope'"),
        ("add rule R P L", "filteraction"),
        ("add rule R P L B conntype=wan", "lan, dialup or all"),
        ("add rule R P L B tunnel=10.0.0.0/8", "one host"),
        ("add rule R P L B tunnel=no/where", "one host"),
        ("add policy p", "already a policy"),
        ("add filterlist l", "already a filter list"),
        ("add filteraction b", "already a filter action"),
        ("delete policy nope", "no policy"),
        ("delete filterlist nope", "no filter list"),
        ("delete rule nope P", "no rule"),
        ("delete rule id=1 policy=P", "no rule 1"),
        ("set rule R P activate=no", "no rule"),
        ("add policy name=", "a name"),
        ('add policy "   "', "a name"),
        (f"add policy {'x' * 256}", "255"),
        ("add policy x\x07y", "control characters"),
        ("add policy x pollinginterval=99999999999", "minutes"),
        ("add policy x qmpermm=-1", "number"),
        ("restorepolicyexamples", "release"),
        ("restorepolicyexamples win98", "win2k or win2003"),
    ],
)
def test_refusals(line: str, why: str) -> None:
    """What Windows refuses is refused with the reason, and nothing is changed."""
    assert why in refused(session(*BASE), line)


def test_used_objects_cannot_be_deleted() -> None:
    """A list or action that a rule uses stays, also when all are to go (T10)."""
    one = session(*RULE, "add filterlist other", "add filteraction other")
    for line in ("delete filterlist L", "delete filterlist all", "delete filteraction B"):
        assert "is used by the rule 'R' of the policy 'P'" in refused(one, line)
    refused(one, "delete filteraction all")
    one.execute("delete rule R P")
    assert not one.execute("delete filterlist all").failed
    assert not one.execute("delete filteraction all").failed
    assert content(one) == Content({"p": StoredPolicy("P")})


def test_deleting_a_policy_deletes_its_rules() -> None:
    """A policy goes with its rules and its assignment; lists and actions stay (spec 1.1)."""
    one = session(*RULE, "set policy P assign=y", "delete policy all")
    assert content(one) == Content({}, {"l": StoredList("L")}, content(one).filter_actions)
    assert not one.execute("delete all").failed
    assert content(one) == Content()
    assert not one.execute("delete all").failed


def test_rules_by_number_and_all() -> None:
    """A rule is found by its number in the order of making; `all` leaves its name out."""
    one = session(
        *RULE,
        "add rule S P L B",
        "set rule id=2 policy=P newname=T activate=n conntype=dialup tunnel=192.0.2.1 psk=x",
    )
    assert content(one).policies["p"].rules == (
        StoredRule("R", "L", "B"),
        StoredRule(
            *("T", "L", "B", "", False, Connection.DIALUP, "192.0.2.1"),
            (Authentication("psk", "x"),),
        ),
    )
    assert not one.execute("delete rule id=1 policy=P").failed
    assert not one.execute("del rule all P").failed
    assert content(one).policies["p"].rules == ()


def test_rules_follow_new_names() -> None:
    """A renamed list or action is still that of its rules."""
    one = session(*RULE, "set filterlist L newname=L2", "set filteraction B newname=B2")
    (rule,) = content(one).policies["p"].rules
    assert (rule.filter_list, rule.filter_action) == ("L2", "B2")


def test_default_response_rule() -> None:
    """`set defaultrule` changes what it is told (spec 8.2)."""
    one = session(
        "add policy P",
        "set defaultrule policy=P activate=no qmpfs=yes qmsec=ESP[DES,MD5] psk=k",
        "set defaultrule P activate=yes",
    )
    assert (
        DefaultRule(True, True, "ESP[DES,MD5]", (Authentication("psk", "k"),))
        == content(one).policies["p"].default_rule
    )


def test_windows_own_actions_are_known() -> None:
    """A rule may name what every Windows has; a published script depends on it (spec 1.1)."""
    one = session("add policy P", "add filterlist L", "add rule R P L Permit")
    assert content(one).filter_actions["permit"].behaviour is Behaviour.PERMIT
    assert not one.execute('add rule S P "All IP Traffic" Permit').failed
    assert len(content(one).filter_lists["all ip traffic"].filters) == 1


def test_restorepolicyexamples() -> None:
    """Windows' nine objects come back (spec 1.1)."""
    one = session("restorepolicyexamples release=win2003")
    made = content(one)
    assert (len(made.policies), len(made.filter_lists), len(made.filter_actions)) == (3, 2, 3)


def test_stores() -> None:
    """`set store` selects the store of the commands that follow (X8)."""
    one = session(
        "add policy A", "set store location=persistent", "add policy B", "set store local"
    )
    stores = one.state.workspace.stores
    assert list(stores[Store.LOCAL].policies) == ["a"]
    assert list(stores[Store.PERSISTENT].policies) == ["b"]
    assert one.store is Store.LOCAL
    assert not one.execute("set store location=domain domain=example.com").failed
    assert one.execute("set store location=dynamic").failed


def test_gponame() -> None:
    """A Group Policy object is for the domain store; elsewhere it is ignored, and said so."""
    one = session("add policy P")
    reply = one.execute("set policy name=P assign=y gponame=Default")
    assert (reply.failed, "gponame" in reply.text) == (False, True)
    assert content(one).assigned == "p"
    one = session("set store domain", "add policy P", "set policy P gponame=Default assign=y")
    assert one.state.draft.assigned == "p"


class Files:
    """Files in memory."""

    def __init__(self) -> None:
        self.written: dict[str, Content] = {}

    def write(self, path: str, content: Content) -> None:
        self.written[path] = content

    def read(self, path: str, draft: Draft) -> None:
        if path not in self.written:
            raise IpsecfdError(f"{path}: there is no such file")
        for policy in self.written[path].policies.values():
            draft.add_policy(policy)


def test_export_and_import() -> None:
    """Policies go to a file and come back; the extension is added when there is none."""
    files = Files()
    one = session("add policy P", "exportpolicy file=C:\\dir.d\\mine", files=files)
    assert list(files.written) == ["C:\\dir.d\\mine.ipsec"]
    assert not one.execute("exportpolicy kept.toml").failed
    assert not one.execute("delete all").failed
    assert "no such file" in refused(one, "importpolicy other")
    assert not one.execute("importpolicy file=kept.toml").failed
    assert list(content(one).policies) == ["p"]


def test_batch() -> None:
    """`set batch` tells whoever saves to wait; changes are visible to the commands behind it."""
    one = session("set batch mode=enable", "add policy P")
    assert one.batch
    assert not one.execute("set policy P assign=y").failed
    assert not one.execute("set batch disable").failed
    assert not one.batch
