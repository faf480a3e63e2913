"""Servers of the host in the text of configuration files, which may be anything.

Pure functions. What is not understood names no server.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from itertools import islice
from typing import Final

from ipsecfd.driver.host import LIMITED_BROADCAST
from ipsecfd.policy.model import IPAddress

MAX_SERVERS: Final = 256
"""Servers of one kind."""


def nameservers(text: str) -> list[IPAddress]:
    """The `nameserver` lines of a resolv.conf."""
    lines = (line.split() for line in text.split("\n"))
    found = (
        parse_address(words[1]) for words in lines if len(words) > 1 and words[0] == "nameserver"
    )
    return list(islice((one for one in found if one is not None), MAX_SERVERS))


def wins_servers(text: str) -> frozenset[IPAddress]:
    """The `wins server` option of a smb.conf; each server may stand behind a `tag:`."""
    for line in text.split("\n"):
        key, equals, value = line.partition("=")
        if equals and "".join(key.split()).lower() == "winsserver":
            return named(word.rpartition(":")[2] for word in value.replace(",", " ").split())
    return frozenset()


def parse_address(text: str) -> IPAddress | None:
    """An address in text, without its interface; None for anything else."""
    try:
        return ipaddress.ip_address(text.partition("%")[0])  # filters know no interfaces
    except ValueError:
        return None


def named(words: Iterable[str]) -> frozenset[IPAddress]:
    """The usable ones of the addresses among some words."""
    return usable(one for word in words if (one := parse_address(word)) is not None)


def usable(addresses: Iterable[IPAddress]) -> frozenset[IPAddress]:
    """Those that a packet can come from; others can only be lies or the host itself."""
    found = (
        one
        for one in addresses
        if not (one.is_loopback or one.is_multicast or one.is_unspecified)
        and one != LIMITED_BROADCAST
    )
    return frozenset(islice(found, MAX_SERVERS))
