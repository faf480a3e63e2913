"""A fresh Debian to install the package in, booted, and the package itself.

The Debian is made by mmdebstrap from the package's dependencies and a few tools to look with. It is
kept by content in ~/.cache/ipsecfd; a container copies it on write.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from tests.systemd import machine
from tests.systemd.machine import CHECKOUT, Container

PACKAGES: Final = "/packages"
"""Where a machine finds the packages of a test."""

_LOOK_EVERYWHERE: Final = (
    f"find / -ignore_readdir_race ( -path {PACKAGES} -o -path /proc -o -path /sys ) -prune "
    "-o -name *ipsecfd* -print"
)
_TOOLS: Final = "systemd-sysv iproute2 iputils-ping procps make man-db logrotate zsh fish"
_MASKED: Final = (
    "apt-daily-upgrade.timer apt-daily.timer console-getty.service dpkg-db-backup.timer "
    "e2scrub_all.timer e2scrub_reap.service fstrim.timer getty.target logrotate.timer man-db.timer"
)
"""What a fresh Debian would do at a boot, and that has nothing to do with the package."""
_DAYS_UNUSED: Final = 30


def missing() -> str | None:
    """Why the package cannot be tried here; None if it can."""
    for program, package in (("dpkg-deb", "dpkg"), ("mmdebstrap", "mmdebstrap")):
        if shutil.which(program) is None:
            return f"{program} is missing: apt install {package}"
    return machine.missing()


def built() -> Path:
    """The package of this checkout."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    _run(["tools/deb"], cwd=CHECKOUT, env=environment)
    (deb,) = (CHECKOUT / "build").glob("ipsecfd_*.deb")
    return deb


def newer(deb: Path, directory: Path) -> tuple[Path, str]:
    """The next version of a package, whose program says so, too; and that version."""
    version = f"{_field(deb, 'Version')}.1"
    tree = directory / "tree"
    _run(["dpkg-deb", "--raw-extract", str(deb), str(tree)])
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*", f"Version: {version}", control.read_text()))
    (program,) = tree.glob("usr/lib/ipsecfd/lib/python3.*/site-packages/ipsecfd/__init__.py")
    program.write_text(
        re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', program.read_text())
    )
    upgrade = directory / f"ipsecfd_{version}.deb"
    _run(["dpkg-deb", "--root-owner-group", "-Znone", "--build", str(tree), str(upgrade)])
    shutil.rmtree(tree)
    return upgrade, version


def root(deb: Path) -> Path:
    """A Debian that has what the package depends on, and not the package."""
    depends = [one.split("|")[0].split("(")[0].strip() for one in _field(deb, "Depends").split(",")]
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    command = ["mmdebstrap", "--quiet", "--variant=minbase", "--components=main"]
    command += [f"--include={','.join(sorted({*depends, *_TOOLS.split()}))}", suite]
    name = hashlib.sha256("\n".join([platform.machine(), *command]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ipsecfd"
    cache.mkdir(parents=True, exist_ok=True)
    kept = cache / f"root-{name}"
    with _alone(cache):
        if not kept.exists():
            new = Path(tempfile.mkdtemp(prefix="new-", dir=cache))
            try:
                _run([*command, str(new)])
                new.rename(kept)
            except BaseException:
                shutil.rmtree(new)
                raise
        os.utime(kept)
        for other in cache.glob("root-*"):
            if time.time() - other.stat().st_mtime > _DAYS_UNUSED * 86_400:
                shutil.rmtree(other)
    return kept


class Shelf(NamedTuple):
    """What there is to install, and where."""

    debian: Path
    packages: Path
    deb: str
    upgrade: str
    next_version: str


class Debian(Container):
    """A boot of a Debian from its layers, with packages at hand."""

    def __init__(
        self,
        packages: Path,
        *layers: Path,
        cabled: bool = True,
        beside: Container | None = None,
    ) -> None:
        super().__init__(
            ":".join(map(str, layers)),
            "multi-user.target",
            [f"{packages}:{PACKAGES}"],
            cabled=cabled,
            beside=beside,
        )

    def install(self, name: str) -> str:
        """Have apt install one of the packages, without a network; what it says."""
        apt = "apt-get install --yes --no-install-recommends -o APT::Sandbox::User=root"
        return self.run("env", "DEBIAN_FRONTEND=noninteractive", *apt.split(), f"{PACKAGES}/{name}")

    def dpkg(self, action: str, name: str, *, ok: bool = True) -> str:
        """Have dpkg do something with a package, or with the file of one; what it says."""
        subject = f"{PACKAGES}/{name}" if name.endswith(".deb") else name
        return self.run(
            "env", "DEBIAN_FRONTEND=noninteractive", "dpkg", f"--{action}", subject, ok=ok
        )

    def left(self) -> list[str]:
        """Whatever has the program's name, also in /run, /tmp and /dev/shm."""
        return sorted(self.run(*_LOOK_EVERYWHERE.split()).splitlines())

    @property
    def layer(self) -> Path:
        """What differs from the layers below; for another boot, after this one has ended."""
        return self._place / "upper"

    def _prepare(self, upper: Path) -> None:
        super()._prepare(upper)
        units = upper / "etc/systemd/system"
        units.mkdir(parents=True)
        for unit in _MASKED.split():
            (units / unit).symlink_to("/dev/null")


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Nobody else makes a root meanwhile."""
    lock = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _field(deb: Path, name: str) -> str:
    return _run(["dpkg-deb", "--field", str(deb), name]).strip()


def _run(command: list[str], cwd: Path | None = None, env: dict[str, str] | None = None) -> str:
    result = subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert result.returncode == 0, f"{' '.join(command)}:\n{result.stdout}{result.stderr}"
    return result.stdout
