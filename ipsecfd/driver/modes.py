"""The driver's modes, and the boot exemptions of two of them (spec section 6)."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.packet import Packet
from ipsecfd.policy.model import ICMP, PROTOCOL_NUMBERS, TCP, UDP, packet_protocol_name

MAX_BOOT_EXEMPTIONS: Final = 1024
"""Windows' own limit is not documented; a choice (spec 6.3)."""


class Mode(enum.Enum):
    """What the driver does with packets (spec 6.1)."""

    STARTUP_PERMIT = "startup-permit"
    STARTUP_BLOCK = "startup-block"
    STARTUP_STATEFUL = "stateful"
    SECURE = "secure"
    PERMIT = "permit"
    BLOCK = "block"

    def __str__(self) -> str:
        return self.value


def startup_name(mode: Mode) -> str:
    """A start-up mode as the configuration calls it."""
    return str(mode).removeprefix("startup-")


_BOOT_EXEMPTION: Final = re.compile(
    r"(?:(?P<ported>tcp|udp):(?P<source>\d{1,5}):(?P<destination>\d{1,5})"
    r"|(?P<plain>icmp|icmpv6|raw|\d{1,3})):(?P<direction>inbound|outbound)",
    re.IGNORECASE | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class BootExemption:
    """Packets that pass in the start-up modes block and stateful; no mirror, port 0 is any."""

    protocol: int
    direction: Direction
    source_port: int = 0
    destination_port: int = 0

    @classmethod
    def parse(cls, text: str) -> BootExemption:
        """Read `tcp:0:3389:inbound` or `icmp:inbound` (spec 6.3), in any case.

        Raises ValueError with what was expected.
        """
        match = _BOOT_EXEMPTION.fullmatch(text.strip())
        if match is None:
            raise ValueError(
                "expected (tcp|udp):SOURCE-PORT:DESTINATION-PORT:(inbound|outbound)"
                " or (icmp|icmpv6|raw|0-255):(inbound|outbound)"
            )
        direction = Direction.IN if match["direction"].lower() == "inbound" else Direction.OUT
        if match["ported"]:
            ports = int(match["source"]), int(match["destination"])
            if max(ports) > 65535:
                raise ValueError("expected ports from 0 to 65535")
            return cls(PROTOCOL_NUMBERS[match["ported"].lower()], direction, *ports)
        plain = match["plain"].lower()
        number = int(plain) if plain.isdigit() else PROTOCOL_NUMBERS[plain]
        if number > 255:
            raise ValueError("expected a protocol number from 0 to 255")
        return cls(number, direction)

    def matches(self, packet: Packet, direction: Direction) -> bool:
        """Whether this packet is exempt; a fragment without its ports is not."""
        if direction is not self.direction or packet.protocol != self.protocol:
            return False
        if self.protocol in (TCP, UDP) and not packet.has_ports:
            return False
        if self.protocol == ICMP and packet.family != 4:
            return False  # protocol 1 is ICMP for IPv4 only (design)
        return self.source_port in (0, packet.source_port) and self.destination_port in (
            0,
            packet.destination_port,
        )

    def __str__(self) -> str:
        way = "inbound" if self.direction is Direction.IN else "outbound"
        name = packet_protocol_name(self.protocol)
        if self.protocol in (TCP, UDP):
            return f"{name}:{self.source_port}:{self.destination_port}:{way}"
        return f"{name}:{way}"


DEFAULT_BOOT_EXEMPTIONS: Final = tuple(
    map(BootExemption.parse, ("udp:0:68:inbound", "tcp:0:22:inbound", "tcp:22:0:outbound"))
)
"""What passes in the start-up modes where the configuration says nothing else: answers of DHCP
servers, and ssh."""
