"""Runs of ipseccmd and ipsecpol as transcripts: commands typed, and what there is after them."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from pathlib import Path

import pytest

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.ipseccmd.commands import COMPLETED, run
from ipsecfd.policy.ipseccmd.lines import split_line
from ipsecfd.policy.model import Action, Connection, IPAddress, Store
from ipsecfd.policy.reply import Reply
from ipsecfd.policy.stores.content import (
    Authentication,
    Behaviour,
    DefaultRule,
    StoredAction,
    StoredList,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import GivenPolicy, Workspace
from tests.builders import generic, policy

INBOUND = '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule" -f *=0:1434:UDP'
OUTBOUND = '-w REG -p "Block UDP 1434 Filter" -r "Block Outbound UDP 1434 Rule" -f 0=*:1434:UDP'


def resolve(name: str) -> tuple[IPAddress, ...]:
    """Every name but one has two addresses."""
    if name == "nowhere.example":
        raise GrammarError(name, "expected a DNS name that resolves")
    return ipaddress.ip_address("198.51.100.1"), ipaddress.ip_address("198.51.100.2")


@pytest.fixture
def workspace() -> Workspace:
    """Empty stores on a running host."""
    return Workspace(
        resolve,
        dynamic=DynamicDraft(),
        host="gate",
        addresses=(ipaddress.ip_address("192.0.2.10"),),
        clock=lambda: 1_100_000_000.5,
    )


def typed(workspace: Workspace, *lines: str, program: str = "ipseccmd") -> Reply:
    """Run command lines that all succeed; the answer to the last one."""
    for line in lines:
        reply = run(split_line(line), workspace, program)
        assert not reply.failed, reply.text
    return reply


def refused(workspace: Workspace, line: str) -> Reply:
    """Run a command line that fails and changes nothing."""
    before = state(workspace)
    reply = run(split_line(line), workspace)
    assert reply.failed
    assert before == state(workspace)
    return reply


def state(workspace: Workspace) -> object:
    """All that a command could have changed."""
    dynamic = workspace.dynamic
    contents = {store: draft.content() for store, draft in workspace.stores.items()}
    return contents, dynamic and dynamic.content(), workspace.properties


def local(workspace: Workspace) -> Draft:
    return workspace.stores[Store.LOCAL]


def rules(workspace: Workspace, policy: str) -> list[tuple[str, str, list[str]]]:
    """Name, action and filters of each rule of a local policy."""
    draft = local(workspace)
    return [
        (
            rule.name,
            rule.filter_action,
            [str(one) for one in draft.filter_list(rule.filter_list).filters],
        )
        for rule in draft.policy(policy).rules
    ]


def dynamic_rules(workspace: Workspace) -> list[tuple[str, Action, Action]]:
    assert workspace.dynamic is not None
    return [
        (str(one.filter), one.inbound, one.outbound) for one in workspace.dynamic.rules.values()
    ]


def test_the_knowledge_base_article(workspace: Workspace) -> None:
    """The sequences of KB 813878 end as spec 8.4 says."""
    typed(workspace, f"{INBOUND} -n BLOCK -x", f"{OUTBOUND} -n BLOCK")
    assert rules(workspace, "Block UDP 1434 Filter") == [
        ("Block Inbound UDP 1434 Rule", "BLOCK", ["any -> me:1434 udp"]),
        ("Block Outbound UDP 1434 Rule", "BLOCK", ["me -> any:1434 udp"]),
    ]
    assert local(workspace).assigned == "block udp 1434 filter"

    typed(
        workspace,
        '-w REG -p "Block TCP 80 Filter" -r "Inbound" -f *=0:80:TCP -n BLOCK \N{EN DASH}x',
    )
    assert local(workspace).assigned == "block tcp 80 filter"

    typed(
        workspace,
        '-w REG -p "Block UDP 1434 Filter" -x',
        '-w REG -p "Block UDP 1434 Filter" \N{EN DASH}y',
    )
    assert local(workspace).assigned is None

    typed(
        workspace,
        '-w REG -p "Block UDP 1434 Filter" -r "Block Inbound UDP 1434 Rule"'
        ' -r "Block Outbound UDP 1434 Rule" -o',
    )
    assert list(local(workspace).policies) == ["block tcp 80 filter"]
    assert list(local(workspace).filter_lists) == ["inbound"]
    assert list(local(workspace).filter_actions) == ["block"]


def test_the_articles_typing_error_is_refused_with_a_hint(workspace: Workspace) -> None:
    """`*0=:PORT:PROTOCOL` is no filter; the hint is what was meant."""
    reply = refused(workspace, "-w REG -p P -r R -f *0=:1434:UDP -n BLOCK")
    assert "did you mean 0=*:1434:UDP" in reply.text
    assert not reply.understood


def test_a_server_script(workspace: Workspace) -> None:
    """Three rules of two kinds: a list for each rule, an action for each kind."""
    missing = run(split_line('-w REG -p "MyPol" -y -o'), workspace, "ipsecpol")
    assert Reply("ipsecpol: there is no policy with the name 'MyPol'", failed=True) == missing
    typed(
        workspace,
        '-w REG -p "MyPol" -r "Blocker" -n BLOCK -x -f 0+*',
        '-w REG -p "MyPol" -r "GoHTTP"  -n PASS  -x -f 0:80+*::TCP',
        '-w REG -p "MyPol" -r "GoHTTPS" -n PASS  -x -f 0:443+*::TCP',
        program="ipsecpol",
    )
    assert rules(workspace, "mypol") == [
        ("Blocker", "BLOCK", ["me <-> any"]),
        ("GoHTTP", "PASS", ["me:80 <-> any tcp"]),
        ("GoHTTPS", "PASS", ["me:443 <-> any tcp"]),
    ]
    draft = local(workspace)
    assert (len(draft.filter_lists), len(draft.filter_actions)) == (3, 2)
    assert draft.assigned == "mypol"


def test_a_rule_of_the_name_is_replaced(workspace: Workspace) -> None:
    """Its list gets the new filters, its old action goes when nothing else uses it."""
    typed(workspace, "-w REG -p P -r R -f *=0:80:TCP -n BLOCK -lan")
    before = local(workspace).rule("P", "R")
    typed(workspace, "-w REG -p p -r r -f *=0:81:TCP *=0:82:TCP -n PASS")
    assert rules(workspace, "P") == [("r", "PASS", ["any -> me:81 tcp", "any -> me:82 tcp"])]
    after = local(workspace).rule("P", "R")
    assert (before.guid, Connection.LAN) == (after.guid, before.connection)
    assert after.connection == Connection.ALL
    assert list(local(workspace).filter_lists) == ["r"]
    assert list(local(workspace).filter_actions) == ["pass"]


def test_a_shared_list_is_left_alone(workspace: Workspace) -> None:
    """A replaced rule gets a list of its own when others use the old one."""
    draft = local(workspace)
    typed(workspace, "-w REG -p P -r R -f *=0:80:TCP -n BLOCK")
    draft.add_policy(StoredPolicy("Q", rules=(StoredRule("other", "R", "BLOCK"),)))
    typed(workspace, "-w REG -p P -r R -f *=0:81:TCP -n BLOCK")
    assert rules(workspace, "P") == [("R", "BLOCK", ["any -> me:81 tcp"])]
    assert rules(workspace, "Q") == [("other", "BLOCK", ["any -> me:80 tcp"])]
    typed(workspace, "-w REG -p P -o")
    assert list(draft.filter_lists) == ["r"]
    assert list(draft.filter_actions) == ["block"]


def test_policies_may_have_rules_of_the_same_name(workspace: Workspace) -> None:
    """Lists are named after their rule, and after its policy where that name is taken."""
    typed(
        workspace,
        *(f"-w REG -p {p} -r R -f *=0:{port}:TCP -n BLOCK" for p, port in (("P", 80), ("Q", 81))),
    )
    assert [one.name for one in local(workspace).filter_lists.values()] == ["R", "R (Q)"]
    assert rules(workspace, "Q") == [("R", "BLOCK", ["any -> me:81 tcp"])]
    long = "n" * 255
    for name in ("P", "Q", "P2"):
        typed(workspace, f"-w REG -p {name} -r {long} -f *=0:80:TCP -n BLOCK")
    assert max(len(one.name) for one in local(workspace).filter_lists.values()) == 255


def test_an_action_that_only_has_the_name_is_not_taken(workspace: Workspace) -> None:
    """Somebody else's action BLOCK that permits is left alone."""
    local(workspace).add_filter_action(StoredAction("Block", Behaviour.PERMIT))
    typed(workspace, "-w REG -p P -r R -f *=0:80:TCP -n BLOCK", "-w REG -p P -r S -f 0=* -n BLOCK")
    assert [action for _, action, _ in rules(workspace, "P")] == ["BLOCK (2)"] * 2
    assert local(workspace).filter_action("block (2)").action == Action.BLOCK


