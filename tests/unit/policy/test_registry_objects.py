"""A registry export becomes store content; what cannot is named by line (spec 8.6)."""

from __future__ import annotations

import ipaddress

import pytest

from ipsecfd.policy.model import (
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    Me,
    Prefix,
    Server,
    ServerKind,
    Store,
)
from ipsecfd.policy.registry.layout import (
    Algorithm,
    Filter1,
    InterfaceType,
    Method,
    Offer,
    RuleBlob,
)
from ipsecfd.policy.registry.objects import Applied, apply_tree
from ipsecfd.policy.registry.regfile import read_text
from ipsecfd.policy.stores.content import (
    KERBEROS,
    Authentication,
    Behaviour,
    Content,
    DefaultRule,
    StoredAction,
    StoredPolicy,
    StoredRule,
)
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import Workspace

from .registry_file import (
    ANY,
    BLOCK,
    DEFAULT_RESPONSE,
    EXACT,
    HEADER,
    INPASS,
    LOCAL,
    NEGOTIATE,
    PERMIT,
    SERVICE,
    Export,
    guid,
    me_to,
    path,
)
from .registry_file import text as text_value

ESP = Offer(3600, 100_000, 0, True, (Algorithm(2, 3, 2),))


def no_dns(name: str) -> tuple[ipaddress.IPv4Address, ...]:
    raise AssertionError(f"an import asks for no name: {name}")


def workspace() -> Workspace:
    return Workspace(no_dns)


def applied(text: str, to: Workspace | None = None, **more: Store) -> tuple[Content, Applied]:
    to = to or workspace()
    result = apply_tree(read_text(text, "x.reg"), to, **more)
    return to.stores[more.get("store", Store.LOCAL)].content(), result


def filters_of(*filters: Filter1) -> tuple[Filter, ...]:
    export = Export()
    export.filters(1, "L", *filters)
    content, result = applied(export.text)
    assert not result.untranslated
    return content.filter_lists["l"].filters


def whole() -> Export:
    """A policy with a block rule, a permit rule and the default response rule."""
    export = Export()
    export.filters(1, "All traffic", me_to("0.0.0.0", "0.0.0.0"))
    export.filters(
        2,
        "Web",
        Filter1(ANY, ANY, ANY, EXACT, 6, 0, 80, description="HTTP"),
        Filter1(ANY, ANY, ANY, EXACT, 6, 0, 443),
    )
    export.action(3, "Block", BLOCK)
    export.action(4, "Permit", PERMIT)
    export.action(5, "", NEGOTIATE, ESP, kind=DEFAULT_RESPONSE)
    export.rule(6, "Block all", 3, 1)
    export.rule(
        7,
        "",
        4,
        2,
        RuleBlob(
            (Method(1, "k\0".encode("utf-16-le")), Method(5)), InterfaceType.LAN, active=False
        ),
    )
    export.rule(8, "", 5, None)
    export.policy(9, "Packet Filters", [6, 7, 8], 600)
    export.assign(9)
    return export


def test_a_whole_policy() -> None:
    """Policy, rules, lists, actions and assignment are those of the store it comes from."""
    content, result = applied(whole().text)
    assert Applied() == result
    assert (
        StoredPolicy(
            "Packet Filters",
            "about Packet Filters",
            (
                StoredRule("Block all", "All traffic", "Block"),
                StoredRule(
                    "",
                    "Web",
                    "Permit",
                    active=False,
                    connection=Connection.LAN,
                    authentication=(Authentication("psk", "k"), *KERBEROS),
                ),
            ),
            600,
            default_rule=DefaultRule(True, True, "ESP[3DES,SHA1]:100000k/3600s"),
        )
        == content.policies["packet filters"]
    )
    assert content.assigned == "packet filters"
    assert [one.written for one in content.filter_lists["web"].filters] == [
        "any <-> me:80 tcp # HTTP",
        "any <-> me:443 tcp",
    ]
    assert {
        "block": StoredAction("Block", Behaviour.BLOCK),
        "permit": StoredAction("Permit", Behaviour.PERMIT),
    } == content.filter_actions
    assert content.policies["packet filters"].guid == guid(9).upper()
    assert content.policies["packet filters"].modified == 0x438441F0


