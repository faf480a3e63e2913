"""Stores: any content comes back from its file, any damage is refused, and drafts keep count."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError, check_filter
from ipsecfd.policy.model import (
    Action,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Policy,
    Prefix,
    Rule,
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
    name_key,
    rule_key,
)
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.errors import StoreError
from ipsecfd.policy.stores.file import StoreFileError, parse, render
from ipsecfd.policy.stores.policyfile import merge, policy_to_draft


def no_dns(name: str) -> list[IPAddress]:
    raise OSError(-2, "Name or service not known")


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
NAMES = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255),
    st.sampled_from(['"', "'''", "a\nb", "\\", "[x]", "# no", "\x7f", "Straße", "ﬁ", "permit"]),
)
MOMENTS = st.integers(0, 253_402_300_799)
GUIDS = st.uuids().map(lambda one: f"{{{one}}}")
IPS = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6))
NETWORKS = st.one_of(
    st.builds(
        lambda value, bits: ipaddress.IPv4Network((value >> 32 - bits << 32 - bits, bits)),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda value, bits: ipaddress.IPv6Network((value >> 128 - bits << 128 - bits, bits)),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
)
PLAIN_ADDRESSES: st.SearchStrategy[Address] = st.one_of(
    st.just(AnyAddress()),
    st.just(Me()),
    NETWORKS.map(Prefix.of),
    st.tuples(st.ip_addresses(v=4), st.ip_addresses(v=4)).map(
        lambda two: AddressRange(*sorted(two))
    ),
    st.tuples(st.ip_addresses(v=6), st.ip_addresses(v=6)).map(
        lambda two: AddressRange(*sorted(two))
    ),
    st.sampled_from(ServerKind).map(Server),
)
DNS_NAMES = st.builds(
    DnsName,
    st.sampled_from(["www.example.com", "WWW.Example.COM", "a-b.example.", "x"]),
    st.lists(IPS, min_size=1, max_size=3).map(tuple),
)
ALL_ADDRESSES = st.one_of(PLAIN_ADDRESSES, DNS_NAMES)


def valid(one: Filter) -> bool:
    try:
        check_filter(one)
    except GrammarError:
        return False
    return True


def filters(addresses: st.SearchStrategy[Address]) -> st.SearchStrategy[Filter]:
    ports = st.one_of(st.just(0), st.integers(0, 65535))
    with_ports = st.builds(
        Filter, addresses, addresses, ports, ports, st.sampled_from([6, 17]), st.booleans(), TEXT
    )
    without = st.builds(
        Filter,
        *(addresses, addresses, st.just(0), st.just(0), st.integers(0, 255), st.booleans()),
        st.one_of(st.just(""), TEXT),
    )
    return st.one_of(with_ports, without).filter(valid)


AUTHENTICATION = st.lists(
    st.builds(Authentication, st.sampled_from(["kerberos", "psk", "rootca"]), TEXT), max_size=2
).map(tuple)
ACTIONS = st.builds(
    StoredAction,
    *(NAMES, st.sampled_from(Behaviour), st.booleans(), st.booleans(), st.booleans()),
    *(TEXT, TEXT, GUIDS, MOMENTS),
)


def lists(addresses: st.SearchStrategy[Address]) -> st.SearchStrategy[StoredList]:
    return st.builds(
        StoredList, NAMES, st.lists(filters(addresses), max_size=4).map(tuple), TEXT, GUIDS, MOMENTS
    )


def by_name(one: StoredList | StoredAction | StoredPolicy) -> str:
    return name_key(one.name)


@st.composite
def contents(
    draw: st.DrawFn,
    addresses: st.SearchStrategy[Address] = ALL_ADDRESSES,
) -> Content:
    """A store with up to three objects of each kind."""
    draft = Draft()
    for one in draw(st.lists(lists(addresses), min_size=1, max_size=3, unique_by=by_name)):
        draft.add_filter_list(one)
    for action in draw(st.lists(ACTIONS, min_size=1, max_size=3, unique_by=by_name)):
        draft.add_filter_action(action)
    rules = st.builds(
        StoredRule,
        st.one_of(st.just(""), NAMES),
        st.sampled_from([one.name for one in draft.filter_lists.values()]),
        st.sampled_from([one.name for one in draft.filter_actions.values()]),
        *(TEXT, st.booleans(), st.sampled_from(Connection), TEXT, AUTHENTICATION),
        *(GUIDS, MOMENTS),
    )
    policies = st.builds(
        StoredPolicy,
        *(NAMES, TEXT),
        st.lists(rules, max_size=4, unique_by=rule_key).map(tuple),
        *(st.integers(0), st.booleans(), st.integers(0), st.integers(0), TEXT),
        st.builds(DefaultRule, st.booleans(), st.booleans(), TEXT, AUTHENTICATION),
        *(GUIDS, MOMENTS),
    )
    for policy in draw(st.lists(policies, max_size=3, unique_by=by_name)):
        draft.add_policy(policy)
        if draw(st.booleans()):
            draft.assign(policy.name)
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


@given(contents())
def test_any_store_comes_back_from_its_text(content: Content) -> None:
    """Names in any script, quotes, line ends; identities and dates; order; DNS answers."""
    text = render(content, "A remark.")
    again = parse(text, "store.toml")
    assert again == content
    assert identities(again) == identities(content)
    assert list(again.policies) == list(content.policies)
    assert render(again, "A remark.") == text


@given(contents(), contents())
def test_merging_a_store_into_an_empty_one_copies_it(content: Content, other: Content) -> None:
    """And into any other one brings every policy with its meaning."""
    empty = Draft()
    merge(empty, content, assign=True)
    assert empty.content() == content
    full = Draft(other)
    merge(full, content, assign=True)
    merged = full.content()
    assert merged.assigned == (other.assigned if content.assigned is None else content.assigned)
    for key, policy in content.policies.items():
        assert merged.compiled(merged.policies[key]) == content.compiled(policy)


@given(contents(), st.data())
def test_a_damaged_text_is_another_store_or_refused(content: Content, data: st.DataObject) -> None:
    """Whatever is cut out, doubled or put in: no other error, and lines that can be printed."""
    text = render(content)
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = min(len(text), start + data.draw(st.integers(0, 30)))
        middle = data.draw(
            st.one_of(
                *(st.just(""), st.just(text[start:end] * 2), st.text(max_size=5)),
                st.sampled_from(["[", "]", "{", "}", '"', "=", "\n", "0", "true", "1e9", "'''"]),
            )
        )
        text = text[:start] + middle + text[end:]
    found = parsed(text)
    if isinstance(found, StoreFileError):
        assert found.mistakes
        assert str(found).replace("\n", "").isprintable()
    else:
        assert parse(render(found), "store.toml") == found


def parsed(text: str) -> Content | StoreFileError:
    try:
        return parse(text, "store.toml")
    except StoreFileError as error:
        return error


@given(contents())
def test_a_policy_put_into_another_store_means_the_same(content: Content) -> None:
    """The driver gets the same filters, actions and connections."""
    for policy in content.policies.values():
        meant = content.compiled(policy)
        draft = Draft()
        stored = policy_to_draft(draft, meant)
        assert enforced(draft.content().compiled(stored)) == enforced(meant)


def enforced(policy: Policy) -> list[tuple[Action, bool, Connection, str, set[Filter]]]:
    """What the driver sees of each rule."""
    return [
        (rule.action.inbound, rule.active, rule.connection, rule.description, keys(rule))
        for rule in policy.rules
    ]


def keys(rule: Rule) -> set[Filter]:
    """A rule's filters without what the driver does not look at."""
    return {replace(one, description="") for one in rule.filter_list.filters}


