"""`set config`: the driver's properties (spec 4.1, 6.3, 7.1, 8.3, T16)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ipsecfd.driver.exemptions import PROFILES
from ipsecfd.policy.netsh.errors import Code, CommandError
from ipsecfd.policy.netsh.state import State
from ipsecfd.policy.netsh.syntax import Arguments, Command, Tag
from ipsecfd.policy.netsh.values import TEXT, Kind, ValueRefused, choice, number
from ipsecfd.policy.stores.properties import BOOT_MODES, RANGES, PropertiesError, boot_exemptions

_AT_RESTART: Final = "when ipsecfd is started again"
_AT_BOOT: Final = "at the next boot"
_VISTA: Final = frozenset({"ikelogging", "strongcrlcheck", "ipsecexempt"})


def _exemptions(text: str) -> tuple[str, ...]:
    """A list with blanks between; none for the empty list."""
    if text.strip().lower() == "none":
        return ()
    if not text.strip():
        raise ValueRefused("none, or a list in quotes, as tcp:0:3389:inbound udp:0:68:inbound")
    return boot_exemptions(text.split())


@dataclass(frozen=True, slots=True)
class Property:
    """A property: what its values mean, and when one takes effect."""

    parse: Callable[[str], Any]
    effect: str
    """Empty for at once."""


def _number(name: str, effect: str = "") -> Property:
    allowed = RANGES[name]
    return Property(number(allowed[0], allowed[-1]).parse, effect)


PROPERTIES: Final = {
    "ipsecdiagnostics": _number("ipsecdiagnostics", _AT_RESTART),
    "ikelogging": _number("ikelogging"),
    "strongcrlcheck": _number("strongcrlcheck"),
    "ipsecloginterval": _number("ipsecloginterval", _AT_RESTART),
    "ipsecexempt": _number("ipsecexempt", _AT_RESTART),
    "bootmode": Property(choice(**{mode: mode for mode in BOOT_MODES}).parse, _AT_BOOT),
    "bootexemptions": Property(_exemptions, _AT_BOOT),
}


def _set_config(state: State, arguments: Arguments) -> str:
    name, text = arguments["property"], arguments["value"]
    profile = state.workspace.profile
    try:
        value = PROPERTIES[name].parse(text)
    except ValueRefused as error:
        raise CommandError(Code.VALUE, f'"{text}" for {name}: expected {error}') from error
    except PropertiesError as error:
        raise CommandError(Code.VALUE, f'"{text}" for {name}: {error}') from error
    if profile == "vista" and name not in _VISTA:
        raise CommandError(Code.REFUSED, f"the profile vista has no property {name}")
    allowed = PROFILES[profile].allowed_exempt
    if name == "ipsecexempt" and value not in allowed:
        known = " and ".join(map(str, sorted(allowed)))
        raise CommandError(Code.REFUSED, f"the profile {profile} knows ipsecexempt {known} only")
    state.workspace.properties = replace(state.workspace.properties, **{name: value})
    effect = PROPERTIES[name].effect
    return f"The new value takes effect {effect}." if effect else ""


def _property(text: str) -> str:
    """The property of this name, or the only one that begins so."""
    lower = text.lower()
    found = [lower] if lower in PROPERTIES else [p for p in PROPERTIES if p.startswith(lower)]
    if len(found) != 1:
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
            Kind("PROPERTY", _property, tuple(PROPERTIES)),
            f"One of {', '.join(PROPERTIES)}",
            required=True,
        ),
        Tag("value", TEXT, "Its value", required=True),
    ),
    "set config property=ipsecexempt value=3",
)