@pytest.mark.parametrize(
    ("switches", "action"),
    [
        ("", StoredAction("NEGOTIATE")),
        ("-soft", StoredAction("SOFT", soft=True)),
        ("-n INPASS", StoredAction("INPASS", inpass=True)),
        (
            "-n ESP[3DES,SHA]P -soft",
            StoredAction(
                "ESP[3DES,SHA1] PFS SOFT", soft=True, qmpfs=True, qmsecmethods="ESP[3DES,SHA1]"
            ),
        ),
    ],
)
def test_negotiating_actions(workspace: Workspace, switches: str, action: StoredAction) -> None:
    """An action is named after what it does, and equal ones are one."""
    typed(workspace, *(f"-w REG -p P -r {name} -f *=0:80:TCP {switches}" for name in "RS"))
    assert [action] == list(local(workspace).filter_actions.values())


def test_settings_of_a_policy(workspace: Workspace) -> None:
    """What is given is set, what is not stays; the default response rule is off until asked for."""
    typed(workspace, "-w REG -p P:30 -r R -f *=0:80:TCP -n BLOCK -1s 3DES-SHA-2 -1k 5Q -a CERT:CA")
    policy = local(workspace).policy("P")
    assert (
        *(policy.polling, policy.qmpermm, policy.mmlifetime, policy.mmsecmethods),
        policy.default_rule.active,
    ) == (1800, 5, 480, "3DES-SHA1-2", False)
    assert policy.modified == 1_100_000_000
    assert policy.rules[0].authentication == (Authentication("rootca", "CA"),)

    typed(workspace, "-w REG -p P -f DEFAULT -n ESP[DES,MD5] -1p -1k 3600S")
    changed = local(workspace).policy("P")
    assert (*(changed.polling, changed.qmpermm, changed.mmlifetime, changed.mmpfs),) == (
        1800,
        5,
        60,
        True,
    )
    assert DefaultRule(qmsecmethods="ESP[DES,MD5]") == changed.default_rule
    assert policy.rules == changed.rules
    assert policy.guid == changed.guid


