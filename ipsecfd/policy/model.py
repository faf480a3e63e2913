"""The policy object model: policy, rule, filter list, filter, filter action (spec section 1).

Frozen values without behaviour of their own beyond printing themselves; the driver imports this
module and nothing else of the package, so it stays free of third-party libraries.
"""

from __future__ import annotations

import enum
import ipaddress
from dataclasses import dataclass, field
from typing import TypeAlias

IPAddress: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
IPNetwork: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

ANY_PROTOCOL = 0
ICMP, TCP, UDP, ICMPV6, RAW = 1, 6, 17, 58, 255
PROTOCOL_NUMBERS = {
    "any": ANY_PROTOCOL,
    "icmp": ICMP,
    "tcp": TCP,
    "udp": UDP,
    "icmpv6": ICMPV6,
    "raw": RAW,
}
PROTOCOL_NAMES = {number: name for name, number in PROTOCOL_NUMBERS.items()}


def by_family(address: IPAddress) -> tuple[int, int]:
    """Sorts addresses: IPv4 first, then by number."""
    return address.version, int(address)


def protocol_name(protocol: int) -> str:
    """The name a policy uses for an IP protocol number, or the number itself as text."""
    return PROTOCOL_NAMES.get(protocol, str(protocol))


def packet_protocol_name(protocol: int) -> str:
    """The same for the protocol of a packet: there 0 is a number like others, not any protocol."""
    return protocol_name(protocol) if protocol else "0"


class Store(enum.IntEnum):
    """Where a policy comes from; the value orders names in logs, never verdicts (spec 1.5, 3.2)."""

    DYNAMIC = 1
    LOCAL = 2
    DOMAIN = 3
    PERSISTENT = 4


class Action(enum.IntEnum):
    """What happens to a packet; the value is its restrictiveness (spec 1.2, 3.2)."""

    PERMIT = 1
    SOFT = 2
    """Negotiate, but clear text is accepted both ways: every peer counts as not speaking IPsec."""
    INPASS = 3
    """Negotiate, but clear text is accepted inbound."""
    NEGOTIATE = 4
    """Without a key exchange nothing can be negotiated: both directions drop."""
    BLOCK = 5

    @property
    def negotiates(self) -> bool:
        """Whether Windows would have started a key exchange for this packet."""
        return self in (Action.SOFT, Action.INPASS, Action.NEGOTIATE)


@dataclass(frozen=True, slots=True)
class FilterAction:
    """A filter action; inbound and outbound differ only for dynamic rules (spec 8.3)."""

    name: str
    inbound: Action
    outbound: Action

    @classmethod
    def both(cls, name: str, action: Action) -> FilterAction:
        """An action that is the same in both directions."""
        return cls(name, action, action)

    @property
    def words(self) -> str:
        """What it does, as a policy file says it; each way if that differs."""
        inbound, outbound = self.inbound.name.lower(), self.outbound.name.lower()
        return inbound if inbound == outbound else f"{inbound} in, {outbound} out"


class Connection(enum.Enum):
    """The kind of interface a rule applies to (spec 1.4)."""

    ALL = "all"
    LAN = "lan"
    DIALUP = "dialup"


class ServerKind(enum.Enum):
    """Server types that follow the host's current configuration (spec 2.1)."""

    WINS = "wins"
    DNS = "dns"
    DHCP = "dhcp"
    GATEWAY = "gateway"


@dataclass(frozen=True, slots=True)
class AnyAddress:
    """Every address of every family that the profile filters."""

    def __str__(self) -> str:
        return "any"


@dataclass(frozen=True, slots=True)
class Me:
    """Every address of the host, followed as addresses come and go."""

    def __str__(self) -> str:
        return "me"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A host (all bits) or a subnet; host bits are already cleared.

    Numbers only: a policy may have a hundred thousand of them.
    """

    family: int
    """4 or 6."""
    bits: int
    first: int
    """The lowest of its addresses."""

    __match_args__ = ("network",)

    @classmethod
    def of(cls, network: IPNetwork) -> Prefix:
        """The prefix that a network is."""
        return cls(network.version, network.prefixlen, int(network.network_address))

    @property
    def network(self) -> IPNetwork:
        """The prefix as the library has it."""
        make = ipaddress.IPv4Network if self.family == 4 else ipaddress.IPv6Network
        return make((self.first, self.bits))

    def __str__(self) -> str:
        network = self.network
        return str(network.network_address if network.num_addresses == 1 else network)


@dataclass(frozen=True, slots=True)
class AddressRange:
    """All addresses from first to last, both included and of one family."""

    first: IPAddress
    last: IPAddress

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


@dataclass(frozen=True, slots=True)
class DnsName:
    """A name with the addresses it had when the filter was created (spec 2.1)."""

    name: str
    addresses: tuple[IPAddress, ...]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Server:
    """The host's current servers of one kind."""

    kind: ServerKind

    def __str__(self) -> str:
        return self.kind.value


Address: TypeAlias = AnyAddress | Me | Prefix | AddressRange | DnsName | Server


@dataclass(frozen=True, slots=True)
class Filter:
    """A generic filter, as an administrator means it (spec 2); port 0 means any port."""

    source: Address
    destination: Address
    source_port: int = 0
    destination_port: int = 0
    protocol: int = ANY_PROTOCOL
    mirrored: bool = True
    description: str = ""
    text: str = field(default="", compare=False)
    """The author's own words; empty when it was not written as one line of text."""

    @property
    def written(self) -> str:
        """The filter as its author wrote it, with its description behind a `#`."""
        words = self.text or str(self)
        return f"{words} # {self.description}" if self.description else words

    def __str__(self) -> str:
        """The filter in the policy file's one-line form."""
        arrow = "<->" if self.mirrored else "->"
        source = _side(self.source, self.source_port)
        destination = _side(self.destination, self.destination_port)
        line = f"{source} {arrow} {destination}"
        return line if self.protocol == ANY_PROTOCOL else f"{line} {protocol_name(self.protocol)}"


def _side(address: Address, port: int) -> str:
    text = str(address)
    if not port:
        return text
    return f"[{text}]:{port}" if ":" in text else f"{text}:{port}"


@dataclass(frozen=True, slots=True)
class FilterList:
    """Filters that share a name, and with it the rules that use them."""

    name: str
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Rule:
    """One filter list with one filter action (spec 1.1)."""

    name: str
    filter_list: FilterList
    action: FilterAction
    description: str = ""
    active: bool = True
    connection: Connection = Connection.ALL
    tunnel: bool = False
    """Whether it has a tunnel end point: its filters come before those of all others (spec 3.2)."""

    def mirrors(self, one: Filter) -> bool:
        """Whether the mirror of a filter of its list counts: in tunnel rules it never does, they
        come in pairs of one way each (spec 2.3)."""
        return one.mirrored and not self.tunnel


@dataclass(frozen=True, slots=True)
class Policy:
    """A named set of rules; a policy without rules filters nothing (T12)."""

    name: str
    rules: tuple[Rule, ...] = ()
    description: str = ""

    @property
    def by_interface(self) -> bool:
        """Whether its rules tell dial-up interfaces from others (spec 1.4)."""
        return any(rule.active and rule.connection is not Connection.ALL for rule in self.rules)
