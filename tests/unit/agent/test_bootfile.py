"""The file that the next boot begins with: when it is kept, what it says, what a failure means."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from ipsecfd.agent import state
from ipsecfd.agent.bootfile import BootFile, BootFileError, startup_of
from ipsecfd.agent.changes import Changes
from ipsecfd.agent.config import Config, parse
from ipsecfd.agent.start import start
from ipsecfd.driver.modes import Mode
from ipsecfd.errors import IpsecfdError
from ipsecfd.kernel import boot
from ipsecfd.kernel.boot import Startup
from ipsecfd.kernel.errors import KernelError
from tests.unit.agent.stage import Stage

WEB = "permit any <-> me:80 tcp"


class Host:
    """A configuration, a state directory, and a kernel that takes all rules or none."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.state_dir = directory / "state"
        self.text = ""
        self.refusal: IpsecfdError | None = None
        monkeypatch.setattr(boot, "checked_ruleset", self._checked)
        self.file = BootFile(self.config)
        self.path = self.state_dir / "boot.nft"

    def config(self) -> Config:
        return parse(f'state_dir = "{self.state_dir}"\n{self.text}', "ipsecfd.toml")

    def _checked(self, startup: Startup) -> str:
        if self.refusal:
            raise self.refusal
        return boot.ruleset(startup, defragment=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def test_checksum_is_of_all_that_follows(host: Host) -> None:
    """The first line tells the file from a damaged one; the second says the mode."""
    host.file.keep()
    first, _, rest = host.path.read_bytes().partition(b"\n")
    assert first == b"# sha256 " + hashlib.sha256(rest).hexdigest().encode()
    assert rest.startswith(b"# permit mode\n")
    assert rest.endswith(boot.ruleset(startup_of(host.config()), defragment=True).encode())


def test_file_and_directory_are_not_for_others(host: Host) -> None:
    """Only root may read them."""
    host.file.keep()
    assert host.path.stat().st_mode & 0o777 == 0o600
    assert host.state_dir.stat().st_mode & 0o777 == 0o700


def test_mode_unset_follows_the_assigned_policy(host: Host) -> None:
    """Permit before any policy was assigned, then stateful (spec 6.1); so with a memory that
    cannot be read."""
    assert startup_of(host.config()).mode is Mode.STARTUP_PERMIT
    state.save(host.state_dir, None)
    assert startup_of(host.config()).mode is Mode.STARTUP_STATEFUL
    (host.state_dir / state.FILE_NAME).write_text("damaged")
    assert startup_of(host.config()).mode is Mode.STARTUP_STATEFUL


def test_configuration_decides_the_rest(host: Host) -> None:
    """Mode, exemptions, profile, routed packets and mark bits are those of the next start."""
    host.text = (
        'profile = "winxp"\nforward = true\n[queue]\nmark = 0x1F0\n'
        '[startup]\nmode = "block"\nexemptions = ["icmp:inbound"]\n'
    )
    startup = startup_of(host.config())
    assert (startup.mode, startup.profile.name) == (Mode.STARTUP_BLOCK, "winxp")
    assert [str(one) for one in startup.exemptions] == ["icmp:inbound"]
    assert (startup.forward, startup.marks.mask) == (True, 0x1F0)


def test_only_a_change_is_written(host: Host) -> None:
    """A disk is not written to for nothing; a damaged file is replaced."""
    host.file.keep()
    first = host.path.stat().st_ino
    host.file.keep()
    assert first == host.path.stat().st_ino
    host.path.write_text("damaged")
    host.file.keep()
    assert host.path.read_bytes().startswith(b"# sha256 ")


def test_rules_that_the_kernel_refuses_replace_nothing(host: Host) -> None:
    """The file says what it said."""
    host.file.keep()
    before = host.path.read_bytes()
    host.text = '[startup]\nmode = "block"\n'
    host.refusal = KernelError("nft refused our rules")
    with pytest.raises(KernelError):
        host.file.keep()
    assert before == host.path.read_bytes()


def test_place_that_is_no_directory_is_named(host: Host) -> None:
    """The line has the file and why."""
    host.state_dir.write_text("")
    with pytest.raises(BootFileError, match=r"boot\.nft: cannot be written"):
        host.file.keep()


# --- what the agent does with it ---


async def test_boot_rules_hold_until_the_policies_decide(stage: Stage) -> None:
    """The agent takes over from the kernel's start-up mode to secure mode, without one of its own
    in between: who was spoken to is not forgotten before."""
    stage.rules_there = True
    stage.boot_file.in_force = Mode.STARTUP_STATEFUL
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert stage.happened() == [
        "event 4709",
        "event 4291",
        "event 5460",
        "88: starts",
        "88: secure v1",
        "rules",
        "event 4294",
    ]
    await agent.stop()


async def test_start_that_fails_leaves_the_boot_rules(stage: Stage) -> None:
    """They stand as long as nothing better is there."""
    stage.rules_there = True
    stage.boot_file.in_force = Mode.STARTUP_PERMIT
    path = stage.policy_file("web", WEB)
    stage.files[path] = IpsecfdError("web: rule[1].action: missing")
    with pytest.raises(IpsecfdError):
        await start(stage.agent(path))
    assert stage.happened() == ["event 4709", "event 4295", "event 5461"]
    assert stage.boot_file.in_force is Mode.STARTUP_PERMIT


async def test_kept_at_every_start(stage: Stage) -> None:
    """Once the policies of the start are known, for a first one changes the mode."""
    agent = stage.agent()
    await start(agent)
    assert stage.boot_file.kept == ["startup-permit"]
    await agent.stop()
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert stage.boot_file.kept == ["startup-permit", "stateful"]
    await agent.stop()


async def test_kept_when_the_first_policy_is_assigned(stage: Stage) -> None:
    """The next boot is not open because the power went before the next start."""
    agent = stage.agent()
    await start(agent)
    await Changes(agent).assign_file(stage.policy_file("web", WEB))
    assert stage.boot_file.kept == ["startup-permit", "stateful"]
    await Changes(agent).unassign()
    assert stage.boot_file.kept[-1] == "stateful"
    await agent.stop()


@pytest.mark.parametrize("change", ["reload", "take_stores"])
async def test_kept_when_the_configuration_changes(stage: Stage, change: str) -> None:
    """A reload, and `set config`, which tells that stores and properties changed."""
    agent = stage.agent()
    await start(agent)
    stage.config_text = '[startup]\nmode = "block"\n'
    await getattr(Changes(agent), change)()
    assert stage.boot_file.kept == ["startup-permit", "startup-block"]
    await agent.stop()


async def test_failure_is_told_and_stops_nothing(stage: Stage) -> None:
    """Packets are judged all the same; the log and the journal have it."""
    stage.boot_file.refused = True
    agent = stage.agent(stage.policy_file("web", WEB))
    await start(agent)
    assert stage.happened()[-2:] == ["event 4294", "event 4288"]
    assert "start-up rules" in stage.said[-1]
    assert agent.mode is Mode.SECURE
    assert list(agent.warnings.values()) == [
        "the start-up rules of the next boot stay as they are: nft refused our rules"
    ]
    stage.boot_file.refused = False
    await Changes(agent).reload()
    assert agent.warnings == {}
    await agent.stop()
