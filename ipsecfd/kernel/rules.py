"""The nftables table `inet ipsecfd`: which packets are queued, and what holds while nobody judges.

Always changed in single transactions, so that no packet meets half a rule set. Nobody else's table
is touched, and an accepted packet goes on to everybody else's chains.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache as remembered
from itertools import chain, count
from typing import Any, Final, NamedTuple

from ipsecfd.driver.decision import Direction
from ipsecfd.kernel import cache, nfnetlink, nft, standing
from ipsecfd.kernel.cache import FlowSet, Generation
from ipsecfd.kernel.errors import KernelError
from ipsecfd.kernel.marks import Marks
from ipsecfd.kernel.standing import Standing

TABLE: Final = "ipsecfd"
NFT_QUEUE: Final = "nft queue"
XT_NFQUEUE: Final = "iptables NFQUEUE target"

READ_SECONDS: Final = 1.0
"""How long our table is read again, after a change of ours, while it cannot be."""
_PAUSE = 0.02

_LAST, _FIRST = 2_147_483_647, -2_147_483_647  # hook priorities
_JUDGE: Final = "judge"
"""The chain that queues. It cannot be replaced in the transaction that uses it, so the next one has
a number behind its name."""


@dataclass(frozen=True, slots=True)
class RulesConfig:
    """Which packets go to which queues."""

    queue: int = 88
    processes: int = 1
    """How many queues, from `queue` on; both directions of a flow go to the same one."""
    forward: bool = False
    """Queue routed packets, too."""
    bypass: bool = False
    """Accept packets while nobody is bound to their queue; otherwise they are dropped."""
    marks: Marks = field(default_factory=Marks)
    """The bits of the packet mark that are ours. Foreign ones in them are cleared on every packet
    before it is queued."""

    @property
    def directions(self) -> list[Direction]:
        """Which way the packets go that are judged."""
        return [one for one in Direction if self.forward or one is not Direction.FORWARD]


class Installed(NamedTuple):
    """Rules that are in place."""

    kind: str
    """How packets come to the queue: NFT_QUEUE or XT_NFQUEUE."""
    standing: Standing | None
    """Our table with these rules; None when somebody else changed it before it was read, or when it
    could not be."""


def install(config: RulesConfig, generation: Generation | None = None) -> Installed:
    """Queue packets from now on, in place of whatever our table held.

    With a generation the kernel learns flows; its sets are new. Until somebody binds the queues,
    packets are dropped (or pass, with `bypass`). Raises KernelError and changes nothing when the
    kernel or nft refuses.
    """
    kind = hook_kind()
    old = _named("chain")
    names = chain((_JUDGE,), (f"{_JUDGE}{number}" for number in count(2)))
    judge = next(name for name in names if name not in old)
    chains = {}
    if kind == NFT_QUEUE:
        last = config.queue + config.processes - 1
        numbers = f"{config.queue}-{last}" if config.processes > 1 else f"{config.queue}"
        chains[judge] = f"queue {'flags bypass ' if config.bypass else ''}to {numbers}"
    else:  # nft(8) has no words for this; nothing leads there until the next step does, if it can
        nfnetlink.add_queue_chain(
            TABLE, judge, config.queue, config.processes, bypass=config.bypass
        )
    sets = f"{cache.definitions(generation, config.directions)}\n" if generation else ""
    inner, base = _inner(config, judge), _rules(config, generation)
    try:
        _replace(sets + _chains(chains | inner), base, keep=judge)
    except KernelError:
        if kind == XT_NFQUEUE:
            with contextlib.suppress(KernelError):  # what is left is in nobody's way
                nfnetlink.delete_chain(TABLE, judge)
        raise
    return Installed(kind, _standing(inner | base))


def relearn(config: RulesConfig, generation: Generation) -> Standing | None:
    """Let the kernel learn under another generation, and forget all that it learnt so far; tells
    how our table stands then, as `Installed` does.

    The sets of the generation before stay, unused, until `forget`. Raises KernelError and changes
    nothing when nft refuses, or our rules are not there any more.
    """
    # Left over when `forget` failed, and what they hold may be as old as their time-out.
    stale = _named("set") & {one.name for one in _sets(config, generation)}
    sets = cache.definitions(generation, config.directions)
    rules = _rules(config, generation)
    nft.apply(
        "".join(f"flush chain inet {TABLE} {name}\n" for name in rules)
        + "".join(f"delete set inet {TABLE} {name}\n" for name in stale)
        + f"table inet {TABLE} {{\n{sets}\n{_chains(rules)}}}\n"
    )
    return _standing(_inner(config) | rules)


def forget(config: RulesConfig, generation: Generation) -> None:
    """Remove the sets of a generation that was replaced; raises KernelError."""
    nft.apply("".join(f"delete set inet {TABLE} {one.name}\n" for one in _sets(config, generation)))


def stands() -> Standing:
    """How our table stands now; raises KernelError."""
    return standing.read(TABLE)


def close(config: RulesConfig) -> Standing | None:
    """Drop all packets that would be queued, loopback excepted, in place of our table's rules;
    tells how our table stands then, as `Installed` does. Raises KernelError."""
    rules = _rules(config, None, "drop")
    _replace("", rules)
    found = _found()
    return found if standing.has_rules(found, _numbers(rules)) else None


def remove() -> None:
    """Take all our rules away; the host is open afterwards, as when Windows' service stops."""
    nft.apply(f"add table inet {TABLE}\ndelete table inet {TABLE}")


