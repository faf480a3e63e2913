"""What the agent remembers between runs: which policy file is assigned, and that one ever was.

One small file in `state_dir`. That it exists is the memory of "a policy was once assigned", which
turns the default start-up mode from permit into stateful (spec 6.1).
"""

from __future__ import annotations

import errno
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable
from ipsecfd.policy.mistakes import Mistake

FILE_NAME: Final = "assigned.json"


class StateError(IpsecfdError):
    """The agent's memory cannot be read or written; the text says which file and why."""


@dataclass(frozen=True, slots=True)
class State:
    """What is assigned, for a start without `--policy`."""

    ever_assigned: bool = False
    """Whether a policy was in force in any earlier run."""
    assigned: Path | None = None
    """The policy file of the local store."""


def load(directory: Path) -> State:
    """The remembered state; a file that never existed is a State without anything in it.

    Raises StateError when there is one that cannot be understood: what was assigned is then
    unknown, which is not the same as nothing (design: a damaged store is operational block).
    """
    return understood(raw(directory), directory)


def understood(text: str | None, directory: Path) -> State:
    """What `raw` found in this directory; raises StateError as `load` does."""
    if text is None:
        return State()
    path = directory / FILE_NAME
    try:
        found = json.loads(text.encode("latin-1"))
    except json.JSONDecodeError as error:
        line = text.splitlines()[error.lineno - 1 : error.lineno]
        place = f"line {error.lineno}, column {error.colno}" if line else ""
        raise _damaged(path, place, "".join(line)) from error
    except ValueError as error:  # not UTF-8
        raise _damaged(path, "", text.strip()) from error
    match found:
        case {"assigned": None}:
            return State(ever_assigned=True)
        case {"assigned": str(assigned)} if Path(assigned).is_absolute():
            return State(ever_assigned=True, assigned=Path(assigned))
        case {"assigned": assigned}:
            raise _damaged(path, "assigned", str(assigned))
    raise _damaged(path, "", text.strip())


def save(directory: Path, assigned: Path | None) -> None:
    """Remember the assigned policy file, or that there is none any more.

    Written whole or not at all. Raises StateError when the directory cannot be written.
    """
    text = json.dumps({"assigned": None if assigned is None else str(assigned)}) + "\n"
    put_back(directory, text)


def raw(directory: Path) -> str | None:
    """What the file holds, a character for each byte; None without a file. Raises StateError."""
    path = directory / FILE_NAME
    try:
        return path.read_bytes().decode("latin-1")
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise StateError(f"{path}: cannot be read: {error.strerror}") from error


def put_back(directory: Path, text: str | None) -> None:
    """Have the file hold what `raw` found, or have none. Raises StateError."""
    path = directory / FILE_NAME
    try:
        if text is None:
            path.unlink(missing_ok=True)
        else:
            durable.keep(path, text.encode("latin-1"))
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> StateError:
    """Why a file of the agent's own cannot be written, and what it needs."""
    # A full disk says enough by itself, and has nothing to do with the directory.
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    hint = "" if full else "; `state_dir` must be a directory that ipsecfd may write to"
    return StateError(f"{path}: cannot be written: {error.strerror}{hint}")


def _damaged(path: Path, place: str, text: str) -> StateError:
    expected = (
        'damaged: expected {"assigned": "/PATH/OF/FILE"} or {"assigned": null};'
        " `ipsecfd policy assign FILE` writes it anew"
    )
    return StateError(str(Mistake(str(path), place, text, expected)))
