"""netsh with any text: always a reply, and a command that fails changes nothing."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.netsh.completion import complete
from ipsecfd.policy.netsh.contexts import DYNAMIC, STATIC
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.netsh.words import quoted, split, unescaped
from ipsecfd.policy.reply import Reply
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace

SETUP = (
    "ipsec static",
    "add policy P",
    "add filter L me any",
    "add filteraction B action=block",
    "add rule R P L B",
    "netsh ipsec dynamic add mmpolicy M",
    "netsh ipsec dynamic add qmpolicy Q",
    "netsh ipsec dynamic add rule any me M Q",
)


def resolve(name: str) -> tuple[IPAddress, ...]:
    if len(name) % 2:
        raise GrammarError(name, "expected a DNS name that resolves")
    return (ipaddress.ip_address("192.0.2.80"),)


def session(profile: str = "linux") -> Session:
    one = Session(Workspace(resolve, dynamic=DynamicDraft(), profile=profile, clock=lambda: 0.0))
    for line in SETUP:
        reply = one.execute(line)
        assert not reply.failed, reply.text
    return one


def snapshot(one: Session) -> object:
    workspace = one.state.workspace
    assert workspace.dynamic is not None
    return (
        {store: draft.content() for store, draft in workspace.stores.items()},
        workspace.dynamic.content(),
        workspace.properties,
        one.store,
        one.batch,
        one.context.path,
    )


def check(one: Session, line: str) -> Reply:
    before = snapshot(one)
    reply = one.execute(line)
    if reply.failed:
        assert reply.text.startswith("ERR ")
        assert reply.text.isprintable()
        assert snapshot(one) == before
    for draft in one.state.workspace.stores.values():
        draft.content().assigned_policy()
    return reply


values = st.sampled_from(
    [
        *("me", "any", "WINS", "0.0.0.0", "10.0.0.1", "10.0.0.0/8", "10.0.0.1-10.0.0.9", "::1"),
        *("[10.0.0.1]", "[::1]:80", "www.example.com", "a.example", "24", "32", "0", "128"),
        *("255.255.255.0", "255.0.255.0", "tcp", "UDP", "icmp", "80", "65536", "yes", "n", "maybe"),
        *("permit", "block", "negotiate", "lan", "dialup", "P", "L", "B", "R", "M", "Q", "Permit"),
        *("1", "2", "99999999999", "local", "persistent", "domain", "enable", "disable", "win2k"),
        *("ipsecexempt", "bootmode", "stateful", "none", "tcp:0:1:inbound", '"a b"', '""', '"'),
        *("{00000000-0000-0000-0000-000000000000}", r"\'", "=", "?", "all", "default", "²"),
    ]
) | st.text(max_size=12)
commands = st.sampled_from([*STATIC.commands, *DYNAMIC.commands])


@st.composite
def lines(draw: st.DrawFn) -> str:
    """A command with tags of its own and of others, in any order, with any values."""
    command = draw(commands)
    context = "static" if command in STATIC.commands else "dynamic"
    tags = [tag.name for tag in command.tags] or ["name"]
    words = [
        draw(st.sampled_from(["{1}", "{0}={1}", "{0} = {1}", "{0}=", '"{0}={1}"'])).format(
            draw(st.sampled_from(tags)), draw(values)
        )
        for _ in range(draw(st.integers(0, 6)))
    ]
    # Those of show and dump print much; what they are given is parsed all the same.
    return " ".join(["netsh ipsec", context, command.name, *words])


@given(st.lists(lines(), max_size=8), st.sampled_from(["linux", "win2000", "vista"]))
def test_commands_with_any_values(typed: list[str], profile: str) -> None:
    """Whatever values the tags get: a reply, and nothing changed by a failure."""
    one = session(profile)
    for line in typed:
        check(one, line)


@given(st.lists(st.text(max_size=60), max_size=5))
def test_any_text(typed: list[str]) -> None:
    """Whatever is typed: a reply, and nothing changed by a failure."""
    one = session()
    for line in typed:
        check(one, line)


@given(lines(), st.integers(0, 200), st.integers(0, 3), st.text(max_size=3))
def test_damaged_commands(line: str, place: int, cut: int, put: str) -> None:
    """A command that was damaged anywhere is carried out or refused."""
    check(session(), line[:place] + put + line[place + cut :])


@given(st.text())
def test_quoted_values_are_read_back(value: str) -> None:
    """Any value can be written as one word, if it has no end of line."""
    (word,) = split(f"name={quoted(value)}")
    assert unescaped(word.text[word.equals + 1 :]) == value


@given(lines() | st.text(max_size=40), st.integers(0, 80))
def test_completion_of_any_text(line: str, length: int) -> None:
    """Completion of any text offers words and changes nothing."""
    one = session()
    before = snapshot(one)
    for word in complete(one, line[:length]):
        assert word
    assert snapshot(one) == before


@given(st.text(min_size=1, max_size=255))
def test_any_name(name: str) -> None:
    """A name is refused, or kept as written and found again in any case."""
    one = session()
    if check(one, f"add policy name={quoted(name)}").failed:
        return
    made = one.state.workspace.stores[Store.LOCAL].policy(name)
    assert made.name == name
    assert not check(one, f"set policy name={quoted(name)} assign=yes").failed
