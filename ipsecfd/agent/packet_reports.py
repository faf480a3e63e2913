"""What the agent tells of packets: how often each decision was made, flows that the kernel has
learnt, what a shadow policy would change.

asyncvarlink reads the annotations at run time, so they are not postponed here.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CacheReport:
    """What the kernel decides by itself."""

    on: bool
    why_off: str | None
    """Why it learns nothing."""
    flows: int
    """Flows that it had learnt at the last reading."""
    packets: int
    octets: int
    """Packets, and bytes, that it decided by itself since the service started: all of them."""
    missing_packets: int
    missing_octets: int
    """Those of them that no other count has: of flows that ended between two readings."""
    refused: int
    """Packets that were judged although their flow could have been learnt: it found no room."""
    read: str | None
    """The last reading; what came later is in no count."""
    losses: int
    """How often another program took our table, or what it counted, away before a reading."""
    lost_since: str | None
    lost_until: str | None
    """The last time: what the kernel decided by itself between these is in no count."""


@dataclass(frozen=True, slots=True)
class Count:
    """Packets decided alike."""

    direction: str
    verdict: str
    reason: str
    policy: str | None
    rule: str | None
    filter: str | None
    mirrored: bool
    exemption: str | None
    detail: str | None
    packets: int
    octets: int
    learnt: int
    """Packets of these that the kernel decided by itself."""
    last: str | None
    """The reading that last found new packets."""


@dataclass(frozen=True, slots=True)
class UnreportedReport:
    """What packet processes judged and no count has: they died before they told."""

    deaths: int
    since: str | None
    until: str | None
    """Of the last one: what it judged between these, if anything."""


@dataclass(frozen=True, slots=True)
class StatsReport:
    """How often each decision was made."""

    since: str
    """When the service started."""
    counts: list[Count]
    """The most frequent first, so many that an answer takes no time to speak of."""
    cache: CacheReport
    unreported: UnreportedReport
    left_out: int = 0
    """How many less frequent ones there are."""
    left_out_packets: int = 0
    """How often those were made together."""


@dataclass(frozen=True, slots=True)
class FilterCount:
    """What one filter decided, whichever way and mirrored or not."""

    policy: str
    rule: str
    filter: str
    """As its author wrote it."""
    action: str
    """Empty for a filter that is not in force any more."""
    packets: int
    octets: int
    learnt: int
    """Packets of these that the kernel decided by itself."""
    last: str | None
    """The reading that last found new packets."""


@dataclass(frozen=True, slots=True)
class FilterPage:
    """A part of the list of filters, in the order of the policies; those that are not in force any
    more come last."""

    since: str
    """When the service started."""
    version: int
    """Of the policies in force: parts of one version make up a list."""
    filters: list[FilterCount]
    left_out: int
    """Filters of this part that decided nothing, and were not asked for."""
    next: int | None
    """Where the next part begins; None at the end."""
    cache: CacheReport
    unreported: UnreportedReport


@dataclass(frozen=True, slots=True)
class FlowReport:
    """A flow that the kernel has learnt."""

    direction: str
    verdict: str
    interface: str | None
    """None where the interface is no part of the flow."""
    protocol: str
    """A name or a number."""
    source: str
    source_port: int | None
    destination: str
    destination_port: int | None
    """Ports are None for protocols without."""
    packets: int
    octets: int
    """What passed, or was dropped, since it was learnt, with the packet that it was learnt from."""
    seconds_left: int
    """Until a packet of it is judged again."""
    reason: str
    policy: str | None
    rule: str | None
    filter: str | None
    mirrored: bool
    exemption: str | None


@dataclass(frozen=True, slots=True)
class FlowList:
    """Learnt flows that were asked for."""

    why_off: str | None
    """Why the kernel learns nothing, if so."""
    total: int
    packets: int
    octets: int
    """How many there are, and what all of them count."""
    flows: list[FlowReport]
    """Those with most packets, these first."""


@dataclass(frozen=True, slots=True)
class Why:
    """What decides about packets."""

    verdict: str
    reason: str
    policy: str | None
    rule: str | None
    filter: str | None
    mirrored: bool
    exemption: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class ShadowFlow:
    """A flow of which packets would meet another verdict."""

    protocol: str | None
    """A name or a number; None where a fragment hides it."""
    source: str
    source_port: int | None
    destination: str
    destination_port: int | None
    """Ports are None for protocols without."""
    packets: int


@dataclass(frozen=True, slots=True)
class ShadowChange:
    """Packets that would meet another verdict: what decides now, and what would then."""

    direction: str
    now: Why
    then: Why
    packets: int
    flows: list[ShadowFlow]
    """Those with most packets, these first."""
    left_out: int
    left_out_packets: int
    """Further flows, and their packets."""
    untold_packets: int
    """Packets of flows that are not told apart, being too many, and malformed packets."""


@dataclass(frozen=True, slots=True)
class ShadowReport:
    """The shadow policy, and what it would change."""

    file: str
    policy: str
    store: str
    """Whose policy it stands in for: that of the local store, or of the domain."""
    since: str
    """When it began to be compared with what is in force."""
    mode: str
    """What is in force: in other modes than secure, the mode decides and not the policies."""
    packets: int
    """Packets that both judged."""
    changed: int
    """Packets that would meet another verdict."""
    changes: list[ShadowChange]
    """Those with most packets, these first."""
    left_out: int
    left_out_packets: int
    """Further changes, and the packets that are of no listed one."""
    faults: int
    """Packets that the shadow policy failed to judge, which is a defect."""
