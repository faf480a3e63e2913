"""Two nodes on a cable: the guard, a Debian with the package and a policy, and the peer without."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from pathlib import Path
from typing import Final

from tests.package.debian import Debian, Shelf
from tests.package.stream import FORBIDDEN, PERMITTED
from tests.systemd.machine import HERE

_NETWORK: Final = f"""
[Match]
Name=eth1
[Network]
Address={HERE}/24
LinkLocalAddressing=no
"""

# Sends every datagram back; begins when everybody who waits for a network begins.
_ECHO: Final = f"""
import select, socket
served = []
for port in ({PERMITTED}, {FORBIDDEN}):
    served.append(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
    served[-1].bind(("{HERE}", port))
while True:
    for one in select.select(served, [], [])[0]:
        one.sendto(*one.recvfrom(9))
"""
_ECHO_UNIT: Final = f"""
[Unit]
Wants=network-online.target
After=network-online.target
[Service]
ExecStart=/usr/bin/python3 -c {shlex.quote(_ECHO.strip()).replace(chr(10), chr(92) + "n")}
"""

# For each line `PORT SECONDS` one answer: whether the echo came, from one and the same local port.
_ASKING: Final = f"""
import socket, sys
asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
for line in sys.stdin:
    port, seconds = line.split()
    asking.settimeout(float(seconds))
    asking.sendto(b"?", ("{HERE}", int(port)))
    try:
        answer = asking.recv(9)
    except OSError:
        answer = None
    print("no" if answer is None else "yes", flush=True)
"""


class Guard(Debian):
    """The package, its policy of one port, and a network that systemd-networkd brings up."""

    def __init__(self, shelf: Shelf, layer: Path) -> None:
        super().__init__(shelf.packages, layer, shelf.debian, cabled=False)

    def _prepare(self, upper: Path) -> None:
        super()._prepare(upper)
        units = upper / "etc/systemd/system"
        (units / "echo.service").write_text(_ECHO_UNIT)
        wanted = {
            "multi-user.target.wants": ("echo", "systemd-networkd"),
            "network-online.target.wants": ("systemd-networkd-wait-online",),
        }
        for directory, names in wanted.items():
            (units / directory).mkdir()
            for name in names:
                place = "/etc/systemd" if name == "echo" else "/lib/systemd"
                (units / directory / f"{name}.service").symlink_to(f"{place}/system/{name}.service")
        (upper / "etc/systemd/network").mkdir()
        (upper / "etc/systemd/network/eth1.network").write_text(_NETWORK)

    def said(self, *choice: str) -> list[dict[str, str]]:
        """The entries that journalctl chooses, oldest first."""
        lines = self.run("journalctl", "--boot", "--output=json", "--no-pager", *choice)
        return [json.loads(line) for line in lines.splitlines()]

    def wait_until_said(self, text: str, seconds: float = 60) -> None:
        """Wait until the service has said it."""
        end = time.monotonic() + seconds
        while text not in (journal := self.journal()):
            assert time.monotonic() < end, journal
            time.sleep(0.05)


class Flow:
    """A flow of datagrams from the peer to the guard, from a port of its own."""

    def __init__(self, peer: Debian) -> None:
        self._process = subprocess.Popen(
            peer.inside("/usr/bin/python3", "-c", _ASKING),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def answered(self, port: int = PERMITTED, seconds: float = 1) -> bool:
        """Send one datagram; whether it came back in time."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{port} {seconds}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline() == "yes\n"

    def wait_until_answered(self, port: int = PERMITTED, seconds: float = 60) -> None:
        """Send until an answer comes."""
        end = time.monotonic() + seconds
        while not self.answered(port, seconds=0.2):
            assert time.monotonic() < end, "nobody judges"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()