def present() -> bool:
    """Whether our rules are in force, perhaps from a run that crashed.

    A table that somebody emptied, and that lets everything pass, is none.
    """
    last: dict[str, dict[str, Any]] = {}  # by chain, the last statement of its last rule
    chains = []
    for one in nft.listed("inet", TABLE, "-t"):
        if "chain" in one:
            chains.append(one["chain"]["name"])
        elif "rule" in one:
            last[one["rule"]["chain"]] = one["rule"]["expr"][-1]
    ends = [last.get(name, {}) for name in _QUEUEING.values() if name in chains]
    while any("goto" in one for one in ends):  # to the queue, over two chains
        ends = [last.get(one["goto"]["target"], {}) if "goto" in one else one for one in ends]
    # The closed host of `systemd/ipsecfd-boot` sends nothing that could come to POSTROUTING.
    outbound = "postrouting" in last or "drop" in last.get("own", {})
    learning = [name in last for name in chains if name in _LEARNING.values()]
    return all(["input" in last, outbound, *ends, *learning])


def hook_kind() -> str:
    """NFT_QUEUE where this kernel has nftables' own queue statement, else XT_NFQUEUE."""
    return NFT_QUEUE if _accepts("queue to 0") else XT_NFQUEUE


_QUEUEING: Final = {
    Direction.IN: "input",
    Direction.OUT: "postrouting",
    Direction.FORWARD: "forward",
}
_QUEUES: Final = {direction: f"queue_{direction}" for direction in Direction}
_LEARNING: Final = {direction: f"learn_{direction}" for direction in Direction}
HOOKS: Final = {
    # A mark that somebody sets between our two chains would be taken for a verdict; so they leave
    # the usual place to others.
    "input": "input priority mangle - 2",
    "learn_in": "input priority mangle - 1",
    "forward": "forward priority mangle - 2",
    "learn_forward": "forward priority mangle - 1",
    "routed": f"forward priority {_LAST}",
    "own": f"output priority {_LAST}",
    "postrouting": f"postrouting priority {_FIRST}",
    "learn_out": f"postrouting priority {_FIRST + 1}",
}
"""Hook and priority of the base chains. Rules that others leave in our table for us to take over,
those of a boot, have them there, too."""


def _rules(
    config: RulesConfig, generation: Generation | None, statement: str = ""
) -> dict[str, str]:
    """The rules that depend on what is judged and learnt, by base chain; loopback passes.

    Before anything else every packet loses our bits: a mark that a socket, a tunnel or another
    program brings along is no verdict. Routed packets get their bit behind everybody else's FORWARD
    chains and lose it here, before everybody else's POSTROUTING chains. `statement` is for packets
    that nothing decides here; by default they are queued.
    """
    marks = config.marks
    clear = f"meta mark & {marks.mask:#010x} != 0 {cache.clearing(marks)}"
    before = {
        Direction.IN: [clear, "iif lo accept"],
        Direction.OUT: [
            f"meta mark & {marks.routed:#010x} != 0 {cache.clearing(marks)} accept",
            clear,
            "oif lo accept",
        ],
        Direction.FORWARD: [clear, "iif lo accept"],
    }
    rules = {}
    for direction in config.directions:
        queue = statement or f"goto {_QUEUES[direction]}"
        passing = cache.passing(generation, direction, queue) if generation else queue
        rules[_QUEUEING[direction]] = "\n".join([*before[direction], passing])
        rules[_LEARNING[direction]] = (
            cache.learning(generation, direction, marks) if generation else clear
        )
    return rules | {
        "routed": routed(marks),
        # A filter chain that changes a mark, unlike a verdict here, sends no packet another way.
        "own": clear,
    }


def routed(marks: Marks) -> str:
    """The rules that give routed packets their bit.

    What comes from the loopback interface is this host's own: by a source route through one of its
    addresses any program can have it go on from there. It is outbound like all others.
    """
    return f"iif lo {cache.clearing(marks)} accept\nmeta mark set meta mark | {marks.routed:#010x}"


