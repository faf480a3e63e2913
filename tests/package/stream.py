"""Datagrams that the peer sends all the time, to a port that the policy permits and to another."""

from __future__ import annotations

import json
import subprocess
import time
from typing import Final, NamedTuple

from tests.systemd.machine import HERE, Container

PERMITTED, FORBIDDEN = 9001, 9002
POLICY: Final = f"""
name = "One port"
[[rule]]
action = "block"
filters = ["me <-> any"]
[[rule]]
action = "permit"
filters = ["any <-> me:{PERMITTED} udp"]
"""

_LEARNING_SECONDS: Final = 60

_SENDER: Final = f"""
import json, select, socket, sys
sent, sender = 0, socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
while not select.select([sys.stdin], [], [], 0.002)[0]:
    for port in ({PERMITTED}, {FORBIDDEN}):
        sender.sendto(b"?", ("{HERE}", port))
    sent += 1
print(sent)
"""
_RECEIVER: Final = f"""
import json, select, socket, sys
received = {{}}
for port in ({PERMITTED}, {FORBIDDEN}):
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("{HERE}", port))
    received[receiver] = 0
print(flush=True)
while True:
    ready = select.select([*received, sys.stdin], [], [])[0]
    if ready == [sys.stdin]:
        break
    for receiver in ready:
        if receiver is not sys.stdin:
            receiver.recv(1)
            received[receiver] += 1
print(json.dumps(list(received.values())))
"""


class Seen(NamedTuple):
    """How many datagrams went to each port, and how many came."""

    sent: int
    permitted: int
    forbidden: int


class Stream:
    """Both ends, at work from here to `stop`."""

    def __init__(self, machine: Container) -> None:
        self._machine = machine
        python = ["/usr/bin/python3", "-c"]
        self._receiver = _started(machine.inside(*python, _RECEIVER))
        assert self._receiver.stdout is not None
        self._receiver.stdout.readline()
        self._sender = _started(machine.beside(*python, _SENDER))

    def wait_until_learnt(self) -> None:
        """Wait until the kernel lets what is permitted pass by itself."""
        end = time.monotonic() + _LEARNING_SECONDS
        while f":{PERMITTED}" not in self._machine.run("ipsecfd", "flows"):
            assert time.monotonic() < end, self._machine.journal()

    def stop(self) -> Seen:
        """End it; what was sent and what came."""
        sent = int(_last_words(self._sender))
        return Seen(sent, *json.loads(_last_words(self._receiver)))


def _started(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )


def _last_words(process: subprocess.Popen[str]) -> str:
    """Its standard input ends, and so does the process."""
    return process.communicate(timeout=30)[0]
