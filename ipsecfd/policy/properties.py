"""The driver's properties that `set config` changes (spec 7.1, 8.3).

Most take effect at the next start of the service, as on Windows; what is not set is left to the
configuration file.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties as set by command; None where none was."""

    ipsecdiagnostics: int | None = None
    """0 to 7."""
    ikelogging: int | None = None
    """0 or 1; kept, without effect."""
    strongcrlcheck: int | None = None
    """0 to 2; kept, without effect."""
    ipsecloginterval: int | None = None
    """Seconds, 60 to 86,400."""
    ipsecexempt: int | None = None
    """0 to 3."""
    bootmode: str | None = None
    """stateful, block or permit."""
    bootexemptions: tuple[str, ...] | None = None
    """Each as driver.modes.BootExemption prints it; empty for none."""
