"""Our table as it stands in the kernel: enough of it to see that somebody else changed something.

Rules never change in place: another rule has another handle. Of sets and what they hold nothing
is told.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from ipsecfd.kernel import nfnetlink
from ipsecfd.kernel.netlink import attributes

_CHAIN_NAME, _CHAIN_HOOK, _CHAIN_POLICY = 3, 4, 5
_RULE_CHAIN, _RULE_HANDLE = 2, 3
_RULE_EXPRESSIONS: Final = 4
_TABLE_FLAGS: Final = 2
_DORMANT = 1
_NAME: Final = 2
_KIND: Final = 3  # flags of a set, type of an object
_ANONYMOUS, _MAP = 1, 8
_BYPASS = 1


class ChainState(NamedTuple):
    """One chain; all but its name as the kernel writes it."""

    name: str
    hook: bytes
    """Hook and priority; empty for a chain that other chains lead to."""
    policy: bytes
    handles: tuple[bytes, ...]
    """Of its rules, in their order."""


Standing = frozenset[ChainState]
"""All chains of a table; none where there is no such table, or where it is switched off."""


def read(table: str) -> Standing:
    """How an `inet` table stands; raises KernelError."""
    if dormant(table):
        return frozenset()
    with nfnetlink.connect() as netlink:
        chains = nfnetlink.dump(netlink, nfnetlink.GET_CHAINS, table)
        rules = nfnetlink.dump(netlink, nfnetlink.GET_RULES, table)
    handles: dict[bytes, list[bytes]] = defaultdict(list)
    for rule in rules:
        handles[rule[_RULE_CHAIN]].append(rule[_RULE_HANDLE])
    return frozenset(
        ChainState(
            _text(chain[_CHAIN_NAME]),
            chain.get(_CHAIN_HOOK, b""),
            chain.get(_CHAIN_POLICY, b""),
            tuple(handles[chain[_CHAIN_NAME]]),
        )
        for chain in chains
    )


def dormant(table: str) -> bool:
    """Whether somebody switched an `inet` table off; raises KernelError."""
    with nfnetlink.connect() as netlink:
        tables = nfnetlink.dump(netlink, nfnetlink.GET_TABLES, table)
    return any(int.from_bytes(one[_TABLE_FLAGS], "big") & _DORMANT for one in tables)


def bypassed(table: str) -> bool:
    """Whether rules of an `inet` table queue packets such that they pass while nobody is bound to
    the queue; raises KernelError."""
    with nfnetlink.connect() as netlink:
        rules = nfnetlink.dump(netlink, nfnetlink.GET_RULES, table)
    return any(_bypasses(rule.get(_RULE_EXPRESSIONS, b"")) for rule in rules)


def _bypasses(expressions: bytes) -> bool:
    """Whether one of these is nftables' own queue statement, or the iptables NFQUEUE target, with
    its flag `bypass`."""
    for _, start, end in attributes(expressions, 0, len(expressions)):
        expression = _values(expressions[start:end])
        name, values = expression.get(1, b""), _values(expression.get(2, b""))
        if name == b"queue\0" and values.get(3, b"\0")[-1] & _BYPASS:
            return True
        # The target's number of the first queue, how many they are, and flags.
        if name == b"target\0" and values.get(1) == b"NFQUEUE\0":
            flags = int.from_bytes(values.get(3, b"")[4:6], sys.byteorder)
            if flags & _BYPASS:
                return True
    return False


def _values(data: bytes) -> dict[int, bytes]:
    return {kind: data[start:end] for kind, start, end in attributes(data, 0, len(data))}


def names(table: str, kind: str) -> set[str]:
    """The names of an `inet` table's chains, sets, maps or counters; raises KernelError."""
    what, place, fits = _KINDS[kind]
    with nfnetlink.connect() as netlink:
        return {
            _text(one[place])
            for one in nfnetlink.dump(netlink, what, table)
            if fits(int.from_bytes(one.get(_KIND, b"")[:4], "big"))
        }


_KINDS: Final[Mapping[str, tuple[int, int, Callable[[int], bool]]]] = {
    "chain": (nfnetlink.GET_CHAINS, _CHAIN_NAME, lambda _: True),
    "set": (nfnetlink.GET_SETS, _NAME, lambda flags: not flags & (_ANONYMOUS | _MAP)),
    "map": (nfnetlink.GET_SETS, _NAME, lambda flags: flags & (_ANONYMOUS | _MAP) == _MAP),
    "counter": (nfnetlink.GET_OBJECTS, _NAME, lambda kind: kind == nfnetlink.COUNTER),
}


def _text(name: bytes) -> str:
    return name.rstrip(b"\0").decode()


def has_rules(standing: Standing, expected: Mapping[str, int]) -> bool:
    """Whether these are the chains, each with this number of rules."""
    return {one.name: len(one.handles) for one in standing} == expected
