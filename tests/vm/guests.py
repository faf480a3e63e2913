"""The two machines of the Vagrantfile, over one ssh connection each that stays open.

A new connection takes a second or two on an emulated processor; a command over an open one takes
a third of a second.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

CHECKOUT: Final = Path(__file__).parents[2]
GUARD, PEER = "10.77.0.11", "10.77.0.12"
GUARD6, PEER6 = "fd77::11", "fd77::12"

COMMAND_SECONDS: Final = 900
"""Enough for a busy host. While ipsecfd restarts, ssh waits as well, and twice as long."""
_VAGRANT_SECONDS: Final = 600
_BOOT_SECONDS: Final = 900
_MULTIPLEX: Final = """
Host *
    ControlMaster auto
    ControlPath {place}/ssh-%n
    ControlPersist 600
    ConnectTimeout 10
    ServerAliveInterval 5
    ServerAliveCountMax 60
"""


@dataclass(frozen=True, slots=True)
class Result:
    """How a command in a machine ended, and what it printed on either output."""

    status: int
    output: str


def listening(port: int, protocol: str = "tcp") -> str:
    """The command that succeeds once somebody listens on a port."""
    return f"ss --no-header --listening --numeric --{protocol} 'sport = {port}' | grep -q ."


class Service(NamedTuple):
    """A program that runs in a machine until it is stopped."""

    command: str
    ready: str = "true"
    """The shell command that succeeds once the program does its work."""


def on_port(number: int, command: str = "", protocol: str = "tcp") -> Service:
    """A program that listens on a port; without one, one that takes every connection."""
    return Service(command or f"nc -lkn {number}", listening(number, protocol))


class Guest:
    """One machine, where every command is root's."""

    def __init__(self, name: str, place: Path) -> None:
        self.name = name
        self._config = place / "ssh-multiplexed"
        self._config.write_text(_MULTIPLEX.format(place=place) + (place / "ssh-config").read_text())

    def try_to(self, command: str, *, seconds: float = COMMAND_SECONDS, stdin: str = "") -> Result:
        """Run a shell command; a status of 255 says that ssh had no connection."""
        ssh = ["ssh", "-F", str(self._config), self.name]
        try:
            done = subprocess.run(
                [*ssh, f"sudo bash -c {shlex.quote(command)}"],
                input=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            output = error.stdout.decode(errors="replace") if error.stdout else ""
            raise AssertionError(
                f"{self.name}: no end after {seconds} s: {command}\n{output}"
            ) from None
        return Result(done.returncode, done.stdout)

    def run(self, command: str, *, seconds: float = COMMAND_SECONDS, stdin: str = "") -> str:
        """Run a shell command that must succeed; what it printed."""
        result = self.try_to(command, seconds=seconds, stdin=stdin)
        assert result.status == 0, (
            f"{self.name}: status {result.status}: {command}\n{result.output}"
        )
        return result.output

    def succeeds(self, command: str, *, seconds: float = COMMAND_SECONDS) -> bool:
        """Whether a shell command ends with status 0."""
        result = self.try_to(command, seconds=seconds)
        assert result.status != 255, f"{self.name} cannot be reached: {result.output}"
        return result.status == 0

    def write(self, path: str, text: str) -> None:
        """Write a file."""
        self.run(f"mkdir -p {Path(path).parent} && cat >{path}", stdin=text)

    def wait_until(self, command: str, seconds: float = COMMAND_SECONDS) -> None:
        """Wait until a shell command succeeds; it is tried again and again."""
        self.run(f"until {{ {command}; }} >/dev/null 2>&1; do sleep 0.2; done", seconds=seconds)

    def outcomes(self, **commands: str) -> dict[str, bool]:
        """Which of these commands succeed, all run at the same time; ten seconds are a failure."""
        tries = "".join(
            f"{{ timeout 10 bash -c {shlex.quote(command)} >/dev/null 2>&1 </dev/null;"
            f" echo {name} $?; }} &\n"
            for name, command in commands.items()
        )
        lines = (line.split() for line in self.run(f"{tries}wait").splitlines())
        ended = {name: status == "0" for name, status in lines}
        return {name: ended[name] for name in commands}

    @contextlib.contextmanager
    def services(self, **services: Service) -> Iterator[None]:
        """Keep programs running, by name, from when all are ready until the end of the block."""
        start = [
            f"systemd-run --quiet --collect --unit=test-{name} -- {service.command}"
            for name, service in services.items()
        ]
        ready = [f"until {service.ready}; do sleep 0.2; done" for service in services.values()]
        try:
            self.run("set -e\n" + "\n".join(start + ready))
            yield
        finally:
            self.try_to("systemctl stop " + " ".join(f"test-{name}" for name in services))

    def said(self, name: str) -> str:
        """What a program of `services` has printed since the machine started."""
        unit = f"_SYSTEMD_UNIT=test-{name}.service"
        return self.run(f"journalctl --boot --output=cat --no-pager {unit}")

    def witnessed(self) -> dict[str, int]:
        """How many packets each counter of the nftables table `witness` has seen."""
        listed = json.loads(self.run("nft -j list counters table inet witness"))["nftables"]
        counters = (one["counter"] for one in listed if "counter" in one)
        return {counter["name"]: counter["packets"] for counter in counters}

    def boot_id(self) -> str:
        """Another one after each boot."""
        return self.run("cat /proc/sys/kernel/random/boot_id").strip()

    def connect(self, *, not_to: str = "") -> None:
        """Open a new connection, as soon as there is somebody, and it is not this boot."""
        end = time.monotonic() + _BOOT_SECONDS
        while True:
            self.disconnect()
            result = self.try_to("cat /proc/sys/kernel/random/boot_id")
            if result.status == 0 and result.output.strip() != not_to:
                return
            assert time.monotonic() < end, f"{self.name} does not answer: {result.output}"
            time.sleep(1)

    def disconnect(self) -> None:
        """Close the connection; the next command opens one."""
        subprocess.run(
            ["ssh", "-F", str(self._config), "-O", "exit", self.name],
            capture_output=True,
            timeout=30,
            check=False,
        )


class Guard(Guest):
    """The machine that runs ipsecfd."""

    def status(self) -> dict[str, Any]:
        """What `ipsecfd status --json` says."""
        status: dict[str, Any] = json.loads(self.run("ipsecfd status --json"))
        return status

    def assign(self, policy: str, name: str = "test") -> None:
        """Put a policy file in force. It gets a rule that leaves Vagrant's ssh alone."""
        path = f"/etc/ipsecfd/{name}.toml"
        self.run(f"cat >{path} && ipsecfd policy assign {path}", stdin=policy + self.way_in())

    @cached_property
    def management(self) -> str:
        """The network that ssh comes in by, such as `192.168.121.0/24`."""
        return self.run("ip -4 route show dev eth0 proto kernel scope link").split()[0]

    def way_in(self) -> str:
        """The rule that keeps ssh, and the lease of the address that it comes to."""
        network = self.management
        return f"""
[[rule]]
name = "Vagrant"
action = "permit"
filters = ["{network} <-> me:22 tcp", "me:68 <-> {network}:67 udp"]
"""

    def configure(self, text: str) -> None:
        """Write another configuration; it counts from the next start on."""
        self.write("/etc/ipsecfd/ipsecfd.toml", text)

    def drops(self) -> list[dict[str, Any]]:
        """The diagnostic log's records of dropped packets."""
        text = self.run("cat /var/log/ipsecfd/diagnostic.jsonl")
        records = (json.loads(line) for line in text.splitlines())
        return [record for record in records if record["event"] in (4289, 4290)]

    def journal(self) -> str:
        """What the service has said since the machine started."""
        return self.run("journalctl --boot --unit=ipsecfd --output=cat --no-pager")


class Machines:
    """Both of them."""

    def __init__(self, place: Path) -> None:
        self.guard = Guard("guard", place)
        self.peer = Guest("peer", place)

    def restore(self) -> None:
        """Back to the snapshot: booted, ipsecfd running, nothing assigned."""
        for guest in (self.guard, self.peer):
            guest.disconnect()
        vagrant("snapshot", "restore", "--no-provision", "clean")
        for guest in (self.guard, self.peer):
            guest.connect()
            guest.run(f"date --set=@{time.time():.0f}")

    def reset(self, guest: Guest) -> None:
        """Press the reset button: no program of the machine gets to do anything any more."""
        old = guest.boot_id()
        identity = (CHECKOUT / f".vagrant/machines/{guest.name}/libvirt/id").read_text()
        subprocess.run(
            ["virsh", "--quiet", "--connect=qemu:///system", "reset", identity],
            check=True,
            capture_output=True,
            timeout=60,
        )
        guest.connect(not_to=old)


def vagrant(*words: str) -> str:
    """Run vagrant; what it printed."""
    done = subprocess.run(
        ["vagrant", *words],
        cwd=CHECKOUT,
        env=os.environ | {"VAGRANT_CHECKPOINT_DISABLE": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_VAGRANT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"vagrant {' '.join(words)}:\n{done.stdout}"
    return done.stdout
