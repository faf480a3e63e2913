"""The values of -n, -a, -1s, -1k and -1e: actions, and what only a key exchange would use.

The latter is checked, kept in the words of netsh, shown, and has no effect here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Action
from ipsecfd.policy.stores.content import KERBEROS, Authentication, Behaviour, StoredAction

_METHOD_FORM: Final = (
    "BLOCK, PASS, INPASS, or a security method as ESP[3DES,SHA], AH[MD5] or AH[SHA]+ESP[DES,NONE]"
)
_METHOD: Final = re.compile(
    r"(?:AH\[(?P<ah>MD5|SHA1?)\])?(?P<plus>\+)?"
    r"(?:ESP\[(?P<cipher>NONE|3?DES),(?P<hash>NONE|MD5|SHA1?)\])?"
    r"(?P<first>[0-9]{1,9}[KS])?(?:/(?P<second>[0-9]{1,9}[KS]))?(?P<pfs>P(?:FS)?[12]?)?",
    re.IGNORECASE,
)
_KEY_EXCHANGE: Final = re.compile(r"(3?DES)-(MD5|SHA1?)-([123])", re.IGNORECASE)
_REKEY: Final = re.compile(r"([0-9]{1,9})([QS])(?:/([0-9]{1,9})([QS]))?", re.IGNORECASE)
_DEFAULT_KILOBYTES: Final = "100000"
_DEFAULT_SECONDS: Final = "3600"
_LONGEST_NUMBER: Final = 9


class UsageError(IpsecfdError, ValueError):
    """Arguments that cannot be meant; the text says which and what was expected."""


class OtherComputerError(IpsecfdError):
    """The command is for another computer."""


class RefusedError(IpsecfdError):
    """A command that is understood and refused, by Windows as well; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Negotiation:
    """What -n and -soft ask for."""

    behaviour: Behaviour = Behaviour.NEGOTIATE
    inpass: bool = False
    soft: bool = False
    pfs: bool = False
    methods: str = ""
    """In the words of netsh, separated by blanks; empty for the standard ones."""

    @property
    def name(self) -> str:
        """The name of the filter action that does this: equal ones share it."""
        if self.behaviour is not Behaviour.NEGOTIATE:
            return "BLOCK" if self.behaviour is Behaviour.BLOCK else "PASS"
        words = (
            self.methods,
            "PFS" if self.pfs else "",
            "INPASS" if self.inpass else "",
            "SOFT" if self.soft else "",
        )
        return " ".join(word for word in words if word) or "NEGOTIATE"

    def stored(self, modified: int) -> StoredAction:
        """The filter action for a store; `modified` in seconds since 1970."""
        return StoredAction(
            self.name,
            self.behaviour,
            self.inpass,
            self.soft,
            self.pfs,
            self.methods,
            modified=modified,
        )

    @property
    def action(self) -> Action:
        """What the driver does."""
        return self.stored(0).action


@dataclass(frozen=True, slots=True)
class MainMode:
    """What -1s, -1k, -1p and -1e ask for; None where nothing was asked."""

    methods: str | None = None
    quick_modes: int | None = None
    lifetime: int | None = None
    """Minutes."""
    pfs: bool | None = None
    soft_expiration: int | None = None
    """Seconds."""


def parse_negotiation(items: Sequence[str], *, soft: bool, static: bool) -> Negotiation:
    """The meaning of the items of -n. Raises UsageError, and RefusedError for a word in lower case
    that Windows knows in upper case only where it writes policies (spec 8.4)."""
    words = [item.upper() for item in items]
    for item, word in zip(items, words, strict=True):
        if static and item != word and word in ("BLOCK", "PASS", "INPASS"):
            raise RefusedError(f"-n {item}: with -w expected {word}, in upper case")
    for word, behaviour in (("BLOCK", Behaviour.BLOCK), ("PASS", Behaviour.PERMIT)):
        if word in words:
            if set(words) != {word} or soft:
                raise UsageError(f"-n {word} goes with no other method and not with -soft")
            return Negotiation(behaviour)
    methods = [_method(item) for item in items if item.upper() != "INPASS"]
    return Negotiation(
        inpass="INPASS" in words,
        soft=soft,
        pfs=any(pfs for _, pfs in methods),
        methods=" ".join(method for method, _ in methods),
    )


def parse_authentication(items: Sequence[str]) -> tuple[Authentication, ...]:
    """The meaning of the items of -a. Raises UsageError."""
    return tuple(_authentication(item) for item in items) or KERBEROS


def parse_key_exchange(items: Sequence[str]) -> str:
    """The items of -1s in the words of netsh. Raises UsageError."""
    return " ".join(_key_exchange(item) for item in items)


def parse_rekey(text: str) -> tuple[int | None, int | None]:
    """The quick modes and the minutes of -1k. Raises UsageError."""
    found = _REKEY.fullmatch(text)
    given: dict[str, int] = {}
    if found:
        for number, unit in ((found[1], found[2]), (found[3], found[4])):
            if number:
                given[unit.upper()] = int(number)
    if found is None or (found[3] and len(given) < 2):
        raise UsageError(
            f'-1k "{text}": expected quick modes, seconds or both, as 10Q, 3600S or 10Q/3600S'
        )
    seconds = given.get("S")
    return given.get("Q"), None if seconds is None else -(-seconds // 60)


def parse_seconds(text: str) -> int:
    """The seconds of -1e. Raises UsageError."""
    if not (text.isascii() and text.isdigit()) or len(text) > _LONGEST_NUMBER:
        raise UsageError(f'-1e "{text}": expected seconds, as 300')
    return int(text)


def _method(text: str) -> tuple[str, bool]:
    """A security method in the words of netsh, and whether it asks for PFS."""
    found = _METHOD.fullmatch(text)
    if found is None:
        raise UsageError(f'-n "{text}": expected {_METHOD_FORM}')
    ah, cipher = found["ah"], found["cipher"]
    limits = {one[-1].upper(): one[:-1] for one in (found["first"], found["second"]) if one}
    incomplete = not (ah or cipher) or bool(ah and cipher) != bool(found["plus"])
    if incomplete or (found["second"] and len(limits) < 2):
        raise UsageError(f'-n "{text}": expected {_METHOD_FORM}')
    parts = []
    if ah:
        parts.append(f"AH[{_hash(ah)}]")
    if cipher:
        parts.append(f"ESP[{cipher.upper()},{_hash(found['hash'])}]")
    method = "+".join(parts)
    if limits:
        kilobytes = limits.get("K", _DEFAULT_KILOBYTES)
        method += f":{kilobytes}k/{limits.get('S', _DEFAULT_SECONDS)}s"
    return method, found["pfs"] is not None


def _hash(text: str) -> str:
    upper = text.upper()
    return "SHA1" if upper == "SHA" else upper


def _key_exchange(text: str) -> str:
    found = _KEY_EXCHANGE.fullmatch(text)
    if found is None:
        raise UsageError(f'-1s "{text}": expected CIPHER-HASH-GROUP, as 3DES-SHA-2')
    return f"{found[1].upper()}-{_hash(found[2])}-{found[3]}"


def _authentication(text: str) -> Authentication:
    kind, _, value = text.partition(":")
    value = value.removeprefix('"').removesuffix('"')
    match kind.upper():
        case "KERBEROS" if not value:
            return Authentication("kerberos")
        case "PRESHARE" if value:
            return Authentication("psk", value)
        case "CERT" if value:
            return Authentication("rootca", value)
    # The text may hold a key: it is not repeated.
    raise UsageError('-a: expected KERBEROS, PRESHARE:"KEY" or CERT:"AUTHORITY"')
