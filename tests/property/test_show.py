"""What `netsh ipsec ... show` prints as a list can be read back, whatever the store holds."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import TypeVar

from hypothesis import given, settings
from hypothesis import strategies as st

from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
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
from ipsecfd.policy.netsh import show
from ipsecfd.policy.netsh.layout import columns, table
from ipsecfd.policy.netsh.syntax import ShowRequest
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
    rule_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)
from ipsecfd.policy.workspace import Workspace

from .shown import read_content, read_dynamic

Named = TypeVar("Named", StoredPolicy, StoredList, StoredAction, MainModePolicy, QuickModePolicy)

texts = st.text(max_size=8) | st.sampled_from(
    [
        *("NONE", '"NONE"', " pad ", "a: b", "No. of Rules : 1", "\n", "a\nMirrored : YES", "\x85"),
        *("\\n", "\ud800", "\u2028x", "\u202egnp", "---------", "    KERBEROS", "\x00", "\u3000"),
    ]
)
names = texts.filter(bool)
addresses: st.SearchStrategy[Address] = st.one_of(
    st.sampled_from([AnyAddress(), Me(), *map(Server, ServerKind)]),
    st.builds(
        lambda address, bits: Prefix.of(ipaddress.ip_network((address, bits), strict=False)),
        st.ip_addresses(v=4),
        st.integers(0, 32),
    ),
    st.builds(
        lambda address, bits: Prefix.of(ipaddress.ip_network((address, bits), strict=False)),
        st.ip_addresses(v=6),
        st.integers(0, 128),
    ),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)).map(
        lambda ends: AddressRange(min(ends), max(ends))
    ),
    st.builds(
        DnsName,
        st.from_regex(r"[a-z0-9]{1,5}(\.[a-z]{2,3})?", fullmatch=True),
        st.lists(st.ip_addresses(), max_size=3).map(tuple),
    ),
)
ports = st.integers(0, 65535)
filters = st.builds(
    Filter, addresses, addresses, ports, ports, st.integers(0, 255), st.booleans(), texts
)
ways = st.lists(
    st.just(Authentication("kerberos"))
    | st.builds(Authentication, st.sampled_from(["psk", "rootca"]), texts),
    max_size=3,
).map(tuple)
lists_of_filters = st.builds(
    StoredList, names, st.lists(filters, max_size=3, unique=True).map(tuple), texts
)
filter_actions = st.builds(
    StoredAction,
    *(names, st.sampled_from(Behaviour), st.booleans(), st.booleans(), st.booleans()),
    *(texts, texts),
)


def distinct(of: st.SearchStrategy[Named], least: int = 0) -> st.SearchStrategy[list[Named]]:
    """Up to three objects with different names."""
    return st.lists(of, min_size=least, max_size=3, unique_by=lambda one: name_key(one.name))


def keyed(found: Sequence[Named]) -> dict[str, Named]:
    return {name_key(one.name): one for one in found}


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Any store at all, also what no command could have made."""
    lists, actions = draw(distinct(lists_of_filters, 1)), draw(distinct(filter_actions, 1))
    rules = st.lists(
        st.builds(
            StoredRule,
            texts,
            st.sampled_from([one.name for one in lists]),
            st.sampled_from([one.name for one in actions]),
            *(texts, st.booleans(), st.sampled_from(Connection), texts, ways),
        ),
        max_size=3,
        unique_by=rule_key,
    ).map(tuple)
    numbers = st.integers(0, 0xFFFFFFFF)
    policies = draw(
        distinct(
            st.builds(
                StoredPolicy,
                *(names, texts, rules, numbers, st.booleans(), numbers, numbers, texts),
                st.builds(DefaultRule, st.booleans(), st.booleans(), texts, ways),
                modified=st.integers(0, 1 << 40),
            )
        )
    )
    assigned = draw(st.sampled_from([None, *keyed(policies)]))
    return Content(keyed(policies), keyed(lists), keyed(actions), assigned)


@st.composite
def dynamic_contents(draw: st.DrawFn) -> DynamicContent:
    """Any dynamic store at all."""
    numbers = st.integers(0, 0xFFFFFFFF)
    rules = draw(
        st.lists(
            st.builds(
                DynamicRule,
                *(filters, st.sampled_from(Action), st.sampled_from(Action)),
                *(st.sampled_from(Connection), texts, texts, texts, ways),
            ),
            max_size=4,
            unique_by=lambda one: one.identity,
        )
    )
    return DynamicContent(
        keyed(draw(distinct(st.builds(MainModePolicy, names, numbers, numbers, numbers, texts)))),
        keyed(
            draw(
                distinct(
                    st.builds(
                        QuickModePolicy,
                        *(names, st.booleans(), st.sampled_from(["NOPFS", "GRP1"]), texts),
                    )
                )
            )
        ),
        {one.identity: one for one in rules},
    )


def workspace(content: Content, rules: DynamicContent | None = None) -> Workspace:
    made = Workspace(lambda _: (), dynamic=DynamicDraft(rules))
    made.stores[Store.LOCAL] = Draft(content)
    return made


@settings(deadline=None)
@given(contents())
def test_a_shown_store_reads_back_as_it_is(content: Content) -> None:
    """Names and texts of any characters, filters of any kind: nothing is lost or confused."""
    text = show.static(ShowRequest("all"), workspace(content), Store.LOCAL)
    assert read_content(text) == content


@settings(deadline=None)
@given(dynamic_contents())
def test_shown_dynamic_rules_read_back_as_they_are(rules: DynamicContent) -> None:
    """The dynamic rules and their policies, too."""
    on = workspace(Content(), rules)
    shown = [show.dynamic(ShowRequest(kind), on) for kind in ("rule", "mmpolicy", "qmpolicy")]
    assert read_dynamic(*shown) == rules


KINDS = st.sampled_from(["all", "policy", "filterlist", "filteraction", "rule"])


@settings(deadline=None)
@given(contents(), KINDS, st.sampled_from(["normal", "verbose"]), st.booleans())
def test_no_content_breaks_a_line_of_a_table(
    content: Content, kind: str, level: str, wide: bool
) -> None:
    """A table shows only what a terminal can take on a line."""
    request = ShowRequest(kind, level=level, format="table", wide=wide)
    text = show.static(request, workspace(content), Store.LOCAL)
    assert not any(one in text.replace("\n", "") for one in "\r\x1b\x85\u2028\u2029\u202e\0")
    assert text.splitlines() == text.split("\n")[:-1]


@given(
    st.lists(st.lists(st.text("aß漢\u0301 ", max_size=90), min_size=3, max_size=3), max_size=4),
    st.booleans(),
)
def test_tables_fit_the_screen_unless_wide(rows: list[list[str]], wide: bool) -> None:
    """Free text is cut so that a line has at most 80 columns, whatever the widths of characters."""
    lines = list(table(("One", "Two", "Three"), rows, cut=("One", "Two", "Three"), wide=wide))
    assert len(lines) == len(rows) + 2
    if wide:
        assert all(lines[at + 2].startswith(row[0].rstrip()) for at, row in enumerate(rows))
    else:
        assert all(columns(line) <= 80 for line in lines)
