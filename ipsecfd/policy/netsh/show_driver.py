"""`netsh ipsec dynamic show config` and `show stats` (spec 7.3)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace
from typing import Final

from ipsecfd.driver.decision import Direction
from ipsecfd.driver.modes import BootExemption
from ipsecfd.policy.netsh.layout import NONE, heading, protocol
from ipsecfd.policy.netsh.syntax import ShowRequest
from ipsecfd.policy.stores.properties import Properties
from ipsecfd.policy.workspace import Workspace

Block = Iterable[str]

_EXEMPTION_TITLES: Final = (
    "Protocol  Src Port  Dst Port  Direction",
    "--------- --------- --------- ---------",
)
_WAYS: Final = {Direction.IN: "Inbound", Direction.OUT: "Outbound"}
_COUNTER_WIDTH: Final = 39
_IKE: Final = (
    *("Active Acquire", "Active Receive", "Acquire Failures", "Receive Failures"),
    *("Send Failures", "Acquire Heap Size", "Receive Heap Size", "Authentication Failures"),
    *("Negotiation Failures", "Invalid Cookies Received", "Total Acquire", "Total Get SPI"),
    *("Key Additions", "Key Updates", "Get SPI Failures", "Key Addition Failures"),
    *("Key Update Failures", "ISADB List Size", "Connection List Size", "IKE Main Mode"),
    *("IKE Quick Mode", "Soft Associations", "Invalid Packets Received"),
)
_IPSEC: Final = (
    *("Active Security Associations", "Offloaded Security Associations"),
    *("Pending Key Operations", "Key Additions", "Key Deletions", "Rekeys", "Active Tunnels"),
    *("Bad SPI Packets", "Packets Not Decrypted", "Packets Not Authenticated"),
    *("Packets With Replay Detection", "Confidential Bytes Sent", "Confidential Bytes Received"),
    *("Authenticated Bytes Sent", "Authenticated Bytes Received", "Transport Bytes Sent"),
    *("Transport Bytes Received", "Offloaded Bytes Sent", "Offloaded Bytes Received"),
    *("Bytes Sent In Tunnels", "Bytes Received In Tunnels"),
)


def config(_: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    """The properties: those set, and the configuration file's where none is set."""
    found = effective(workspace.properties, workspace.configured)
    exemptions = [BootExemption.parse(one) for one in found.bootexemptions or ()]
    yield (
        "IPSec Configuration Parameters",
        "------------------------------",
        f"IPSecDiagnostics      : {found.ipsecdiagnostics}",
        f"IKElogging            : {found.ikelogging}",
        f"StrongCRLCheck        : {found.strongcrlcheck}",
        f"IPSecloginterval      : {found.ipsecloginterval}",
        f"IPSecexempt           : {found.ipsecexempt}",
        f"Boot Mode             : {(found.bootmode or NONE).capitalize()}",
        "Boot Mode Exemptions  :" if exemptions else f"Boot Mode Exemptions  : {NONE}",
        *(_EXEMPTION_TITLES if exemptions else ()),
        *map(_exemption, exemptions),
    )


def effective(properties: Properties, configured: Properties) -> Properties:
    """What is set, and what is configured where nothing is set."""
    names = [field.name for field in fields(Properties)]
    given = {one: getattr(properties, one) for one in names}
    return replace(configured, **{one: value for one, value in given.items() if value is not None})


def stats(request: ShowRequest, workspace: Workspace) -> Iterator[Block]:
    """The counters of IKE and IPSec, all 0 without a key exchange, and the driver's own."""
    if request.type != "ipsec":
        yield (*heading("IKE Statistics"), *(_counter(one, 0) for one in _IKE))
    if request.type == "ike":
        return
    yield (*heading("IPSec Statistics"), *(_counter(one, 0) for one in _IPSEC))
    counters = workspace.counters
    if counters is not None:
        yield (
            *heading("ipsecfd Statistics"),
            _counter("Packets Permitted In", counters.permitted_in),
            _counter("Packets Permitted Out", counters.permitted_out),
            _counter("Packets Blocked In", counters.blocked_in),
            _counter("Packets Blocked Out", counters.blocked_out),
            _counter("Exempted", counters.exempted),
            _counter("No Filter", counters.no_filter),
            _counter("Fragments Dropped", counters.fragments_dropped),
        )


def _exemption(one: BootExemption) -> str:
    ports = f"{one.source_port:<10}{one.destination_port:<10}"
    return f"{protocol(one.protocol):<10}{ports}{_WAYS[one.direction]}"


def _counter(label: str, value: int) -> str:
    return f"{label:<{_COUNTER_WIDTH}}: {value}"
