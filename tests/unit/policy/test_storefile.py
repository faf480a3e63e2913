"""A store's file: reads like a policy file, holds everything, and is refused whole when damaged."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path

import pytest

from ipsecfd.policy.model import (
    ICMP,
    TCP,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    Me,
    Server,
    ServerKind,
)
from ipsecfd.policy.stores.content import (
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
from ipsecfd.policy.stores.file import StoreFileError, is_store, parse, read, render, write
from tests.builders import generic

WWW = DnsName(
    "WWW.example.com",
    (ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")),
)


def full_content() -> Content:
    """A store in which nothing has its default."""
    draft = Draft()
    draft.add_filter_list(
        StoredList(
            "Web",
            (
                generic("any <-> me:80 tcp"),
                generic("[2001:db8::/32]:443 -> me tcp"),
                generic("10.0.0.5-10.0.0.9 <-> me 47"),
                Filter(WWW, Me(), 0, 21, TCP, mirrored=False, description='the "FTP"\nof old'),
                Filter(Me(), Server(ServerKind.DNS)),
            ),
            "lists too",
            "{LIST}",
            1_000_000_000,
        )
    )
    draft.add_filter_action(
        StoredAction(
            *("Ask", Behaviour.NEGOTIATE, True, True, True),
            *("ESP[3DES,SHA1]", "asks", "{ACTION}", 1_000_000_001),
        )
    )
    rule = StoredRule(
        *("in", "WEB", "ask", "the rule", False, Connection.DIALUP, "192.0.2.99"),
        (Authentication("psk", "s3cr#t \\ \x7f"), Authentication("rootca", "CN=Root, O='x'")),
        "{RULE}",
        1_000_000_002,
    )
    draft.add_policy(
        StoredPolicy(
            *("Packet Filters", "first\r\nsecond\tline", (rule,), 60, True, 5, 120, "DES-MD5-1"),
            DefaultRule(False, True, "AH[MD5]", ()),
            *("{POLICY}", 1_000_000_003),
        )
    )
    draft.assign("Packet Filters")
    return draft.content()


def identities(content: Content) -> list[tuple[str, int]]:
    """What comparing two stores leaves out."""
    objects: list[StoredPolicy | StoredRule | StoredList | StoredAction] = [
        *content.policies.values(),
        *(rule for policy in content.policies.values() for rule in policy.rules),
        *content.filter_lists.values(),
        *content.filter_actions.values(),
    ]
    return [(one.guid, one.modified) for one in objects]


def test_everything_comes_back() -> None:
    """Every field, identities and dates included, and DNS names without asking anybody."""
    content = full_content()
    again = parse(render(content), "local.toml")
    assert again == content
    assert identities(again) == identities(content)


def test_an_empty_store_comes_back() -> None:
    """Nothing is a store, too."""
    assert parse(render(Content()), "local.toml") == Content()


def test_what_it_looks_like() -> None:
    """As a policy file: an administrator can read it, and keys with their defaults are left out."""
    draft = Draft()
    described = Filter(AnyAddress(), Me(), protocol=ICMP, description="ping")
    draft.add_filter_list(StoredList("web", (generic("any <-> me:80 tcp"), described), guid="{1}"))
    draft.add_filter_action(StoredAction("Permit", Behaviour.PERMIT, guid="{2}"))
    draft.add_policy(StoredPolicy("Packet Filters", guid="{3}", modified=1_000_000_000))
    draft.add_rule("Packet Filters", StoredRule("in", "web", "Permit", guid="{4}"))
    draft.assign("Packet Filters")
    assert render(draft.content(), "The local store.\nOf ipsecfd.") == (
        """\
# The local store.
# Of ipsecfd.
version = 1
assigned = "Packet Filters"

[[policy]]
name = "Packet Filters"
guid = "{3}"
modified = 2001-09-09T01:46:40Z

[[policy.rule]]
name = "in"
action = "Permit"
filter_list = "web"
guid = "{4}"

[[filter_list]]
name = "web"
guid = "{1}"
filters = [
  "any <-> me:80 tcp",
  { source = "any", destination = "me", protocol = "icmp", description = "ping" },
]

