"""What happens to the agent: Windows' numbers for it, and the words that go with them."""

from __future__ import annotations

import enum
from typing import Final

from ipsecfd.driver.modes import Mode


class Event(enum.IntEnum):
    """Windows' numbers for what happens to the agent (spec 7.2)."""

    FAILURE = 4288
    STATEFUL = 4291
    BLOCK = 4292
    PERMIT = 4293
    SECURE = 4294
    STARTUP_PERMIT = 4295
    STARTUP_BLOCK = 4296
    STARTED = 4709
    DOMAIN_APPLIED = 5456
    DOMAIN_FAILED = 5457
    COPY_APPLIED = 5458
    COPY_FAILED = 5459
    APPLIED = 5460
    FAILED = 5461
    RELOADED = 5465
    DOMAIN_REACHED = 5468


MODES: Final = {
    "permit": Mode.PERMIT,
    "block": Mode.BLOCK,
    "stateful": Mode.STARTUP_STATEFUL,
    "secure": Mode.SECURE,
}
"""The modes of `ipsecfd mode`."""

ENTERED: Final = {
    Mode.SECURE: (Event.SECURE, "secure mode: the policies in force decide"),
    Mode.BLOCK: (Event.BLOCK, "block mode: every packet in and out is dropped"),
    Mode.PERMIT: (Event.PERMIT, "permit mode: nothing is filtered"),
    Mode.STARTUP_STATEFUL: (
        Event.STATEFUL,
        "stateful mode: the host may speak first, others may answer",
    ),
    Mode.STARTUP_BLOCK: (Event.STARTUP_BLOCK, "start-up mode block: only boot exemptions pass"),
    Mode.STARTUP_PERMIT: (Event.STARTUP_PERMIT, "start-up mode permit: nothing is filtered yet"),
}
"""Event and words for each mode that is entered."""