def test_importing_twice_is_importing_once() -> None:
    """Objects keep their GUIDs, and one of the same GUID is replaced."""
    to = workspace()
    first, _ = applied(whole().text, to)
    second, result = applied(whole().text, to)
    assert first == second
    assert Applied() == result


@pytest.mark.parametrize("branch", ["Persistent", "Cache"])
def test_each_store_to_its_own(branch: str) -> None:
    """The persistent store and the cache of a domain policy go where they belong."""
    to = workspace()
    applied(whole().text.replace("\\Local", f"\\{branch}"), to)
    store = Store.PERSISTENT if branch == "Persistent" else Store.DOMAIN
    assert to.stores[store].content().assigned == "packet filters"
    assert Content() == to.stores[Store.LOCAL].content()


def test_the_local_store_to_another() -> None:
    """Who imports chooses where the local store of the file goes."""
    content, _ = applied(whole().text, store=Store.PERSISTENT)
    assert list(content.policies) == ["packet filters"]


def test_a_dump_of_commands() -> None:
    """`reg add` lines make the same store as a .reg file."""
    lines = ["@echo off"]
    key = ""
    for line in whole().text.replace("\\\n  ", "").split("\n")[1:]:
        if line.startswith("["):
            key = line[1:-1].replace("HKEY_LOCAL_MACHINE", "HKLM")
        elif line:
            name, _, value = line.partition("=")
            kind, _, data = (
                value.rpartition(":") if value.startswith(("hex", "dw")) else ("", "", "")
            )
            match kind:
                case "hex":
                    data, kind = data.replace(",", ""), "REG_BINARY"
                case "hex(7)":
                    texts = bytes.fromhex(data.replace(",", "")).decode("utf-16-le").split("\0")
                    joined = "\\0".join(filter(None, texts))
                    data, kind = f'"{joined}"', "REG_MULTI_SZ"
                case "dword":
                    data, kind = f"0x{data}", "REG_DWORD"
                case _:
                    data, kind = value.replace("\\\\", "\\"), "REG_SZ"
            lines.append(f'reg add "{key}" /v {name} /t {kind} /d {data} /f')
    content, result = applied("\r\n".join(lines))
    assert Applied() == result
    assert applied(whole().text)[0] == content


@pytest.mark.parametrize(
    ("action", "offers", "expected"),
    [
        (NEGOTIATE, (ESP,),
         StoredAction("A", qmpfs=True, qmsecmethods="ESP[3DES,SHA1]:100000k/3600s")),
        (NEGOTIATE, (Offer(0, 0, 0, False, (Algorithm(1, 1), Algorithm(2, 1, 0))), Offer()),
         StoredAction("A", soft=True, qmsecmethods="AH[MD5]+ESP[DES,NONE]")),
        (INPASS, (Offer(algorithms=(Algorithm(2, 99),)),), StoredAction("A", inpass=True)),
        (BLOCK, (Offer(),), StoredAction("A", Behaviour.BLOCK)),
        (PERMIT.upper(), (), StoredAction("A", Behaviour.PERMIT)),
    ],
)  # fmt: skip
def test_actions(action: str, offers: tuple[Offer, ...], expected: StoredAction) -> None:
    """The action's GUID tells what it does; an offer without algorithms is soft."""
    export = Export()
    export.action(1, "A", action, *offers)
    assert expected == applied(export.text)[0].filter_actions["a"]


def test_addresses() -> None:
    """any, me, hosts, subnets and server types as spec 8.6 codes them."""
    host = ipaddress.IPv4Address("192.0.2.7")
    net = ipaddress.IPv4Address("255.255.255.0")
    made = filters_of(
        Filter1(ANY, ANY, ANY, EXACT),
        Filter1(host, EXACT, host, net),
        Filter1(ANY, EXACT, ANY, EXACT, special=1),
        Filter1(ANY, EXACT, ANY, EXACT, special=0x84),
    )
    assert [
        (AnyAddress(), Me()),
        (
            Prefix.of(ipaddress.IPv4Network("192.0.2.7/32")),
            Prefix.of(ipaddress.IPv4Network("192.0.2.0/24")),
        ),
        (Server(ServerKind.DNS), Me()),
        (Me(), Server(ServerKind.GATEWAY)),
    ] == [(one.source, one.destination) for one in made]