def _inner(config: RulesConfig, judge: str = _JUDGE) -> dict[str, str]:
    """The rules of the chains that only chains of ours lead to, if any.

    Those to the queue tell the judge what IPsec protects: what came, or will leave, through a
    transformation of the kernel's, and this host's ESP and AH themselves: of those the kernel takes
    none in without an association. Of what is only routed nobody knows.
    """
    protect = f"meta mark set meta mark | {config.marks.protected:#010x}"
    chains = {"defragment": defragmentation(forward=config.forward) if reassembles() else ""}
    for direction in config.directions:
        own = [] if direction is Direction.FORWARD else [f"meta l4proto {{ esp, ah }} {protect}"]
        matches = own + [f"{one} {protect}" for one in _PROTECTED[direction] if _accepts(one)]
        chains[_QUEUES[direction]] = "\n".join([*matches, f"goto {judge}"])
    return chains


def defragmentation(*, forward: bool) -> str:
    """The rule that has fragments reassembled before they reach a hook (spec 5).

    The tproxy expression does it by being there, for its family: no packet shall ever come to the
    rule. For IPv4 it is not needed but with `forward`, since what comes in for the host is whole
    there, and it would cost every packet as much as a chain of rules. Where it begins or ends for a
    family, a hook comes or goes.
    """
    if forward:
        return "meta l4proto tcp tproxy to :1"
    return "meta nfproto ipv6 meta l4proto tcp tproxy ip6 to :1"


def reassembles() -> bool:
    """Whether this kernel knows the rules of `defragmentation`.

    The one for IPv6 alone is tried: its hooks are there wherever rules of ours are, while those for
    IPv4 might come and go with the try. A kernel with `inet` tables that knows one knows both.
    """
    return _accepts(defragmentation(forward=False))


_PROTECTED: Final = {
    Direction.IN: ["meta ipsec exists"],
    Direction.OUT: ["rt ipsec exists"],
    Direction.FORWARD: ["meta ipsec exists", "rt ipsec exists"],
}


def _chains(rules: Mapping[str, str]) -> str:
    """Chains with these rules."""
    return "".join(f"chain {name} {{\n{body}\n}}\n" for name, body in rules.items())


def _base_chains(rules: Mapping[str, str]) -> str:
    """The base chains with these rules."""
    return "".join(
        f"chain {name} {{ type filter hook {HOOKS[name]}; policy accept;\n{body}\n}}\n"
        for name, body in rules.items()
    )


def _replace(inner: str, base: Mapping[str, str], keep: str = "") -> None:
    """Put these chains and rules of base chains in place of everything in our table but the chain
    `keep`, in one transaction.

    Base chains that are there stay, with other rules: when a hook goes, the kernel drops whatever
    waits in any queue, and for a moment a packet may meet neither the old chain nor the new one.
    """
    if standing.dormant(TABLE):  # to wake it up takes a transaction of its own
        nft.apply(f"add table inet {TABLE}")
    there = _named("chain") - {keep}
    sets = "".join(
        f"delete {kind} inet {TABLE} {name}\n"
        for kind in ("set", "map", "counter")
        for name in _named(kind)
    )

    def script(gone: set[str]) -> str:
        return (
            f"add table inet {TABLE}\n"
            + "".join(f"flush chain inet {TABLE} {name}\n" for name in there)
            + "".join(f"delete chain inet {TABLE} {name}\n" for name in gone)
            + f"{sets}table inet {TABLE} {{\n{inner}{_base_chains(base)}}}\n"
        )

    try:
        nft.apply(script(there - base.keys()))
    except KernelError:  # somebody's chains of these names have other hooks
        nft.apply(script(there))


def _sets(config: RulesConfig, generation: Generation) -> list[FlowSet]:
    """All sets of a generation."""
    return [
        one for direction in config.directions for one in cache.flow_sets(generation, direction)
    ]


def _standing(bodies: Mapping[str, str]) -> Standing | None:
    """How our table stands, if these and the one that queues are its chains and have their rules.

    Otherwise somebody else was here between our change and this look.
    """
    found = _found()
    judge = next((one.name for one in found if one.name.startswith(_JUDGE)), _JUDGE)
    return found if standing.has_rules(found, _numbers(bodies) | {judge: 1}) else None


def _found() -> Standing:
    """How our table stands after a change of ours; nothing when that cannot be read for a second,
    for the change is in force all the same.

    It is tried that long while others change their rules: nothing would be taken for our table as
    another program left it.
    """
    end = time.monotonic() + READ_SECONDS
    while True:
        try:
            return stands()
        except KernelError:
            if time.monotonic() >= end:
                return frozenset()
        time.sleep(_PAUSE)


def _numbers(bodies: Mapping[str, str]) -> dict[str, int]:
    """How many rules each chain has."""
    return {name: len(body.splitlines()) for name, body in bodies.items()}


def _named(kind: str) -> set[str]:
    """The names of our table's chains, sets, maps or counters."""
    return standing.names(TABLE, kind)


@remembered
def _accepts(rule: str) -> bool:
    """Whether this kernel knows a rule; nothing is changed."""
    return nft.accepts(
        f"add table inet {TABLE}-probe\n"
        f"add chain inet {TABLE}-probe probe\n"
        f"add rule inet {TABLE}-probe probe {rule}\n"
    )
