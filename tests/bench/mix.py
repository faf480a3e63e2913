"""Policies of any size with the variety of real ones, after ClassBench's observations."""

from __future__ import annotations

import ipaddress
import random

from ipsecfd.driver.specific import specific_filters
from ipsecfd.policy.model import Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.tomlfile import parse_policy

PORT = 9000
"""UDP port of the guard that every mix permits: the load goes there."""


def policy_text(filters: int, seed: int = 1) -> str:
    """A policy file with this many filters: prefixes of every length, ports on one side, on both
    or on none, several protocols, in a permitting and a blocking rule."""
    random_ = random.Random(seed)
    lines = [_filter(random_, kind) for kind in range(filters - 3)]
    half = len(lines) // 2
    return _POLICY.format(port=PORT, permitted=_listed(lines[:half]), blocked=_listed(lines[half:]))


def groups(filters: int) -> int:
    """How many combinations of address class, prefix lengths and protocol rank a mix has: the
    probes that a lookup without any further idea would take."""
    loaded = parse_policy(policy_text(filters), "mix.toml", Names(None))
    return len({one.rank for one in specific_filters([(Store.LOCAL, loaded.policy)], ipv6=True)})


_POLICY = """\
name = "Mix"
[[rule]]
name = "The load"
action = "permit"
filters = ["any <-> me:{port} udp", "any <-> me tcp", "any <-> me icmp"]
[[rule]]
name = "Permitted"
action = "permit"
filters = [{permitted}]
[[rule]]
name = "Blocked"
action = "block"
filters = [{blocked}]
"""


def _listed(lines: list[str]) -> str:
    return "".join(f'\n  "{line}",' for line in lines) + "\n"


def _filter(random_: random.Random, kind: int) -> str:
    """One of three kinds: to a port of the host from anywhere, from a network to the host, and
    between networks."""
    protocol = random_.choice(("tcp", "udp"))
    port = f":{random_.randint(1, 8999)}"
    arrow = random_.choice(("->", "<->"))
    if kind % 5 == 1:
        return f"any <-> me{port} {protocol}"
    source = _prefix(random_)
    destination = "me" if kind % 5 == 0 else _prefix(random_)
    shape = random_.random()
    if shape < 0.15:
        return f"{source} {arrow} {destination} {random_.choice(('any', 'icmp', 'tcp', 'udp'))}"
    if shape < 0.3:
        return f"{source}:{random_.randint(1, 1023)} {arrow} {destination} {protocol}"
    if shape < 0.45:
        source += f":{random_.randint(1, 1023)}"
    return f"{source} {arrow} {destination}{port} {protocol}"


def _prefix(random_: random.Random) -> str:
    """A prefix outside the lab's own networks, long ones more often than short ones."""
    length = max(random_.randint(8, 32), random_.randint(8, 32))
    address = random_.randint(11 << 24, (100 << 24) - 1)
    return str(ipaddress.ip_network((address, length), strict=False))