SHORT = st.sampled_from(["a", "b", "A"])
FILTERS = [Filter(AnyAddress(), Me(), protocol=number) for number in (1, 6, 17)]
CHANGES: st.SearchStrategy[tuple[str, Callable[[Draft], object]]] = st.one_of(
    st.builds(
        lambda name, rule: (
            f"add policy {name}",
            lambda draft: draft.add_policy(
                StoredPolicy(name, rules=(StoredRule("r", rule, rule),))
            ),
        ),
        *(SHORT, SHORT),
    ),
    st.builds(lambda n: (f"add policy {n}", lambda d: d.add_policy(StoredPolicy(n))), SHORT),
    st.builds(
        lambda n, m: (
            f"set policy {n} {m}",
            lambda d: d.set_policy(n, replace(d.policy(n), name=m)),
        ),
        *(SHORT, SHORT),
    ),
    st.builds(lambda n: (f"delete policy {n}", lambda d: d.delete_policy(n)), SHORT),
    st.builds(lambda n: (f"assign {n}", lambda d: d.assign(n)), SHORT),
    st.builds(lambda n: (f"add list {n}", lambda d: d.add_filter_list(StoredList(n))), SHORT),
    st.builds(
        lambda n, m: (
            f"set list {n} {m}",
            lambda d: d.set_filter_list(n, replace(d.filter_list(n), name=m)),
        ),
        *(SHORT, SHORT),
    ),
    st.builds(lambda n: (f"delete list {n}", lambda d: d.delete_filter_list(n)), SHORT),
    st.builds(
        lambda n, one: (f"add filter {n} {one}", lambda d: d.add_filter(n, one)),
        *(SHORT, st.sampled_from(FILTERS)),
    ),
    st.builds(
        lambda n, one: (f"delete filter {n} {one}", lambda d: d.delete_filter(n, one)),
        *(SHORT, st.sampled_from(FILTERS)),
    ),
    st.builds(
        lambda n, one: (
            f"delete filters {n} {one}",
            lambda d: d.delete_filters(n, lambda other: other == one),
        ),
        *(SHORT, st.sampled_from(FILTERS)),
    ),
    st.builds(lambda n: (f"add action {n}", lambda d: d.add_filter_action(StoredAction(n))), SHORT),
    st.builds(
        lambda n, m: (
            f"set action {n} {m}",
            lambda d: d.set_filter_action(n, replace(d.filter_action(n), name=m)),
        ),
        *(SHORT, SHORT),
    ),
    st.builds(lambda n: (f"delete action {n}", lambda d: d.delete_filter_action(n)), SHORT),
    st.builds(
        lambda p, n, m: (f"add rule {p} {n} {m}", lambda d: d.add_rule(p, StoredRule(n, m, m))),
        *(SHORT, SHORT, SHORT),
    ),
    st.builds(
        lambda p, n, m, k: (
            f"set rule {p} {n} {m} {k}",
            lambda d: d.set_rule(p, n, StoredRule(m, k, k)),
        ),
        *(SHORT, SHORT, SHORT, SHORT),
    ),
    st.builds(lambda p, n: (f"delete rule {p} {n}", lambda d: d.delete_rule(p, n)), SHORT, SHORT),
)


def outcome(change: Callable[[Draft], object], draft: Draft) -> str:
    try:
        return str(change(draft))
    except StoreError as error:
        return f"{type(error).__name__}: {error}"


@given(st.lists(CHANGES, min_size=30, max_size=60))
def test_a_draft_never_loses_count(changes: list[tuple[str, Callable[[Draft], object]]]) -> None:
    """A draft that has seen many changes answers as one made afresh of what it holds, refuses
    without changing anything, and what it holds is always a store that can be read."""
    draft = Draft()
    for name in ("a", "b"):
        draft.add_filter_list(StoredList(name, (FILTERS[0],)))
        draft.add_filter_action(StoredAction(name))
        draft.add_policy(StoredPolicy(name, rules=(StoredRule("a", name, name),)))
    content = draft.content()
    for _, change in changes:
        fresh = Draft(content)
        answer = outcome(change, draft)
        assert answer == outcome(change, fresh)
        after = draft.content()
        assert after == fresh.content()
        if "Error: " in answer:
            assert after == content
        content = after
    assert parse(render(content), "store.toml") == content
