"""What the daemon judges packets by, for commands that judge them as it would."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from ipsecfd.cli.live import ask
from ipsecfd.driver.driver import DIALUP_INTERFACES
from ipsecfd.driver.exemptions import PROFILES, Profile
from ipsecfd.driver.modes import DEFAULT_BOOT_EXEMPTIONS, BootExemption
from ipsecfd.driver.specific import ActivePolicies
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.model import Store

if TYPE_CHECKING:
    from ipsecfd.agent.report import InForce


class Known(NamedTuple):
    """What packets are judged by."""

    policies: ActivePolicies
    profile: Profile
    exempt: int
    mode: str
    forward: bool
    """Whether routed packets are judged at all."""
    dialup_interfaces: tuple[str, ...]
    boot_exemptions: tuple[BootExemption, ...]


UNASSIGNED: Final = Known(
    policies=[],
    profile=PROFILES["linux"],
    exempt=PROFILES["linux"].default_exempt,
    mode="secure",
    forward=True,
    dialup_interfaces=DIALUP_INTERFACES,
    boot_exemptions=DEFAULT_BOOT_EXEMPTIONS,
)
"""No policy, and otherwise the defaults; routed packets count."""


def known(found: InForce, mode: str) -> Known:
    """The daemon's answers in the driver's words."""
    from ipsecfd.policy import exact

    return Known(
        policies=[(Store[one.store.upper()], exact.parse(one.text)) for one in found.policies],
        profile=replace(
            PROFILES[found.profile],
            natt_exempt=found.natt_exempt,
            inbound_group_exempt=found.inbound_mcast_exempt,
        ),
        exempt=found.exempt,
        mode=mode,
        forward=found.forward,
        dialup_interfaces=tuple(found.dialup_interfaces),
        boot_exemptions=tuple(map(BootExemption.parse, found.boot_exemptions)),
    )


def ask_daemon(socket: Path | None) -> Known:
    """What is in force now, for want of a policy to judge by; raises IpsecfdError."""
    try:
        found, mode = ask(socket, "GetPolicies"), ask(socket, "GetMode")
    except IpsecfdError as error:
        raise IpsecfdError(
            f"no --policy is given, and nobody says what is in force: {error}"
        ) from None
    if mode == "starting":
        raise IpsecfdError("no --policy is given, and the daemon starts: nothing is in force yet")
    return known(found, mode)
