"""Security and authentication methods as netsh writes them (spec 8.2, 8.6).

They are kept and shown and have no effect; what has no words there is left out. The numbers of
algorithms are inferred.
"""

from __future__ import annotations

from typing import Final

from ipsecfd.policy.registry.filters import one_line
from ipsecfd.policy.registry.layout import Algorithm, AuthenticationType, Method, Offer
from ipsecfd.policy.stores.content import Authentication

_AH: Final = 1
_ESP: Final = 2
_HASHES: Final = {0: "NONE", 1: "MD5", 2: "SHA1"}
_CIPHERS: Final = {0: "NONE", 1: "DES", 3: "3DES"}
_KINDS: Final = {
    AuthenticationType.PSK: "psk",
    AuthenticationType.CERTIFICATE: "rootca",
    AuthenticationType.KERBEROS: "kerberos",
}


def is_soft(offers: tuple[Offer, ...]) -> bool:
    """Whether an offer without algorithms allows unsecured peers."""
    return any(not one.algorithms for one in offers)


def security_methods(offers: tuple[Offer, ...]) -> str:
    """The offers as `qmsecmethods`: `ESP[3DES,SHA1]:100000k/3600s AH[MD5]`."""
    words = (_offer(one) for one in offers if one.algorithms)
    return " ".join(word for word in words if word)


def authentication(methods: tuple[Method, ...]) -> tuple[Authentication, ...]:
    """The authentication methods that netsh has words for."""
    return tuple(
        Authentication(_KINDS[AuthenticationType(one.type)], _value(one))
        for one in methods
        if one.type in _KINDS
    )


def _offer(offer: Offer) -> str:
    parts = [_algorithm(one) for one in offer.algorithms]
    if not all(parts):
        return ""
    life = f":{offer.kilobytes}k/{offer.seconds}s" if offer.kilobytes or offer.seconds else ""
    return f"{'+'.join(parts)}{life}"


def _algorithm(one: Algorithm) -> str:
    if one.operation == _AH and one.identifier in (1, 2):
        return f"AH[{_HASHES[one.identifier]}]"
    if one.operation == _ESP and one.identifier in _CIPHERS and one.secondary in _HASHES:
        return f"ESP[{_CIPHERS[one.identifier]},{_HASHES[one.secondary]}]"
    return ""


def _value(one: Method) -> str:
    if one.type == AuthenticationType.KERBEROS:
        return ""
    try:
        text = one.data.decode("utf-16-le").rstrip("\0")
    except UnicodeDecodeError:
        return one.data.hex()
    return one_line(text) if text.isprintable() else one.data.hex()
