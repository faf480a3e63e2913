"""What a container's boot begins with: namespaces and mounts of its own, where they may be made."""

from __future__ import annotations

import functools
import os
import subprocess
from pathlib import Path
from typing import Final

OWN: Final = (
    *("--mount", "--propagation=private", "--pid", "--mount-proc"),
    *("--fork", "--kill-child"),
)
"""The namespaces but that of the network, for unshare."""
CGROUPS: Final = ("/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified")

# The container's cgroups: the machine's own where they are unified, else systemd's own hierarchy.
# In one of its own it meets no processes of other containers.
_UNIFIED: Final = Path("/sys/fs/cgroup/cgroup.controllers").exists()
MOUNTS: Final = "mount -t sysfs sysfs /sys\n" + (
    "mount -t cgroup2 cgroup2 /sys/fs/cgroup\n"
    if _UNIFIED
    else """
mount -t tmpfs tmpfs /sys/fs/cgroup
mkdir /sys/fs/cgroup/systemd /sys/fs/cgroup/unified
mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
mount -t cgroup2 cgroup2 /sys/fs/cgroup/unified
"""
)

_TRIAL: Final = f"""
{MOUNTS}
mount -t tmpfs tmpfs /dev/shm
cd /dev/shm
mkdir upper work root
mount -t overlay overlay -o lowerdir=/,upperdir=upper,workdir=work root
"""


@functools.cache
def refused() -> str | None:
    """What this machine answers to whoever asks for them, a root without the right to; None if it
    lets them be made. Nothing of the trial stays.
    """
    command = ["unshare", "--net", *OWN, "sh", "-ec", _TRIAL]
    environment = {**os.environ, "LC_ALL": "C"}
    trial = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    if trial.returncode == 0:
        return None
    return trial.stderr.strip().partition("\n")[0] or f"unshare: exit status {trial.returncode}"