def test_a_name_is_one_filter() -> None:
    """Windows keeps a filter for each address of a name; here the name has all of them."""
    (made,) = filters_of(
        me_to("192.0.2.2", destination_name="www.example.com"),
        me_to("192.0.2.1", destination_name="WWW.example.com"),
    )
    expected = DnsName(
        "www.example.com",
        (ipaddress.IPv4Address("192.0.2.1"), ipaddress.IPv4Address("192.0.2.2")),
    )
    assert expected == made.destination


def test_a_filter_that_cannot_be_meant() -> None:
    """It is named, and the others of its list are imported."""
    export = Export()
    export.filters(
        1,
        "L",
        me_to("192.0.2.1", "255.0.255.0"),
        me_to("192.0.2.1", protocol=300),
        me_to("192.0.2.1", protocol=1, destination_port=7),
        me_to("192.0.2.1", special=9),
        me_to("192.0.2.1"),
    )
    content, result = applied(export.text)
    assert len(content.filter_lists["l"].filters) == 1
    assert [one.why.partition(":")[0] for one in result.untranslated] == [
        "filter 1",
        "filter 2",
        "filter 3",
        "filter 4",
    ]


def test_two_names_alike() -> None:
    """Windows allows them, a store here does not."""
    export = Export()
    for number in (1, 2, 3):
        export.filters(number, "Same" if number < 3 else "SAME", me_to("192.0.2.1"))
        export.action(number, "Same", BLOCK)
        export.rule(number, "Same", number, number)
        export.policy(number, "Same", [1, 2, 3])
    content, result = applied(export.text)
    assert not result.failed
    assert list(content.policies) == ["same", "same (2)", "same (3)"]
    assert list(content.filter_lists) == ["same", "same (2)", "same (3)"]
    rules = content.policies["same"].rules
    assert [(rule.name, rule.filter_list) for rule in rules] == [
        ("Same", "Same"),
        ("Same (2)", "Same (2)"),
        ("Same (3)", "SAME (3)"),
    ]


def test_names_stay_on_one_line() -> None:
    """A name cannot break or fake a line of a log."""
    export = Export()
    export.filters(1, "a\n\tb\u2028c", me_to("192.0.2.1", description="x\r\ny"))
    (one,) = applied(export.text)[0].filter_lists.values()
    assert one.name == "a b c"
    assert one.filters[0].description == "x y"


def test_dangling_references_are_named_by_line() -> None:
    """They are not understood: nobody knows what the store was that they come from."""
    export = Export()
    export.filters(1, "L", me_to("192.0.2.1"))
    export.action(2, "A", BLOCK)
    export.rule(3, "good", 2, 1)
    export.rule(4, "no list", 2, 44)
    export.rule(5, "no action", 44, 1)
    export.rule(6, "orphan", 2, 1)
    export.policy(7, "P", [3, 4, 5, 45])
    export.assign(44)
    content, result = applied(export.text)
    assert [rule.name for rule in content.policies["p"].rules] == ["good"]
    assert content.assigned is None
    assert not result.failed
    lines = export.text.split("\n")
    for failure in result.untranslated:
        assert lines[failure.line - 1].strip() == failure.text
        assert failure.file == "x.reg"
    whys = "\n".join(one.why for one in result.untranslated)
    assert f"expected a filter list that was imported, not {guid(44).upper()}" in whys
    assert f"expected a filter action that was imported, not {guid(44).upper()}" in whys
    assert f"expected a rule of the file, not {guid(45).upper()}" in whys
    assert f"expected a policy that names the rule {guid(6).upper()}" in whys
    assert (
        f"no policy assigned: expected a policy that was imported, not {guid(44).upper()}" in whys
    )


def test_damaged_values_are_untranslated() -> None:
    """The message has the byte; the rules that needed the lists are named, too."""
    text = whole().text.replace("b5,20,dc,80", "b5,20,dc,81")
    content, result = applied(text)
    damaged, rules = result.untranslated[:2], result.untranslated[2:]
    assert all("byte 0: expected {80dc20b5-" in one.why for one in damaged)
    assert not content.filter_lists
    assert [one.why.partition(":")[0] for one in rules] == ["rule not imported"] * 2
    assert not result.failed
    assert content.policies["packet filters"].rules == ()