def test_an_empty_policy_may_be_assigned(workspace: Workspace) -> None:
    """-x without a rule makes the policy if need be (T12): published scripts begin so."""
    typed(workspace, "-w REG -p P -x", "-w REG -p P -o -x")
    assert not local(workspace).policies
    assert local(workspace).assigned is None


def test_unassigning_touches_no_other_policy(workspace: Workspace) -> None:
    """-y is about the policy named."""
    typed(workspace, "-w REG -p P -x", "-w REG -p Q -r R -f *=0 -n BLOCK -y", "-w REG -p Q -y")
    assert local(workspace).assigned == "p"


@pytest.mark.parametrize("store", [Store.PERSISTENT, Store.DOMAIN])
def test_other_stores(workspace: Workspace, store: Store) -> None:
    """-w PERS and -w DS leave the local store alone."""
    kind = "PERS" if store is Store.PERSISTENT else "DS:example.com"
    typed(workspace, f"-w {kind} -p P -r R -f *=0:80:TCP -n BLOCK -x")
    assert workspace.stores[store].assigned == "p"
    assert not local(workspace).policies


@pytest.mark.parametrize(
    "line",
    [
        "-w REG -p P -y",
        "-w REG -p P -o",
        "-w REG -p P -r R -f *=0:80:TCP 0=nowhere.example -n BLOCK -x",
        "-f [*=0:80:TCP] (*=0:80:TCP)",
        "-f [*=0] 0=nowhere.example",
        "-f *=0:81:TCP",
        "-f *=0 -confirm",
        r"\\other -u",
    ],
)
def test_a_failed_run_changes_nothing(workspace: Workspace, line: str) -> None:
    """What cannot be done is refused before the first change; the command itself is understood."""
    typed(workspace, "-f [*=0:81:TCP]")
    assert refused(workspace, line).understood


def test_dynamic_rules(workspace: Workspace) -> None:
    """Each filter is a rule; brackets decide, then -n, then negotiation; -u ends all."""
    typed(
        workspace,
        "-f [*=0:1434:UDP] (0=*:110:TCP) *=0 -n INPASS -lan -t 198.51.100.9",
    )
    assert dynamic_rules(workspace) == [
        ("any -> me:1434 udp", Action.BLOCK, Action.BLOCK),
        ("me -> any:110 tcp", Action.PERMIT, Action.PERMIT),
        ("any -> me", Action.INPASS, Action.INPASS),
    ]
    assert workspace.dynamic is not None
    made = list(workspace.dynamic.rules.values())
    assert [(one.connection, one.tunnel) for one in made] == [(Connection.LAN, "198.51.100.9")] * 3
    assert [one.qmpolicy for one in made] == ["", "", "INPASS"]
    assert list(workspace.dynamic.qmpolicies.by_key) == ["inpass"]

    typed(workspace, "-u")
    assert dynamic_rules(workspace) == []
    assert not workspace.dynamic.qmpolicies.by_key


