"""ipseccmd: filters written and read back, and any arguments at all."""

from __future__ import annotations

import ipaddress

from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.ipseccmd.commands import run
from ipsecfd.policy.ipseccmd.filters import FilterError, format_filter, parse_spec
from ipsecfd.policy.ipseccmd.lines import join_line, split_line
from ipsecfd.policy.mistakes import Mistake, PolicyError
from ipsecfd.policy.model import (
    TCP,
    UDP,
    AnyAddress,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
)
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace


def resolve(name: str) -> tuple[IPAddress, ...]:
    """Every name has an address of both families, except one."""
    if name == "nowhere.example":
        raise GrammarError(name, "expected a DNS name that resolves")
    return ipaddress.ip_address("192.0.2.1"), ipaddress.ip_address("2001:db8::1")


networks = st.builds(
    lambda address, bits: Prefix.of(ipaddress.IPv4Network((int(address), bits), strict=False)),
    st.ip_addresses(v=4),
    st.integers(0, 32),
)
names = st.from_regex(r"[a-z]([a-z0-9-]{0,20}[a-z0-9])?(\.[a-z]{2,3})?", fullmatch=True).map(
    lambda name: DnsName(name, resolve(name))
)
sides = st.one_of(st.just(AnyAddress()), st.just(Me()), networks, names)
ports = st.integers(0, 65535)
protocols = st.one_of(
    st.tuples(st.integers(0, 255), st.just(0), st.just(0)),
    st.tuples(st.sampled_from([TCP, UDP]), ports, ports),
)
filters = st.builds(
    lambda source, destination, rest, mirrored: Filter(
        source, destination, rest[1], rest[2], rest[0], mirrored
    ),
    sides,
    sides,
    protocols,
    st.booleans(),
)
texts = filters.map(format_filter).filter(lambda text: text is not None).map(str)


@given(filters)
def test_a_filter_reads_back_equal(one: Filter) -> None:
    """What is written means the filter; only words that mean something else are not written."""
    text = format_filter(one)
    if text is None:
        taken = (ipaddress.IPv4Network("0.0.0.0/0"), ipaddress.IPv4Network("0.0.0.0/32"))
        words = ("any", "me", "dns", "wins", "dhcp", "gateway")
        assert any(
            (isinstance(side, Prefix) and side.network in taken)
            or (isinstance(side, DnsName) and side.name in words)
            for side in (one.source, one.destination)
        )
        return
    assert one == parse_spec(text).filter(resolve)
    assert one == parse_spec(f"[{text.lower()}]").filter(resolve)


pieces = st.sampled_from(
    [
        *("0", "*", "=", "+", ":", "/", "[", "]", "(", ")", "{", "}", "-", ".", "DEFAULT", "80"),
        *("TCP", "icmp", "255", "10.0.0.0", "255.255.0.0", "10.0.*.*", "nowhere.example", "99999"),
    ]
)
damaged = st.tuples(texts, st.integers(0, 60), st.text(max_size=3)).map(
    lambda parts: f"{parts[0][: parts[1]]}{parts[2]}{parts[0][parts[1] + 1 :]}"
)
any_text = st.one_of(st.text(), st.lists(pieces).map("".join), damaged)


@given(any_text)
def test_any_text_is_a_filter_or_a_filter_error(text: str) -> None:
    """Nothing else comes out; the error's column is in the text or just behind it."""
    try:
        one = parse_spec(text).filter(resolve)
    except FilterError as error:
        refused = error
    else:
        written = format_filter(one)
        assert written is None or one == parse_spec(written).filter(resolve)
        return
    assert refused.expected
    assert 1 <= refused.column <= len(text) + 1


@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs"]))))
def test_a_line_is_cut_into_the_arguments_it_was_joined_from(arguments: list[str]) -> None:
    """Names with blanks, quotes and backslashes go through a command line unchanged."""
    assert arguments == split_line(join_line(arguments))


@given(st.text())
def test_any_line_is_cut(line: str) -> None:
    """Cutting never fails, and what was cut can be joined again."""
    words = split_line(line)
    assert words == split_line(join_line(words))


switches = st.sampled_from(
    [
        *("-f", "-n", "-t", "-a", "-soft", "-lan", "-dialup", "-1s", "-1k", "-1p", "-1f", "-1e"),
        *("-confirm", "-u", "-w", "-p", "-r", "-x", "-y", "-o", "-?", "-file", "show", "\\\\gate"),
        *("REG", "DS:example.com", "PERS", "P", "Q:30", "R", "BLOCK", "PASS", "ESP[3DES,SHA]"),
        *("10Q/60S", "3DES-SHA-2", "KERBEROS", "PRESHARE:x", "all", "filters", "DEFAULT"),
        *("*=0:80:TCP", "0+*", "[0=*]", "(0=*)", "0=nowhere.example", "*0=:80:TCP"),
    ]
)
good_rules = st.builds(
    lambda store, policy, rule, text, action, end: [
        *("-w", store, "-p", policy, "-r", rule, "-f", text),
        *("-n", action),
        *end,
    ],
    st.sampled_from(["REG", "DS", "PERS"]),
    st.sampled_from(["P", "Q:5", "p"]),
    st.sampled_from(["R", "S", "r"]),
    st.one_of(texts, st.just("0=nowhere.example")),
    st.sampled_from(["BLOCK", "PASS", "INPASS"]),
    st.sampled_from([[], ["-x"], ["-y"]]),
)
dynamic_rules = st.lists(
    st.sampled_from(["[*=0]", "(*=0)", "[0=*]", "*=0:80:TCP"]), min_size=1
).map(lambda specs: ["-f", *specs])
others = st.sampled_from([["-w", "REG", "-p", "P", "-o"], ["-w", "REG", "-p", "Q", "-x"], ["-u"]])
command_lines = st.one_of(
    st.lists(st.one_of(switches, st.text()), max_size=12),
    good_rules,
    dynamic_rules,
    others,
)


def state(workspace: Workspace) -> object:
    dynamic = workspace.dynamic
    contents = {store: draft.content() for store, draft in workspace.stores.items()}
    return contents, dynamic and dynamic.content()


def no_file(path: object) -> str:
    raise PolicyError([Mistake(str(path), "", "", "cannot be read")])


@given(st.lists(command_lines, max_size=12), st.booleans())
def test_any_arguments_are_answered_and_a_failure_changes_nothing(
    runs: list[list[str]], running: bool
) -> None:
    """Always a Reply; stores stay whole: every rule's list and action exist."""
    workspace = Workspace(resolve, dynamic=DynamicDraft() if running else None, host="gate")
    for arguments in runs:
        before = state(workspace)
        reply = run(arguments, workspace, read=no_file)
        assert reply.text
        if reply.failed:
            assert before == state(workspace)
        for draft in workspace.stores.values():
            content = draft.content()
            for policy in content.policies.values():
                content.compiled(policy)
            assert content.assigned is None or content.assigned in content.policies


@given(good_rules)
def test_the_same_run_again_changes_nothing(arguments: list[str]) -> None:
    """A rule is replaced by itself."""
    workspace = Workspace(resolve, dynamic=DynamicDraft())
    first = run(arguments, workspace)
    before = state(workspace)
    assert first == run(arguments, workspace)
    assert before == state(workspace)