@pytest.mark.parametrize("assigned", [True, False])
def test_an_export_that_is_cut_off(assigned: bool) -> None:
    """Wherever it ends: what is left must not count for the whole."""
    export = Export()
    export.filters(1, "All traffic", me_to("0.0.0.0", "0.0.0.0"))
    export.action(3, "Block", BLOCK)
    export.rule(6, "Block all", 3, 1)
    export.rule(7, "Block it again", 3, 1)
    export.policy(9, "P", [6, 7])
    if assigned:
        export.assign(9)
    lines = export.text.split("\n")
    first = next(number for number, line in enumerate(lines) if "ipsecNFA" in line)
    whole = applied(export.text)[0]
    for number in range(first + 1, len(lines)):
        content, result = applied("\n".join([*lines[:number], ""]))
        assert result.untranslated or content == whole


def test_lines_that_were_not_read_are_passed_on() -> None:
    """What the text's reader named is among the untranslated."""
    _, result = applied(f"{whole().text}\n[{LOCAL}\\nonsense]\nwhat?\n")
    assert ["what?", f"[{LOCAL}\\nonsense]"] == [one.text for one in result.untranslated]


def test_nothing_of_ipsec() -> None:
    """A file without any known key is a mistake, not an empty import."""
    _, result = applied(f'{HEADER}\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"a"="b"')
    assert "expected a key of an IPSec policy store" in result.untranslated[0].why


def test_other_keys_are_counted() -> None:
    """Parts of a larger export that are none of ours are left out, and said."""
    _, result = applied(f'{whole().text}\n[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"a"="b"')
    assert result.notes == ("1 other key of the registry, no part of a policy store, not imported",)


def test_the_service_key() -> None:
    """The driver's properties are set, and deleted values unset."""
    to = workspace()
    to.properties = Properties(ipsecdiagnostics=7, ikelogging=1)
    _, result = applied(
        f'{HEADER}\n[{SERVICE}]\n"NoDefaultExempt"=dword:00000001\n"OperationMode"=dword:00000003\n'
        '"EnableDiagnostics"=-\n"Start"=dword:00000001\n',
        to,
    )
    assert Applied() == result
    assert Properties(ipsecexempt=1, bootmode="stateful", ikelogging=1) == to.properties


@pytest.mark.parametrize("value", ['"OperationMode"=dword:2', '"NoDefaultExempt"="1"'])
def test_a_service_value_that_is_none(value: str) -> None:
    """2 is no mode, and text is no number (spec 6.1)."""
    to = workspace()
    _, result = applied(f"{HEADER}\n[{SERVICE}]\n{value}\n", to)
    assert Properties() == to.properties
    assert [value] == [one.text for one in result.failed]


def test_deleting_the_store_first() -> None:
    """Exports that begin with a deletion replace what was there."""
    to = workspace()
    applied(whole().text, to)
    other = Export()
    other.lines.insert(1, f"[-{LOCAL}]")
    other.policy(1, "Other", [])
    content, result = applied(other.text, to)
    assert Applied() == result
    assert list(content.policies) == ["other"]
    assert content.assigned is None


def test_deleting_objects() -> None:
    """Single objects and the assignment can be deleted; what is used stays, and is named."""
    to = workspace()
    applied(whole().text, to)
    lines = [
        HEADER,
        f"[-{LOCAL}\\ipsecFilter{guid(2)}]",
        f"[-{LOCAL}\\ipsecFilter{guid(1)}]",
        f"[-{LOCAL}\\ipsecNFA{guid(7)}]",
        f"[{LOCAL}]",
        '"ActivePolicy"=-',
    ]
    content, result = applied("\n".join(lines), to)
    assert content.assigned is None
    assert list(content.filter_lists) == ["all traffic"]
    assert len(content.policies["packet filters"].rules) == 1
    assert [one.line for one in result.failed] == [3]


def test_the_assignment_alone() -> None:
    """A file may only name the policy to assign, by the path of one that is there."""
    to = workspace()
    text = whole().text
    applied(text.replace('"ActivePolicy"', '"Other"'), to)
    line = text_value("ActivePolicy", path("Policy", 9))
    content, _ = applied(f"{HEADER}\n[{LOCAL}]\n{line}\n", to)
    assert content.assigned == "packet filters"
