"""Store contents of every kind, for properties of stores."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable

from hypothesis import strategies as st

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import (
    TCP,
    UDP,
    Address,
    AddressRange,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    IPAddress,
    Me,
    Prefix,
    Server,
    ServerKind,
)
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
    filter_identity,
    name_key,
    rule_key,
)

NAMES = {
    "www.example.com": (ipaddress.ip_address("192.0.2.80"), ipaddress.ip_address("192.0.2.81")),
    "mail.example.org": (ipaddress.ip_address("198.51.100.25"),),
}
"""The answers of the only name server there is."""


def resolve(name: str) -> tuple[IPAddress, ...]:
    if name not in NAMES:
        raise GrammarError(name, "expected a DNS name that resolves")
    return NAMES[name]


printable = st.characters(exclude_categories=("Cc", "Cs", "Zl", "Zp"))
lines = st.text(printable, max_size=12) | st.sampled_from(
    ["", "it's", 'say "hi"', "a\\", "\\'", "a=b", "%PATH%", "x^y&z", "Ünïcode 漢字", " pad ", "-n"]
)
names = lines.filter(lambda name: bool(name.strip())) | st.just("x" * 255)

prefixes_4 = st.builds(
    lambda address, bits: Prefix.of(
        ipaddress.IPv4Network((address >> 32 - bits << 32 - bits, bits))
    ),
    st.integers(1 << 24, 0xFFFFFFFF),
    st.integers(1, 32),
).filter(lambda one: bool(one.first))
prefixes_6 = st.builds(
    lambda address, bits: Prefix(6, bits, address >> 128 - bits << 128 - bits),
    st.integers(1 << 120, (1 << 128) - 1),
    st.integers(1, 128),
)
ranges = st.tuples(st.integers(0, 0xFFFFFFFF), st.integers(0, 0xFFFFFFFF)).map(
    lambda ends: AddressRange(ipaddress.IPv4Address(min(ends)), ipaddress.IPv4Address(max(ends)))
)
dns_names = st.sampled_from(sorted(NAMES)).map(lambda name: DnsName(name, NAMES[name]))
simple_addresses: st.SearchStrategy[Address] = st.one_of(
    st.just(AnyAddress()), st.just(Me()), prefixes_4, dns_names
)
addresses: st.SearchStrategy[Address] = st.one_of(simple_addresses, ranges)
ports = st.integers(0, 65535)


@st.composite
def filters(draw: st.DrawFn, sides: st.SearchStrategy[Address] = addresses) -> Filter:
    """Any filter that the grammar allows."""
    match draw(st.integers(0, 3)) if sides is addresses else 0:
        case 1:
            source: Address = Server(draw(st.sampled_from(ServerKind)))
            destination: Address = Me()
        case 2:
            source, destination = draw(prefixes_6), draw(prefixes_6 | st.just(Me()))
        case _:
            source, destination = draw(sides), draw(sides)
    protocol = draw(st.sampled_from([0, 1, TCP, UDP, 58, 255]) | st.integers(0, 255))
    ported = protocol in (TCP, UDP)
    return Filter(
        source,
        destination,
        draw(ports) if ported else 0,
        draw(ports) if ported else 0,
        protocol,
        draw(st.booleans()),
        draw(lines) if sides is addresses else "",
    )


methods = st.sampled_from(["", "ESP[3DES,SHA1]:100000k/3600s", "AH[MD5] ESP[DES,NONE]"])
ways = st.lists(
    st.one_of(
        st.just(Authentication("kerberos")),
        lines.map(lambda key: Authentication("psk", key)),
        lines.map(lambda name: Authentication("rootca", name)),
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda one: one.value if one.kind == "rootca" else one.kind,
).map(tuple)


@st.composite
def actions(draw: st.DrawFn) -> StoredAction:
    """Any filter action; methods only for one that negotiates."""
    behaviour = draw(st.sampled_from(Behaviour))
    return StoredAction(
        draw(names),
        behaviour,
        draw(st.booleans()),
        draw(st.booleans()),
        draw(st.booleans()),
        draw(methods) if behaviour is Behaviour.NEGOTIATE else "",
        draw(lines),
    )


@st.composite
def contents(draw: st.DrawFn) -> Content:
    """Any store that netsh could have made."""
    lists = draw(
        st.lists(
            st.builds(
                StoredList,
                names,
                st.lists(filters(), max_size=4, unique_by=filter_identity).map(tuple),
                lines,
            ),
            max_size=3,
            unique_by=lambda one: name_key(one.name),
        )
    )
    made = draw(st.lists(actions(), max_size=3, unique_by=lambda one: name_key(one.name)))
    rules: st.SearchStrategy[tuple[StoredRule, ...]] = st.just(())
    if lists and made:
        rules = st.lists(
            st.builds(
                StoredRule,
                names,
                st.sampled_from([one.name for one in lists]),
                st.sampled_from([one.name for one in made]),
                lines,
                st.booleans(),
                st.sampled_from(Connection),
                st.sampled_from(["", "192.0.2.9", "gate.example.com"]),
                ways,
            ),
            max_size=3,
            unique_by=rule_key,
        ).map(tuple)
    policies = draw(
        st.lists(
            st.builds(
                StoredPolicy,
                names,
                lines,
                rules,
                st.integers(1, 10_000).map(lambda minutes: minutes * 60),
                st.booleans(),
                st.integers(0, 100),
                st.integers(0, 10_000),
                st.sampled_from(["", "3DES-SHA1-2 DES-MD5-1"]),
                st.builds(DefaultRule, st.booleans(), st.booleans(), methods, ways),
            ),
            max_size=3,
            unique_by=lambda one: name_key(one.name),
        )
    )
    return keyed(lists, made, policies, draw(st.integers(0, 3)))


def keyed(
    lists: list[StoredList],
    made: list[StoredAction],
    policies: list[StoredPolicy],
    assigned: int = 0,
) -> Content:
    """A content of these objects; the policy of this number from 1 is assigned, if there is one."""
    key: Callable[[StoredPolicy], str] = lambda one: name_key(one.name)  # noqa: E731
    return Content(
        {key(one): one for one in policies},
        {name_key(one.name): one for one in lists},
        {name_key(one.name): one for one in made},
        key(policies[assigned - 1]) if 0 < assigned <= len(policies) else None,
    )


simple_names = st.text("abcXYZ 0'\"\\ü", min_size=1, max_size=8).filter(
    lambda one: bool(one.strip())
)


@st.composite
def ipseccmd_contents(draw: st.DrawFn) -> Content:
    """A store that ipseccmd can make: each rule with a list and an action of its own."""
    lists: dict[str, StoredList] = {}
    made: dict[str, StoredAction] = {}
    policies = []
    for name in draw(st.lists(simple_names, max_size=2, unique_by=name_key)):
        rules = []
        wanted = draw(st.lists(simple_names, max_size=3, unique_by=name_key))
        for rule in (one for one in wanted if name_key(one) not in lists):
            found = tuple(
                dict.fromkeys(draw(st.lists(filters(simple_addresses), min_size=1, max_size=3)))
            )
            lists[name_key(rule)] = StoredList(rule, found)
            action = draw(
                st.sampled_from(
                    [
                        StoredAction("BLOCK", Behaviour.BLOCK),
                        StoredAction("PASS", Behaviour.PERMIT),
                        StoredAction("INPASS", inpass=True),
                        StoredAction("SOFT", soft=True),
                        StoredAction("NEGOTIATE"),
                        StoredAction("ESP[3DES,SHA1]", qmsecmethods="ESP[3DES,SHA1]"),
                    ]
                )
            )
            made[name_key(action.name)] = action
            rules.append(
                StoredRule(
                    rule,
                    rule,
                    action.name,
                    connection=draw(st.sampled_from(Connection)),
                    authentication=draw(
                        st.sampled_from([KERBEROS, (Authentication("psk", "a key"),)])
                    ),
                )
            )
        policies.append(
            StoredPolicy(
                name,
                "",
                tuple(rules),
                draw(st.sampled_from([10_800, 60, 3_600])),
                default_rule=DefaultRule(draw(st.booleans())),
            )
        )
    return keyed(list(lists.values()), list(made.values()), policies, draw(st.integers(0, 2)))
