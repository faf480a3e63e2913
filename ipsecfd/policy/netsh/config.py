"""`set config`: the driver's properties (spec 4.1, 6.3, 7.1, 8.3, T16)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any, Final

from ipsecfd.policy.model import ICMP, PROTOCOL_NUMBERS, RAW, TCP, UDP, protocol_name
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Tag
from ipsecfd.policy.netsh.values import TEXT, Kind, ValueRefused, choice, number

BOOT_EXEMPTIONS_LIMIT: Final = 1024
"""The driver takes no more (spec 6.3)."""
_AT_RESTART: Final = "The new value takes effect when ipsecfd is started again."
_AT_BOOT: Final = "The new value takes effect at the next boot."
_EXEMPTION: Final = re.compile(
    r"(?:(tcp|udp):(\d{1,5}):(\d{1,5})|(icmp|raw|\d{1,3})):(inbound|outbound)",
    re.IGNORECASE | re.ASCII,
)
_VISTA: Final = frozenset({"ikelogging", "strongcrlcheck", "ipsecexempt"})
_OLD_EXEMPTIONS: Final = frozenset({"win2000", "winxp"})


def _exemptions(text: str) -> tuple[str, ...]:
    """A list in blanks, each as the driver writes it; none for the empty list."""
    if text.strip().lower() == "none":
        return ()
    found = dict.fromkeys(_exemption(one) for one in text.split())
    if not found:
        raise ValueRefused("none, or exemptions as tcp:0:3389:inbound in quotes, blanks between")
    if len(found) > BOOT_EXEMPTIONS_LIMIT:
        raise ValueRefused(f"at most {BOOT_EXEMPTIONS_LIMIT} exemptions")
    return tuple(found)


def _exemption(text: str) -> str:
    match = _EXEMPTION.fullmatch(text)
    if match is None:
        raise ValueRefused(
            f"tcp|udp:SOURCE-PORT:DESTINATION-PORT:inbound|outbound or"
            f" icmp|raw|0-255:inbound|outbound, not {text}"
        )
    ported, source, destination, plain, way = match.groups()
    if ported:
        ports = int(source), int(destination)
        if max(ports) > 65535:
            raise ValueRefused(f"ports from 0 to 65535, not {text}")
        return f"{ported.lower()}:{ports[0]}:{ports[1]}:{way.lower()}"
    protocol = int(plain) if plain.isdigit() else PROTOCOL_NUMBERS[plain.lower()]
    if protocol > 255:
        raise ValueRefused(f"a protocol from 0 to 255, not {text}")
    if protocol in (TCP, UDP):
        return f"{protocol_name(protocol)}:0:0:{way.lower()}"
    name = protocol_name(protocol) if protocol in (ICMP, RAW) else str(protocol)
    return f"{name}:{way.lower()}"


@dataclass(frozen=True, slots=True)
class Property:
    """A property: its values, and what to say of when it takes effect."""

    kind: Kind
    effect: str = ""


PROPERTIES: Final = {
    "ipsecdiagnostics": Property(number(0, 7), _AT_RESTART),
    "ikelogging": Property(number(0, 1)),
    "strongcrlcheck": Property(number(0, 2)),
    "ipsecloginterval": Property(number(60, 86_400, unit=" of seconds"), _AT_RESTART),
    "ipsecexempt": Property(number(0, 3), _AT_RESTART),
    "bootmode": Property(choice(stateful="stateful", block="block", permit="permit"), _AT_BOOT),
    "bootexemptions": Property(Kind("LIST", _exemptions, ("none",)), _AT_BOOT),
}


def _set_config(state: State, arguments: Arguments) -> str:
    name, text = arguments["property"], arguments["value"]
    profile = state.workspace.profile
    try:
        value: Any = PROPERTIES[name].kind.parse(text)
    except ValueRefused as error:
        raise CommandError(Code.VALUE, f"{name}={text}: expected {error}") from error
    if profile == "vista" and name not in _VISTA:
        raise CommandError(Code.REFUSED, f"the profile vista has no property {name}")
    if name == "ipsecexempt" and profile in _OLD_EXEMPTIONS and value > 1:
        raise CommandError(Code.REFUSED, f"the profile {profile} knows ipsecexempt 0 and 1 only")
    state.workspace.properties = replace(state.workspace.properties, **{name: value})
    return PROPERTIES[name].effect


def _find_property(text: str) -> str:
    lower = text.lower()
    found = [lower] if lower in PROPERTIES else [p for p in PROPERTIES if p.startswith(lower)]
    if len(found) != 1 or not lower:
        raise ValueRefused(", ".join(PROPERTIES))
    return found[0]


SET_CONFIG: Final = Command(
    "set",
    "config",
    "Sets a property of the driver",
    _set_config,
    (
        Tag(
            "property",
            Kind("PROPERTY", _find_property, tuple(PROPERTIES)),
            f"One of {', '.join(PROPERTIES)}",
            required=True,
        ),
        Tag("value", TEXT, "Its value", required=True),
    ),
    "set config property=ipsecexempt value=3",
)
