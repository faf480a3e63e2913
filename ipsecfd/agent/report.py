"""What the agent tells of itself: the values that the control socket carries.

asyncvarlink reads the annotations at run time, so they are not postponed here.
"""

from dataclasses import dataclass

from ipsecfd.agent.packet_reports import CacheReport


@dataclass(frozen=True, slots=True)
class PolicyReport:
    """One policy in force."""

    name: str
    store: str
    file: str
    description: str
    rules: int
    """Active rules only."""
    filters: int
    """Filters of active rules, as written: a mirrored filter counts once."""
    since: str
    """When this text came into force, ISO 8601 with the local time zone; empty if it is not."""
    in_force: bool = True
    """Policies of the local store are listed as well when they are not."""


@dataclass(frozen=True, slots=True)
class StoreReport:
    """A policy store."""

    store: str
    policies: int
    assigned: str | None
    """The assigned policy's name."""


@dataclass(frozen=True, slots=True)
class DomainReport:
    """The domain policy, and the source it comes from."""

    source: str
    policy: str | None
    """The assigned policy's name; None when nothing is known, or it assigns none."""
    known: bool
    """Whether the source was ever reached, now or in an earlier run."""
    copy: bool
    """Whether it is the copy of an earlier run, because the source was not reached yet."""
    last_success: str | None
    """When the source was last reached in this run."""
    error: str | None
    """Why the last look failed, if it did."""
    next_look: str
    """When it is looked for again."""
    etag: str


@dataclass(frozen=True, slots=True)
class FileReport:
    """A policy in force that a file gave, in place of the local store's."""

    name: str
    file: str
    """Its absolute path."""


@dataclass(frozen=True, slots=True)
class DeskReport:
    """What administration commands start from: the running side of a workspace."""

    state_dir: str
    profile: str
    addresses: list[str]
    level: int
    """ipsecdiagnostics."""
    interval: int
    """ipsecloginterval."""
    exempt: int
    boot_mode: str
    boot_exemptions: list[str]
    permitted_in: int
    permitted_out: int
    blocked_in: int
    blocked_out: int
    exempted: int
    no_filter: int
    fragments_dropped: int
    revision: int
    """Of the dynamic rules; SetDynamic wants it back."""
    dynamic: str
    """The dynamic rules as `agent.dynamictext` writes them."""
    files: list[FileReport]


@dataclass(frozen=True, slots=True)
class RuleReport:
    """One rule, for people."""

    name: str
    description: str
    active: bool
    connection: str
    action: str
    filter_list: str
    filters: list[str]
    """As their author wrote them."""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy in force, whole."""

    policy: PolicyReport
    rules: list[RuleReport]


@dataclass(frozen=True, slots=True)
class ReasonCount:
    """Packets with one verdict for one reason, since the packet processes started."""

    verdict: str
    reason: str
    packets: int


@dataclass(frozen=True, slots=True)
class QueueReport:
    """A queue, and the process that judges its packets."""

    number: int
    pid: int
    """0 while a process that died is not replaced yet."""
    memory: int
    """Resident memory of the process in bytes."""
    waiting: int
    """Packets without a verdict now."""
    dropped_full: int
    """Packets dropped because too many waited."""
    dropped_socket: int
    """Packets dropped because the socket's buffer was full."""


@dataclass(frozen=True, slots=True)
class LogReport:
    """The diagnostic log."""

    file: str
    level: int
    interval: int
    """Seconds of aggregation."""
    lost_drops: int
    """Dropped packets that the log only counts."""
    lost_events: int
    """Events that are missing in the log."""
    problem: str | None
    """Why nothing can be written at the moment."""


@dataclass(frozen=True, slots=True)
class TrialReport:
    """A change that is taken back unless it is confirmed in time."""

    what: str
    seconds: int
    """How long it may last."""
    left: float
    """Seconds from now."""


@dataclass(frozen=True, slots=True)
class CutReport:
    """An established connection that a change would cut."""

    connection: str
    """Own end first; the arrow points away from whoever began."""
    own: bool
    """Whether it is the caller's own ssh session, as far as anybody can tell."""
    direction: str
    """Of the packets that would be dropped."""
    reason: str
    rule: str | None
    filter: str | None
    mirrored: bool
    detail: str | None


@dataclass(frozen=True, slots=True)
class Foresight:
    """What a change would do to the connections that are established now."""

    connections: int
    cut: int
    cuts: list[CutReport]
    """The caller's own first; the first of very many."""


@dataclass(frozen=True, slots=True)
class ExactPolicy:
    """A policy in force, whole and exactly."""

    store: str
    text: str
    """As `policy.exact` writes it."""


@dataclass(frozen=True, slots=True)
class InForce:
    """What packets are judged by, for others to judge or compare by."""

    profile: str
    exempt: int
    natt_exempt: bool
    inbound_mcast_exempt: bool
    forward: bool
    dialup_interfaces: list[str]
    boot_exemptions: list[str]
    policies: list[ExactPolicy]


@dataclass(frozen=True, slots=True)
class StatusReport:
    """Everything about the running agent."""

    release: str
    pid: int
    since: str
    mode: str
    mode_reason: str | None
    """Why, when the mode is not what the policies would have it."""
    starting: bool
    """Whether the policies do not decide yet."""
    trouble: str | None
    """Why the assigned policy cannot be applied, so that there is no secure mode."""
    trial: TrialReport | None
    """The change that waits to be confirmed."""
    started_in: str | None
    """The start-up mode of this start; None where rules that were there hold, or held, instead."""
    startup_mode: str
    """The start-up mode of the next start, by what is configured and assigned now."""
    profile: str
    exempt: int
    on_failure: str
    hook: str
    forward: bool
    version: int
    """Grows by one with every set of policies put in force since the agent started."""
    policies: list[PolicyReport]
    stores: list[StoreReport]
    dynamic_rules: int
    domain: DomainReport | None
    """None where no domain source is configured."""
    addresses: list[str]
    """What `me` stands for."""
    servers: dict[str, list[str]]
    packets: list[ReasonCount]
    queues: list[QueueReport]
    restarts: int
    """Packet processes that died and were replaced."""
    cache: CacheReport
    log: LogReport
    warnings: list[str]
