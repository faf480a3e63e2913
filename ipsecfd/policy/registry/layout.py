"""What the binary values of a policy store say, piece by piece (spec 8.6)."""

from __future__ import annotations

import enum
import uuid
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

NO_ADDRESS: Final = IPv4Address(0)
NO_GUID: Final = uuid.UUID(int=0)


class AuthenticationType(enum.IntEnum):
    """Kinds of authentication method."""

    PSK = 1
    CERTIFICATE = 3
    KERBEROS = 5


class InterfaceType(enum.IntEnum):
    """The connections that a rule is for (spec 1.4)."""

    ALL = 0xFFFFFFFD
    LAN = 0xFFFFFFFE
    DIALUP = 0xFFFFFFFF


class Special(enum.IntEnum):
    """A server type as one side of a version 1 filter; 0x80 is added for the destination."""

    NONE = 0
    DNS = 1
    WINS = 2
    DHCP = 3
    GATEWAY = 4


class Kind(enum.IntEnum):
    """Kinds of address in a version 2 filter."""

    ANY = 0
    HOST = 1
    RANGE = 2
    SUBNET = 4
    ME = 8
    DNS = 0x10
    WINS = 0x20
    DHCP = 0x40
    GATEWAY = 0x80


@dataclass(frozen=True, slots=True)
class Method:
    """An authentication method; `data` is the key or the certificate authority's name."""

    type: int
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class RuleBlob:
    """What `ipsecNFA` keeps in binary."""

    methods: tuple[Method, ...] = ()
    interface_type: int = InterfaceType.ALL
    interface_name: str = ""
    tunnel: IPv4Address = NO_ADDRESS
    is_tunnel: bool = False
    active: bool = True
    tunnel_name: str = ""


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One transform of an offer: operation 1 is AH, 2 is ESP; `secondary` is ESP's hash."""

    operation: int
    identifier: int
    secondary: int = 0
    key_length: int = 0
    rounds: int = 0


@dataclass(frozen=True, slots=True)
class Offer:
    """One security method of a negotiation policy; one without algorithms stands for soft."""

    seconds: int = 0
    kilobytes: int = 0
    flags: int = 0
    pfs: bool = False
    algorithms: tuple[Algorithm, ...] = ()


@dataclass(frozen=True, slots=True)
class Filter1:
    """A filter of version 1: IPv4, one port a side."""

    source: IPv4Address
    source_mask: IPv4Address
    destination: IPv4Address
    destination_mask: IPv4Address
    protocol: int = 0
    source_port: int = 0
    destination_port: int = 0
    mirrored: bool = True
    source_name: str = ""
    destination_name: str = ""
    description: str = ""
    guid: uuid.UUID = NO_GUID
    tunnel: IPv4Address = NO_ADDRESS
    is_tunnel: bool = False
    special: int = 0


@dataclass(frozen=True, slots=True)
class Address2:
    """An address of version 2; `end` is a range's last address or a mask."""

    kind: int
    version: int = 3
    """1 for IPv4, 2 for IPv6, 3 for both."""
    address: bytes = bytes(16)
    end: bytes = bytes(16)


@dataclass(frozen=True, slots=True)
class Ports2:
    """Ports of version 2: kind 0 is any, 1 the first port alone, 2 all from first to last."""

    kind: int = 0
    first: int = 0
    last: int = 0


@dataclass(frozen=True, slots=True)
class Filter2:
    """A filter of version 2: either family, ranges of addresses and of ports."""

    source: Address2
    destination: Address2
    source_ports: Ports2 = Ports2()
    destination_ports: Ports2 = Ports2()
    protocol: int = 0
    flags: int = 0
    mirrored: bool = True
    source_name: str = ""
    destination_name: str = ""
    description: str = ""
    guid: uuid.UUID = NO_GUID


@dataclass(frozen=True, slots=True)
class FilterBlob:
    """What `ipsecFilter` keeps in binary.

    With a version 2 part only the first `override` filters of version 1 count; the others repeat
    those of version 2 for systems that do not read these.
    """

    filters: tuple[Filter1, ...] = ()
    filters_2: tuple[Filter2, ...] = ()
    override: int | None = None

    @property
    def effective(self) -> tuple[Filter1 | Filter2, ...]:
        """The filters that are meant, each once."""
        kept = self.filters if self.override is None else self.filters[: self.override]
        return (*kept, *self.filters_2)