[[filter_action]]
name = "Permit"
type = "permit"
guid = "{2}"
"""
    )


def test_hand_written_stores_get_identities() -> None:
    """Guid and date may be left out."""
    text = 'version = 1\n[[filter_action]]\nname = "Block"\ntype = "block"\n'
    action = parse(text, "local.toml").filter_actions["block"]
    assert (action.behaviour, action.modified, len(action.guid)) == (Behaviour.BLOCK, 0, 38)


HEAD = """version = 1
[[filter_list]]
name = "web"
filters = ["any <-> me:80 tcp"]
[[filter_action]]
name = "Permit"
type = "permit"
[[policy]]
name = "p"
"""
RULE = '[[policy.rule]]\nname = "r"\naction = "permit"\nfilter_list = "WEB"\n'


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "version: missing; expected the version of the file's format"),
        ("version = 1\nassigned", "line 2: not TOML: expected"),
        ("version = 2", 'version: "2": expected 1; another version of ipsecfd wrote this'),
        ("version = 1\nversion = 1", "line 2"),
        ('version = 1\nassigned = "p"', 'assigned: "p": unknown policy; there is none'),
        ('version = 1\nassigned = ["a", "b"]', "assigned: expected the name"),
        ("version = 1\nasigned = 1", '"asigned": unknown key; did you mean "assigned"?'),
        (HEAD + "guid = 1", 'policy[1].guid: "1": expected the identity'),
        (HEAD + "modified = 2001-09-09", '.modified: "2001-09-09": expected a date and time'),
        (HEAD + "modified = 2001-09-09T01:46:40", '"2001-09-09 01:46:40": expected a date'),
        (HEAD + '[[policy]]\nname = "P"', 'policy[2].name: "P": expected a name that is not taken'),
        (HEAD + RULE + RULE, 'policy[1].rule[2].name: "r": expected a name that is not taken yet'),
        (HEAD + RULE.replace("WEB", "wep"), 'policy[1].rule[1].filter_list: "wep": unknown filter'),
        (HEAD + RULE.replace("permit", "b"), 'policy[1].rule[1].action: "b": unknown filter actio'),
        (HEAD + RULE + 'connection = "wifi"', 'policy[1].rule[1].connection: "wifi": expected'),
        (HEAD + RULE + 'authentication = [{ kind = "x" }]', "authentication[1].kind"),
        (HEAD + "[policy.default_rule]\nactive = 1", '.default_rule.active: "1": expected true'),
        (HEAD.replace('"any <-> me:80 tcp"', '"any -> me:80"'), "filter_list[1].filters[1]: "),
        (HEAD.replace('"any <-> me:80 tcp"', "1"), "filter_list[1].filters[1]: expected a filter"),
        (HEAD.replace("any <->", "www <->"), '"www": expected its addresses'),
        (
            HEAD.replace('"any <-> me:80 tcp"', '{ source = "www", destination = "me" }'),
            'filter_list[1].filters[1]: "www": expected its addresses',
        ),
        (
            HEAD.replace(
                '"any <-> me:80 tcp"',
                '{ source = "www", destination = "me", source_addresses = [] }',
            ),
            '"www": expected at least one address of this name',
        ),
        (
            HEAD.replace(
                '"any <-> me:80 tcp"',
                '{ source = "any", destination = "me", source_addresses = ["192.0.2.1"] }',
            ),
            '"any": expected a DNS name',
        ),
        (
            HEAD.replace(
                '"any <-> me:80 tcp"', '{ source = "any", destination = "me", protocol = 256 }'
            ),
            "expected a protocol",
        ),
    ],
)
def test_damage_is_refused_with_its_place(text: str, mistake: str) -> None:
    """File, place, offending text and what was expected."""
    with pytest.raises(StoreFileError) as refused:
        parse(text, "local.toml")
    assert str(refused.value).startswith("local.toml: ")
    assert mistake in str(refused.value)


def test_a_mistake_makes_no_others() -> None:
    """A rule may use a list that is itself refused; all mistakes come at once."""
    text = HEAD.replace("me:80", "me:99999").replace('"permit"', '"allow"') + RULE
    with pytest.raises(StoreFileError) as refused:
        parse(text, "local.toml")
    places = [mistake.place for mistake in refused.value.mistakes]
    assert places == ["filter_list[1].filters[1]", "filter_action[1].type"]


def test_stores_and_policy_files_are_told_apart() -> None:
    """An import takes either."""
    assert is_store(render(Content()))
    assert not is_store('name = "p"\n')
    assert not is_store("add policy name=p")


def test_a_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    """And only root may read it: it can hold keys."""
    path = tmp_path / "local.toml"
    write(path, full_content(), "The local store.")
    assert read(path) == full_content()
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("filters", "mistake"),
    [
        (Filter(Me(), AnyAddress(), 80), 'filter_list[1].filters[1]: "me:80 <-> any": not writ'),
        (Filter(Me(), DnsName("any", WWW.addresses)), "not written: "),
        (Filter(Me(), AnyAddress(), description="\ud800"), "not written: expected whole charact"),
    ],
)
def test_what_could_not_be_read_is_not_written(
    tmp_path: Path, filters: Filter, mistake: str
) -> None:
    """A good store never makes room for a bad one, whatever a draft was fed with."""
    path = tmp_path / "local.toml"
    write(path, full_content(), "")
    bad = Content(filter_lists={"bad": StoredList("bad", (filters,))})
    with pytest.raises(StoreFileError) as refused:
        write(path, bad, "")
    assert mistake in str(refused.value)
    assert read(path) == full_content()


@pytest.mark.parametrize("data", [b"\xff\xfev\0", b"version = \xff", b"version = 1\0"])
def test_other_bytes_are_refused(tmp_path: Path, data: bytes) -> None:
    """One clear line, whatever stands in the file."""
    path = tmp_path / "local.toml"
    path.write_bytes(data)
    with pytest.raises(StoreFileError, match=r"local\.toml: .*expected"):
        read(path)


def test_a_pipe_is_no_store(tmp_path: Path) -> None:
    """Reading it may never end."""
    path = tmp_path / "local.toml"
    os.mkfifo(path)
    with pytest.raises(StoreFileError, match=r"local\.toml: cannot be read: expected a plain file"):
        read(path)
