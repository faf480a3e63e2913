"""Abbreviations, tags, values without a tag, and blanks (spec 8.1)."""

from __future__ import annotations

import pytest

from ipsecfd.policy.model import TCP, AnyAddress, Filter, Me

from . import content, refused, session


@pytest.mark.parametrize(
    "line",
    [
        "add policy name=P description=d assign=yes",
        "ADD POLICY NAME=P DESCRIPTION=d ASSIGN=YES",
        "add pol name=P desc=d assi=y",
        "add policy name = P description =d assign= Y",
        "add policy P d assign=y",
        "add policy P assign=y d",
        'add policy "name=P" "description=d" assign="yes"',
        'add policy "name = P" "description =d" assign="yes"',
        'add policy assign = "yes" "P" "d"',
        "a policy P d no 0 480 yes 180 yes",
        "netsh ipsec static add policy name=P description=d assign=yes",
        r"C:\WINDOWS\system32\NETSH.EXE ipsec static add policy name=P description=d assign=yes",
        "ipsec static add policy name=P description=d assign=yes",
        "static add policy name=P description=d assign=yes",
        'netsh -c "ipsec static" add policy name=P description=d assign=yes',
        "netsh ips st add policy name=P description=d assign=yes",
    ],
)
def test_one_command_in_many_forms(line: str) -> None:
    """Case, unambiguous prefixes, blanks round `=`, quotes and order make no difference."""
    one = session()
    reply = one.execute(line)
    assert (reply.failed, reply.text, reply.done) == (False, "", False)
    assert list(content(one).policies) == ["p"]
    assert content(one).policies["p"].description == "d"
    assert content(one).assigned == "p"


def test_values_without_tags_fill_in_syntax_order() -> None:
    """A value without a tag is for the first tag not given before it (spec 8.1)."""
    one = session('add filter L any me "a b" protocol=tcp no 32 dstport=80 32 7')
    assert content(one).filter_lists["l"].filters == (
        Filter(AnyAddress(), Me(), 7, 80, TCP, False, "a b"),
    )
    assert content(one).filter_lists["l"].filters[0].description == "a b"


def test_trailing_word_is_the_description() -> None:
    """A trailing word after tagged arguments becomes the description (spec 8.1)."""
    one = session('add filterlist name="Domain Controllers" "all of them"')
    assert content(one).filter_lists["domain controllers"].description == "all of them"


def test_trailing_word_makes_no_tunnel() -> None:
    """Nor does it rename anything: behind tags it is the description; without, the order counts."""
    one = session(
        "add filterlist L",
        "add filteraction B",
        "add policy P",
        "add rule name=R policy=P filterlist=L filteraction=B word",
        "add rule S P L B 192.0.2.9",
        "set rule name=S policy=P word",
    )
    rules = content(one).policies["p"].rules
    assert [(it.name, it.tunnel, it.description) for it in rules] == [
        ("R", "", "word"),
        ("S", "192.0.2.9", "word"),
    ]


def test_empty_values() -> None:
    """A tag whose value is left out is empty, and the tag behind it is not its value."""
    one = session("add policy name=P description= assign=y", 'add filterlist L description=""')
    assert content(one).policies["p"].description == ""
    assert content(one).assigned == "p"
    assert content(session("add policy P description= =")).policies["p"].description == "="


def test_a_question_mark_as_a_value() -> None:
    """In quotes, a question mark is no call for help."""
    assert content(session('add policy P "?"')).policies["p"].description == "?"
    assert not content(session("add policy P ?")).policies


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("add policy name=P foo=1", 'has no tag "foo"'),
        ("add policy name=P name=Q", "given twice"),
        ("add policy P name=Q", "given twice"),
        ("add policy name=P mm=1", "mmpfs, mmlifetime, mmsecmethods"),
        ("add rule R P filter=L B", "filterlist, filteraction"),
        ('add policy "naem=P"', 'has no tag "naem"'),
        ("add policy =P", "before the ="),
        ("add filterlist a b c", "one value more"),
        ("add", "Commands"),
        ("add foo name=x", "cannot be used with add"),
        ("add filt L", "filterlist, filter, filteraction"),
        ("d policy P", "delete, dump"),
        ("frobnicate", "not found"),
        ("delete policy name=P all", "exclude each other"),
        ("delete policy", "name or all"),
        ("show policy all all", "given twice"),
        ("delete policy all=yes", 'no tag "all"'),
    ],
)
def test_lines_that_are_no_commands(line: str, why: str) -> None:
    """An unknown, ambiguous or repeated word is an error that names it; nothing is changed."""
    one = session("add filteraction B", "add filterlist L")
    if line == "add":
        assert why in one.execute(line).text
    else:
        assert why in refused(one, line)


@pytest.mark.parametrize(
    ("line", "understood"),
    [
        ("add policy foo=1", False),
        ("frobnicate", False),
        ("firewall set opmode disable", False),
        ("add policy P name=P", False),
        ("delete policy nope", True),
        ("add filter L nowhere.example me", True),
        ("add filter L me any dstport=99999", True),
        ("add rule R P L", True),
    ],
)
def test_what_windows_would_have_refused_is_understood(line: str, *, understood: bool) -> None:
    """A command that only fails is told from a line that is none, for importers."""
    reply = session().execute(line)
    assert reply.failed
    assert reply.understood is understood


def test_words_of_a_shell() -> None:
    """Arguments that a shell has split need no quotes, and may hold quote marks."""
    one = session()
    arguments = ["ipsec", "static", "add", "policy", 'name=say "a b"', "description=", "assign=y"]
    assert not one.execute_arguments(arguments).failed
    assert content(one).policies['say "a b"'].description == ""
    assert content(one).assigned == 'say "a b"'


@pytest.mark.parametrize("name", ["Пакеты", "封鎖 連接埠", "O'Neil", "x" * 255, "a\u3000b", "ä=ö"])
def test_names(name: str) -> None:
    """A name may be in any script, have blanks and apostrophes, and 255 characters."""
    one = session(f'add policy name="{name}"', f'set policy name="{name.upper()}" assign=y')
    (made,) = content(one).policies.values()
    assert made.name == name
    assert content(one).assigned is not None


def test_errors_are_one_short_line() -> None:
    """Whatever was typed, the error is one line that a terminal can take."""
    text = refused(session(), f'set policy "{"x" * 200}\x1b[31m" assign=y')
    assert text.isprintable()
    text = refused(session(), f"add filter L {'9' * 100_000} me")
    assert len(text) < 700
