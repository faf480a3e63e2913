"""A netsh script as it grows: its lines, the tags of its commands, and what they do not say."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.export.exported import Exported, one_line
from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.model import (
    Address,
    AddressRange,
    Connection,
    DnsName,
    Filter,
    Prefix,
    Server,
    protocol_name,
)
from ipsecfd.policy.netsh.values import LONGEST_NAME, TUNNEL
from ipsecfd.policy.netsh.words import quoted
from ipsecfd.policy.stores.content import KERBEROS, Authentication


class Script:
    """Collects the lines of a script, and what they do not say."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._notes: list[str] = []
        self._resolved = 0

    def exported(self) -> Exported:
        """The script as it is now."""
        if self._resolved:
            filters = "1 filter" if self._resolved == 1 else f"{self._resolved} filters"
            self._notes.append(f"the DNS names of {filters} are resolved anew by who reads this")
        return Exported("\n".join((*self._lines, "")), tuple(dict.fromkeys(self._notes)))

    def line(self, text: str) -> None:
        """A line as it is."""
        self._lines.append(text)

    def comment(self, text: str) -> None:
        """A remark for who reads the script."""
        self._lines.append(f"# {text}")

    def command(self, *words: str) -> None:
        """A command of these words and tags; empty ones are left out."""
        self._lines.append(" ".join(word for word in words if word))

    def note(self, what: str, name: str, lost: str) -> None:
        """Tell what the script does not say about the object of this kind and name."""
        self._notes.append(f"{what} '{printable(name)}': {lost}")

    def name(self, tag: str, name: str) -> str:
        """A name as the value of a tag."""
        if len(name) > LONGEST_NAME:
            self.note("name", f"{name[:20]}...", f"longer than netsh takes ({LONGEST_NAME})")
        return self.text(tag, name)

    def text(self, tag: str, text: str) -> str:
        """A text as the value of a tag; nothing for an empty one."""
        line = one_line(text)
        if line != text:
            self.note(tag, line[:40], "control characters and line breaks are blanks here")
        return f"{tag}={quoted(line)}" if line else ""

    def sides(self, one: Filter) -> Sequence[str]:
        """The tags that say which packets a filter is for."""
        self._resolved += any(isinstance(side, DnsName) for side in (one.source, one.destination))
        protocol = protocol_name(one.protocol).upper()
        return (
            *self._address("src", one.source, one),
            *self._address("dst", one.destination, one),
            f"protocol={protocol if protocol != 'ICMPV6' else one.protocol}",
            f"srcport={one.source_port}" if one.source_port else "",
            f"dstport={one.destination_port}" if one.destination_port else "",
            f"mirrored={_yes(one.mirrored)}",
        )

    def _address(self, side: str, address: Address, one: Filter) -> Iterable[str]:
        match address:
            case Server(kind):
                yield f"{side}addr={kind.value.upper()}"
            case Prefix(network) if _is_a_word_of_netsh(network):
                self.note("filter", str(one), f"{network} is written as a range")
                yield f"{side}addr={AddressRange(network[0], network[-1])}"
            case Prefix(ipaddress.IPv4Network() as network) if network.prefixlen < 32:
                yield f"{side}addr={network.network_address}"
                yield f"{side}mask={network.netmask}"
            case _:
                yield f"{side}addr={address}"

    def tunnel(self, tag: str, name: str, end_point: str) -> str:
        """The end of a rule's tunnel as the value of a tag; nothing without a tunnel."""
        if not end_point:
            return ""
        try:
            TUNNEL.parse(end_point)
        except IpsecfdError:
            self.note("rule", name, f"its tunnel ends at '{printable(end_point)}'; not written")
            return ""
        return f"{tag}={end_point}"

    def authentication(
        self, what: str, name: str, methods: Sequence[Authentication]
    ) -> Iterable[str]:
        """The tags for how both sides of a rule tell who they are; none for Kerberos alone."""
        if methods == KERBEROS:
            return
        if not methods:
            self.note(what, name, "it has no authentication method, which means Kerberos here")
        used = set()
        for one in methods:
            if one.kind in used and one.kind != "rootca":
                self.note(what, name, f"netsh takes one {one.kind}; the first is written")
                continue
            used.add(one.kind)
            if one.kind == "kerberos":
                yield "kerberos=yes"
            else:
                yield self.text(one.kind, one.value) or f'{one.kind}=""'


def connection(connection: Connection) -> str:
    """The tag for the interfaces that a rule is for; nothing for all of them."""
    return "" if connection is Connection.ALL else f"conntype={connection.value}"


def _is_a_word_of_netsh(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    """Whether netsh takes a prefix for any or me, or refuses it (spec 2.1)."""
    if network.version == 6:
        return network.prefixlen == 0
    return not int(network.network_address) and network.prefixlen in (0, 32)


def _yes(value: bool) -> str:
    return "yes" if value else "no"
