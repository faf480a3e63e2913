"""A store written in any form and read again is the same store."""

from __future__ import annotations

from dataclasses import replace
from operator import attrgetter

from hypothesis import given

from ipsecfd.policy.export import export
from ipsecfd.policy.export.exported import Exported
from ipsecfd.policy.ipseccmd.commands import run
from ipsecfd.policy.ipseccmd.lines import split_line
from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.model import Policy, Store
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.scripts.importing import import_files
from ipsecfd.policy.stores import reader as storereader
from ipsecfd.policy.stores.content import Content, name_key
from ipsecfd.policy.workspace import Workspace
from tests.property.stores import contents, ipseccmd_contents, resolve


def by_netsh(text: str) -> Content:
    """What the script makes of an empty store; no line of it fails."""
    workspace = Workspace(resolve)
    session = Session(workspace)
    for line in text.split("\n"):
        reply = session.execute(line)
        assert not reply.failed, f"{line}: {reply.text}"
        assert not reply.text
    return workspace.stores[Store.LOCAL].content()


@given(contents())
def test_toml(content: Content) -> None:
    """TOML holds everything."""
    exported = export(content, "toml")
    assert exported.notes == ()
    assert content == storereader.parse(exported.text, "s.toml")


@given(contents())
def test_netsh(content: Content) -> None:
    """What netsh can make, its script makes again, names of DNS asked anew."""
    exported = export(content, "netsh")
    assert all("resolved anew" in note for note in exported.notes)
    assert content == by_netsh(exported.text)


def by_ipseccmd(text: str) -> Content:
    """What the commands make of an empty store; none of them fails."""
    workspace = Workspace(resolve)
    for line in text.split("\n"):
        words = split_line(line)
        if words and words[0] != "REM":
            assert words[0] == "ipseccmd"
            reply = run(words[1:], workspace)
            assert not reply.failed, f"{line}: {reply.text}"
    return workspace.stores[Store.LOCAL].content()


@given(ipseccmd_contents())
def test_ipseccmd(content: Content) -> None:
    """What ipseccmd can make, its commands make again."""
    exported = export(content, "ipseccmd")
    assert all("resolved anew" in note for note in exported.notes)
    assert content == by_ipseccmd(exported.text)


@given(contents())
def test_ipseccmd_says_what_it_does_not_write(content: Content) -> None:
    """Its commands work, whatever the store; whatever they do not make of it is in a note."""
    exported = export(content, "ipseccmd")
    assert all(note.isprintable() for note in exported.notes)
    made = by_ipseccmd(exported.text)
    assert exported.notes or content == made
    for key, policy in content.policies.items():
        what = f"policy '{policy.name}'"
        if key not in made.policies:
            assert noted(exported, f"{what}: not written")
            continue
        assert (key == made.assigned) == (key == content.assigned)
        check_rules(what, content.compiled(policy), made.compiled(made.policies[key]), exported)
    assert set(made.policies) <= set(content.policies)


def check_rules(what: str, wanted: Policy, made: Policy, exported: Exported) -> None:
    """The rules that were made judge like those wanted, but for what notes name."""
    left = {name_key(rule.name): rule for rule in made.rules}
    for rule in wanted.rules:
        place = f"rule '{rule.name}' of {what}"
        found = left.pop(name_key(rule.name), None)
        if not rule.active or found is None:
            assert found is None
            assert noted(exported, place, "not written")
            continue
        for field in ("action.inbound", "action.outbound", "connection"):
            assert attrgetter(field)(rule) is attrgetter(field)(found)
        filters, those = (
            {
                replace(one, description="", mirrored=each.mirrors(one)): one
                for one in each.filter_list.filters
            }
            for each in (rule, found)
        )
        assert those.keys() <= filters.keys()
        for lost in filters.keys() - those.keys():
            assert noted(exported, place, str(filters[lost]), "not written")
    assert not left


def noted(exported: Exported, place: str, *words: str) -> bool:
    """Whether a note about this place has these words."""
    return any(
        note.startswith(printable(place)) and all(printable(word) in note for word in words)
        for note in exported.notes
    )


@given(contents())
def test_whole_files(content: Content) -> None:
    """An export is a file that `ipsecfd import` takes for what it is."""
    workspace = Workspace(resolve)
    result = import_files([("s.txt", export(content, "netsh").text.encode())], workspace)
    assert (result.failed, result.untranslated) == ((), ())
    assert workspace.stores[Store.LOCAL].content() == content


@given(ipseccmd_contents())
def test_whole_files_of_ipseccmd(content: Content) -> None:
    """A file of its commands is taken for one, too; nothing in it means anything to cmd."""
    workspace = Workspace(resolve)
    result = import_files([("s.cmd", export(content, "ipseccmd").text.encode())], workspace)
    assert result.failed == ()
    assert not content.policies or result.untranslated == ()
    assert workspace.stores[Store.LOCAL].content() == content