def test_the_same_dynamic_rule_again_is_there_already(workspace: Workspace) -> None:
    """A start-up script may run twice; another action for the same filter is refused."""
    typed(workspace, "-f [*=0:1434:UDP]", "-f [*=0:1434:UDP] [*=0:1435:UDP]")
    assert [text for text, _, _ in dynamic_rules(workspace)] == [
        "any -> me:1434 udp",
        "any -> me:1435 udp",
    ]
    assert "-u deletes" in refused(workspace, "-f (*=0:1434:UDP)").text


def test_a_dynamic_rule_uses_the_first_address_of_a_name(workspace: Workspace) -> None:
    """As on Windows; static mode uses them all."""
    typed(workspace, "-f [0=www.example.com]", "-w REG -p P -r R -f 0=www.example.com -n BLOCK")
    assert workspace.dynamic is not None
    (rule,) = workspace.dynamic.rules.values()
    (stored,) = local(workspace).filter_list("R").filters
    assert resolve("www.example.com")[:1] == getattr(rule.filter.destination, "addresses", None)
    assert resolve("www.example.com") == getattr(stored.destination, "addresses", None)


def test_main_mode_settings_of_dynamic_rules(workspace: Workspace) -> None:
    """Equal settings share a main mode policy, others get one of their own."""
    typed(workspace, "-f *=0 -1e 60", "-f 0=* -1e 60", "-f *=0:80:TCP -1k 60S")
    assert workspace.dynamic is not None
    named = [rule.mmpolicy for rule in workspace.dynamic.rules.values()]
    assert named == ["ipseccmd", "ipseccmd", "ipseccmd (2)"]
    assert workspace.dynamic.mmpolicies.by_key["ipseccmd"].softsaexpirationtime == 60
    assert workspace.dynamic.mmpolicies.by_key["ipseccmd (2)"].mmlifetime == 1


@pytest.mark.parametrize("line", ["-f [*=0]", "-u", "show filters"])
def test_without_the_service_there_is_nothing_dynamic(workspace: Workspace, line: str) -> None:
    """Dynamic rules live in the running service."""
    workspace.dynamic = None
    assert "the IPSec service is not running" in refused(workspace, line).text


@pytest.mark.parametrize("answer", [True, False])
def test_confirm_asks(workspace: Workspace, answer: bool) -> None:
    """-confirm names the filters; no is a refusal."""
    questions = []

    def ask(question: str) -> bool:
        questions.append(question)
        return answer

    reply = run(["-f", "[*=0]", "-confirm"], workspace, confirm=ask)
    assert questions == ["Set [*=0]?"]
    assert reply.failed is not answer
    assert answer == bool(dynamic_rules(workspace))


def test_show_filters_is_netdiags_list(workspace: Workspace) -> None:
    """The filters of the assigned policies and the dynamic ones, with plain addresses."""
    typed(workspace, f"{INBOUND} -n BLOCK -x", "-f (0=*:53:UDP)")
    text = typed(workspace, "show filters").text
    assert text.startswith("    There are 2 filters\n    No Name\n        Filter Id: {")
    assert "Dest Addr : 192.0.2.10      Dest Mask : 255.255.255.255" in text
    assert [line.strip() for line in text.splitlines() if "Flags" in line] == [
        "Flags : Inbound Block",
        "Flags : Outbound Permit",
    ]


def test_show_the_policy_of_a_file(workspace: Workspace) -> None:
    """It is in force in place of the local store's."""
    typed(workspace, f"{INBOUND} -n BLOCK -x")
    web = policy("block any -> me:8080 tcp", name="Web")
    workspace.given = (GivenPolicy("Web", "/etc/web.toml", lambda: web),)
    text = typed(workspace, "show policies filters").text
    assert "Local IPSec Policy Active: 'Web'\n        File : /etc/web.toml" in text
    assert "Dest Port : 8080" in text
    assert "1434" not in text


