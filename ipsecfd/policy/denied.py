"""Why a file cannot be read; where rights are missing, on what, whose it is, and what to do."""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from pathlib import Path


def reason(path: Path, error: OSError) -> str:
    """What is wrong, in words.

    The service is root, but without root's right to read what belongs to others: it gets advice.
    """
    why = str(error.strerror)
    if not isinstance(error, PermissionError):
        return why
    path = path.absolute()
    with contextlib.suppress(OSError):
        for one in (*reversed(path.parents), path):
            bit, mend = (
                (os.R_OK, "`chown root` or `chmod o+r`")
                if one == path
                else (os.X_OK, "`chmod o+x`, or put the file elsewhere")
            )
            found = one.stat()
            mode = stat.S_IMODE(found.st_mode)
            if os.access(one, bit) or not mode:  # systemd hides directories by taking all rights
                continue
            facts = f"{why}: {one} belongs to {_name(found.st_uid)} and has mode {mode:04o}"
            if os.geteuid() != 0:
                return facts
            return f"{facts}, which the service may not read: {mend}"
    return why


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
