"""What administration commands work on: the stores, the dynamic rules, the driver's properties.

The commands of netsh, ipseccmd and the importers change a Workspace and do no I/O. Who made it (a
command line, the agent, a dry run) knows where it came from and what becomes of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ipsecfd.driver.modes import DEFAULT_BOOT_EXEMPTIONS
from ipsecfd.policy.counters import Counters
from ipsecfd.policy.grammar import Resolve
from ipsecfd.policy.model import IPAddress, Policy, Store
from ipsecfd.policy.stores.draft import Draft
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.stores.properties import Properties

CONFIGURED: Final = Properties(
    ipsecdiagnostics=7,
    ikelogging=0,
    strongcrlcheck=1,
    ipsecloginterval=0,
    ipsecexempt=3,
    bootmode="stateful",
    bootexemptions=tuple(map(str, DEFAULT_BOOT_EXEMPTIONS)),
)
"""The properties that an untouched configuration file gives."""

DOMAIN_READ_ONLY: Final = (
    "the domain policy is changed where it comes from; what is kept here is a copy of it"
)
"""Why nobody changes the domain store of a host by a command."""


def _empty_stores() -> dict[Store, Draft]:
    return {Store.LOCAL: Draft(), Store.PERSISTENT: Draft(), Store.DOMAIN: Draft()}


@dataclass(frozen=True, slots=True)
class GivenPolicy:
    """A local policy in force that a file gave, not the store."""

    name: str
    file: str
    read: Callable[[], Policy]
    """Raises IpsecfdError."""


@dataclass(slots=True)
class Workspace:
    """Drafts of everything that a command may change, and what it may ask."""

    resolve: Resolve
    """Addresses of a DNS name; raises when it has none."""
    stores: dict[Store, Draft] = field(default_factory=_empty_stores)
    given: tuple[GivenPolicy, ...] = ()
    """What is in force in place of the local store's policy."""
    dynamic: DynamicDraft | None = None
    """None where there is no running agent to hold dynamic rules: commands that need them fail."""
    dynamic_persist: bool = False
    """Whether dynamic rules outlive a stop of the service (spec 0, X6)."""
    properties: Properties = field(default_factory=Properties)
    """Set for the next start, unless one takes effect at once (spec 7.1)."""
    configured: Properties = CONFIGURED
    """What holds where no property is set: the configuration file, here its defaults."""
    profile: str = "linux"
    host: str = "localhost"
    """Computer name, for `show`."""
    addresses: tuple[IPAddress, ...] = ()
    """The host's own addresses, for specific filters in `show`."""
    counters: Counters | None = None
    """None where no driver runs that counts."""
    name_of: Callable[[IPAddress], str] = lambda _: ""
    """The DNS name of an address, for `resolvedns=yes`; empty when it has none."""
    clock: Callable[[], float] = time.time
    """Seconds since 1970, for "last modified"."""
