"""A change on trial, as it is written down before it is made: what it replaces, and until when.

The record is a file in `state_dir` as long as the change is neither confirmed nor taken back: an
agent that is killed in between still knows when it starts again.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ipsecfd.agent.state import StateError, unwritable
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel.boottime import BootTime
from ipsecfd.policy import durable, exact
from ipsecfd.policy.model import Policy

FILE_NAME: Final = "trial.json"


@dataclass(frozen=True, slots=True)
class Assignment:
    """Which local policy was assigned, and what it said then."""

    state: str | None
    """What the file of `agent.state` held, a character for each byte; None without one."""
    stored: str | None = None
    """The name of the policy assigned in the local store."""
    given: tuple[Path, ...] = ()
    """The files of `--policy`, as far as they were in force."""
    policies: tuple[Policy, ...] = ()
    """The local policies that were in force. Their files may be others by now."""
    failed: bool = False
    """Whether what was assigned could not be applied, so that nothing was in force (spec 6.5)."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A change that is taken back unless somebody confirms it in time."""

    what: str
    """The change, for people."""
    seconds: int
    """How long it may last unconfirmed."""
    end: BootTime
    """When it is taken back; in another boot, at once."""
    mode: str | None
    """The mode set by hand that holds meanwhile; None when the policies decide it."""
    previous_mode: str | None
    """The mode set by hand before."""
    previous: Assignment | None
    """None when only the mode changes."""


def load(directory: Path) -> Trial | None:
    """The change that is on trial, or None. Raises StateError."""
    path = directory / FILE_NAME
    try:
        found = json.loads(path.read_bytes())
        previous = found["previous"]
        return Trial(
            str(found["what"]),
            int(found["seconds"]),
            BootTime(str(found["boot"]), float(found["end"])),
            found["mode"],
            found["previous_mode"],
            None if previous is None else _assignment(previous),
        )
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error
    except (IpsecfdError, ValueError, TypeError, LookupError) as error:
        raise StateError(f"{path}: damaged: {error}") from error


def save(directory: Path, trial: Trial) -> None:
    """Write it down, whole or not at all, whenever the power goes. Raises StateError."""
    previous = trial.previous
    value = {
        "what": trial.what,
        "seconds": trial.seconds,
        "boot": trial.end.boot,
        "end": trial.end.seconds,
        "mode": trial.mode,
        "previous_mode": trial.previous_mode,
        "previous": None if previous is None else _value(previous),
    }
    path = directory / FILE_NAME
    try:
        durable.keep(path, f"{json.dumps(value)}\n".encode())
    except OSError as error:
        raise unwritable(path, error) from error


def forget(directory: Path) -> None:
    """Have nothing on trial any more. Raises StateError."""
    path = directory / FILE_NAME
    try:
        path.lstat()  # on a read-only file system no other call says that there is nothing
        path.unlink()
        durable.sync_directory(directory)
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        raise StateError(f"{path}: cannot be removed: {error.strerror}") from error


def _value(one: Assignment) -> dict[str, Any]:
    return {
        "state": one.state,
        "stored": one.stored,
        "given": [str(path) for path in one.given],
        "policies": [exact.render(policy) for policy in one.policies],
        "failed": one.failed,
    }


def _assignment(found: dict[str, Any]) -> Assignment:
    return Assignment(
        found["state"],
        found["stored"],
        tuple(map(Path, found["given"])),
        tuple(map(exact.parse, found["policies"])),
        found["failed"],
    )
