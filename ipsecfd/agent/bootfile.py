"""The rules that the next boot begins with, before Python and before any interface is up (spec 6).

A file that `ipsecfd-boot.service` loads. It says what the next start of the agent would say, and a
checksum tells the file from a damaged one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

from ipsecfd.agent import state
from ipsecfd.agent.config import Config
from ipsecfd.driver.modes import Mode, startup_name
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel import boot
from ipsecfd.kernel.boot import Startup
from ipsecfd.kernel.marks import Marks
from ipsecfd.policy import durable

FILE_NAME: Final = "boot.nft"
"""The name of the file under `state_dir`."""

_REMARK: Final = """\
# {mode} mode
# Kept by ipsecfd and loaded by ipsecfd-boot.service, before there is a network, until ipsecfd
# judges packets. Do not change it: the configuration says what stands here.
"""


class BootFileError(IpsecfdError):
    """The file of start-up rules cannot be kept; the text says which and why."""


class BootFile:
    """The file, kept as `load_config` says of the next start; and what of it is in the kernel."""

    def __init__(self, load_config: Callable[[], Config]) -> None:
        self._load_config = load_config

    def keep(self) -> None:
        """Have the file say what the next start would do; after a failure it says what it did.

        The kernel is asked whether it would take the rules, each time. Raises IpsecfdError.
        """
        config = self._load_config()
        startup = startup_of(config)
        rules = boot.checked_ruleset(startup)
        path = config.state_dir / FILE_NAME
        data = render(startup.mode, rules)
        try:
            if _read(path) != data:
                durable.keep(path, data)
        except OSError as error:
            raise BootFileError(f"{path}: cannot be written: {error.strerror}") from error

    def loaded(self) -> Mode | None:
        """The start-up mode whose rules are in force; None if none are. Raises KernelError."""
        return boot.loaded()


def startup_of(config: Config) -> Startup:
    """What the rules are made from, with this configuration and what its `state_dir` remembers."""
    try:
        ever_assigned = state.load(config.state_dir).ever_assigned
    except state.StateError:
        ever_assigned = True  # as an agent counts it that starts so
    return Startup(
        mode=config.startup.driver_mode(ever_assigned=ever_assigned),
        profile=config.driver_profile,
        exemptions=config.startup.exemptions,
        forward=config.forward,
        marks=Marks(config.queue.mark),
    )


def render(mode: Mode, rules: str) -> bytes:
    """The file's content: below a line with the checksum, all that it is of."""
    body = (_REMARK.format(mode=startup_name(mode)) + rules).encode()
    return f"# sha256 {hashlib.sha256(body).hexdigest()}\n".encode() + body


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
