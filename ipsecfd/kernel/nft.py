"""nft(8), run with scripts: each is one transaction, and its errors are told in our words."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
from typing import Any, Final

from ipsecfd.kernel.errors import KernelError

_SECONDS: Final = 30
_PASSING: Final = [
    os.strerror(one)
    for one in (errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.EMFILE, errno.ENOBUFS, errno.ENOMEM)
]
"""Errors that say nothing of what a kernel knows."""
_HOOK: Final = re.compile(r"type \w+ hook [^;]+;( policy \w+;)?")


def apply(script: str) -> None:
    """Do all that a script says, or nothing; raises KernelError."""
    result = _run(["nft", "-f", "-"], script)
    if result.returncode:
        raise KernelError(_explain(result.stderr))


def check(script: str) -> None:
    """Raise KernelError if this kernel would not take a script; nothing is changed.

    Chains are tried without their hooks: the kernel would register those and take them away again,
    and when a hook goes, whatever waits in any queue is dropped.
    """
    result = _try(script)
    if result.returncode:
        raise KernelError(_explain(result.stderr))


def accepts(script: str) -> bool:
    """Whether this kernel would take a script, as `check` tries it.

    Raises KernelError when it had no room for it, or was busy: that may be otherwise the next time.
    """
    result = _try(script)
    if any(one in result.stderr for one in _PASSING):
        raise KernelError(_explain(result.stderr))
    return result.returncode == 0


def listed(family: str, table: str, *flags: str) -> list[dict[str, Any]]:
    """All that is in a table, as nft's JSON has it; nothing when there is no such table.

    Raises KernelError.
    """
    there = any(
        one.get("table", {}).get("name") == table and one["table"]["family"] == family
        for one in _json("list", "tables")
    )
    return _json(*flags, "list", "table", family, table) if there else []


def _json(*words: str) -> list[dict[str, Any]]:
    result = _run(["nft", "-j", *words])
    if result.returncode:
        raise KernelError(_explain(result.stderr))
    found: list[dict[str, Any]] = json.loads(result.stdout)["nftables"]
    return found


def _try(script: str) -> subprocess.CompletedProcess[str]:
    return _run(["nft", "-c", "-f", "-"], _HOOK.sub("", script))


def _run(command: list[str], script: str | None = None) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            input=script,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            process_group=0,  # a second Ctrl-C must not end the nft that takes the rules away
        )
    except FileNotFoundError as error:
        raise KernelError("the program nft is missing: apt install nftables") from error
    except subprocess.TimeoutExpired as error:
        raise KernelError(f"nft did not answer within {_SECONDS} s") from error
    except OSError as error:  # no memory, or too many files or processes
        raise KernelError(f"nft cannot be run: {error.strerror}") from error


def _explain(stderr: str) -> str:
    first = next((line for line in stderr.splitlines() if "rror" in line), stderr.strip())
    if "not permitted" in stderr:
        return "nftables rules cannot be changed: run as root or with CAP_NET_ADMIN"
    return f"nft refused our rules: {first}"
