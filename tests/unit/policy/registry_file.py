"""A policy store as a registry export, built as Windows would write it."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable
from typing import Any

from ipsecfd.policy.registry.layout import Filter1, FilterBlob, Method, Offer, RuleBlob
from tests.unit.policy.registry_blobs import (
    build_filters,
    build_negotiation,
    build_policy,
    build_rule,
)

LOCAL = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\IPSec\Policy\Local"
SERVICE = r"HKEY_LOCAL_MACHINE\SYSTEM\CurrentControlSet\Services\IPSEC"
HEADER = "Windows Registry Editor Version 5.00"
BLOCK = "{3f91a819-7647-11d1-864d-d46a00000000}"
PERMIT = "{8a171dd2-77e3-11d1-8659-a04f00000000}"
NEGOTIATE = "{8a171dd3-77e3-11d1-8659-a04f00000000}"
INPASS = "{3f91a81a-7647-11d1-864d-d46a00000000}"
STANDARD = "{62f49e10-6c37-11d1-864c-14a300000000}"
DEFAULT_RESPONSE = "{62f49e13-6c37-11d1-864c-14a300000000}"
ANY = ipaddress.IPv4Address("0.0.0.0")
EXACT = ipaddress.IPv4Address("255.255.255.255")


def guid(number: int) -> str:
    return f"{{{uuid.UUID(int=number)}}}"


def me_to(address: str, mask: str = "255.255.255.255", **fields: Any) -> Filter1:
    """A filter from me to an address."""
    return Filter1(
        ANY, EXACT, ipaddress.IPv4Address(address), ipaddress.IPv4Address(mask), **fields
    )


def text(name: str, value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{name}"="{escaped}"'


def binary(name: str, data: bytes, kind: str = "hex") -> str:
    """A value as regedit breaks it over lines."""
    line = f'"{name}"={kind}:'
    lines = []
    for index, one in enumerate(data):
        piece = f"{one:02x}" + ("," if index < len(data) - 1 else "")
        if len(line) + len(piece) > 77:
            lines.append(line + "\\")
            line = "  "
        line += piece
    return "\n".join([*lines, line])


def multi(name: str, values: Iterable[str]) -> str:
    data = "".join(f"{one}\0" for one in values) + "\0"
    return binary(name, data.encode("utf-16-le"), "hex(7)")


def path(kind: str, number: int) -> str:
    return LOCAL.partition("\\")[2] + f"\\ipsec{kind}{guid(number)}"


class Export:
    """Collects the keys of a store; `text` is the file."""

    def __init__(self) -> None:
        self.lines = [HEADER, "", f"[{LOCAL}]"]

    def key(self, kind: str, number: int, *values: str) -> None:
        self.lines += [
            "",
            f"[{LOCAL}\\ipsec{kind}{guid(number)}]",
            text("className", f"ipsec{kind}"),
            text("ipsecID", guid(number)),
            '"ipsecDataType"=dword:00000100',
            '"whenChanged"=dword:438441f0',
            *values,
        ]

    def filters(self, number: int, name: str, *filters: Filter1) -> None:
        self.key(
            "Filter",
            number,
            text("ipsecName", name),
            binary("ipsecData", build_filters(FilterBlob(filters))),
        )

    def action(
        self, number: int, name: str, action: str, *offers: Offer, kind: str = STANDARD
    ) -> None:
        self.key(
            "NegotiationPolicy",
            number,
            text("ipsecName", name),
            text("ipsecNegotiationPolicyAction", action),
            text("ipsecNegotiationPolicyType", kind),
            binary("ipsecData", build_negotiation(offers)),
        )

    def rule(
        self, number: int, name: str, action: int, filters: int | None, blob: RuleBlob | None = None
    ) -> None:
        blob = blob or RuleBlob((Method(5),))
        self.key(
            "NFA",
            number,
            text("ipsecName", name),
            binary("ipsecData", build_rule(blob)),
            text("ipsecNegotiationPolicyReference", path("NegotiationPolicy", action)),
            *(
                []
                if filters is None
                else [multi("ipsecFilterReference", [path("Filter", filters)])]
            ),
        )

    def policy(self, number: int, name: str, rules: Iterable[int], seconds: int = 10_800) -> None:
        self.key(
            "Policy",
            number,
            text("ipsecName", name),
            text("description", f"about {name}"),
            binary("ipsecData", build_policy(seconds)),
            multi("ipsecNFAReference", [path("NFA", one) for one in rules]),
        )

    def assign(self, number: int) -> None:
        self.lines.insert(3, text("ActivePolicy", path("Policy", number)))

    @property
    def text(self) -> str:
        return "\n".join([*self.lines, ""])