def test_show_all(workspace: Workspace) -> None:
    """Every topic fits 80 columns, says something, and shows no key."""
    empty = typed(workspace, "show all").text
    assert "No policy is assigned." in empty
    assert "There are no rules." in empty
    typed(
        workspace,
        f"{INBOUND} -n BLOCK -x -a PRESHARE:secret KERBEROS",
        "-w DS -p Domain:5 -r R -f *=0 -x",
        "-w PERS -p Base -r S -f *=0:445:TCP -n BLOCK -x -a CERT:CA",
        "-f [*=0] -a PRESHARE:secret",
    )
    text = typed(workspace, "show all").text
    for line in (
        "    Persistent IPSec Policy Active: 'Base'",
        "    Domain IPSec Policy Active: 'Domain'",
        "        Polling Interval : 5 minutes",
        "    Dynamic Rules : 1",
        "    Rule 'S': CERT",
        "    Dynamic rule any -> me: PRESHARE",
    ):
        assert line in text.splitlines()
    assert "secret" not in text
    assert "1434" not in text, "a domain policy replaces the local one"
    assert max(map(len, text.splitlines())) <= 80


def test_help(workspace: Workspace) -> None:
    """-? is no failure and fits 80 columns."""
    text = typed(workspace, "-?", program="IPSECPOL.EXE").text
    assert text.startswith("Usage:\n  ipsecpol -f FILTER...")
    assert max(map(len, text.splitlines())) <= 81
    newer = typed(workspace, "-?").text
    assert max(map(len, newer.splitlines())) <= 81
    for one in ("show filters", "-file FILE", "-1f", "-1e"):
        assert one not in text
        assert one in newer


def test_an_error_begins_with_the_program_as_one_types_it(workspace: Workspace) -> None:
    """Also where a path and .exe were written."""
    reply = run([], workspace, r"C:\Tools\IPSeccmd.exe")
    assert (
        Reply("ipseccmd: expected switches; ipseccmd -? lists them", True, understood=False)
        == reply
    )


def script(workspace: Workspace, lines: Sequence[str]) -> Reply:
    def read(path: Path) -> str:
        assert str(path) == "rules.txt"
        return "\r\n".join(lines)

    return run(["-file", "rules.txt"], workspace, read=read)


def test_a_file_of_commands(workspace: Workspace) -> None:
    """Commands with or without the program's name; comments and empty lines between them."""
    reply = script(
        workspace,
        [
            "REM rules",
            "",
            ":: more",
            f"ipseccmd {INBOUND} -n BLOCK -x",
            "# end",
            f"{OUTBOUND} -n BLOCK",
        ],
    )
    assert Reply(COMPLETED, failed=False) == reply
    assert len(local(workspace).policy("Block UDP 1434 Filter").rules) == 2


def test_a_refused_command_of_a_file_does_not_stop_the_others(workspace: Workspace) -> None:
    """As in scripts of Windows; the answer names its line."""
    reply = script(workspace, ["-w REG -p P -o", f"{INBOUND} -n BLOCK"])
    assert Reply("rules.txt:1: there is no policy with the name 'P'", failed=True) == reply
    assert local(workspace).has_policy("Block UDP 1434 Filter")


def test_a_file_that_makes_no_sense_is_not_begun(workspace: Workspace) -> None:
    """All its mistakes are named."""
    reply = script(workspace, [f"{INBOUND} -n BLOCK", "-f *0=", "-file x"])
    assert reply.failed
    assert not reply.understood
    assert [
        reply.text.splitlines()[0][:11],
        reply.text.splitlines()[1][:11],
        reply.text.splitlines()[2],
    ] == ["rules.txt:2", "rules.txt:3", "rules.txt: nothing was done"]
    assert not local(workspace).policies


def test_a_file_that_cannot_be_read(workspace: Workspace, tmp_path: Path) -> None:
    """It is named, with the reason."""
    reply = run(["-file", str(tmp_path / "none.txt")], workspace)
    assert reply.failed
    assert "none.txt: cannot be read" in reply.text


def test_lists_hold_a_filter_once(workspace: Workspace) -> None:
    """The same filter in other words is the same filter."""
    typed(workspace, "-w REG -p P -r R -f *=0:80:TCP *=0:080:tcp 0.0.0.0/0=0:80:6 -n BLOCK")
    assert (generic("any -> me:80 tcp"),) == local(workspace).filter_list("R").filters
    assert StoredList("R", (generic("any -> me:80 tcp"),)) == local(workspace).filter_list("R")


def test_a_long_script_into_one_policy(workspace: Workspace) -> None:
    """A run costs the same however many there were, or this takes a minute."""
    for number in range(10_000):
        remote = f"10.{number >> 8}.{number & 255}.1"
        arguments = [
            "-w",
            "REG",
            "-p",
            "P",
            "-r",
            f"R{number}",
            "-f",
            f"{remote}=0",
            "-n",
            "BLOCK",
            "-x",
        ]
        assert not run(arguments, workspace).failed
    assert len(local(workspace).policy("P").rules) == 10_000
