"""A real `ipsecfd run` on a host of the lab: started, ready, commanded, read, stopped."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from ipsecfd.lab.hosts import Host
from ipsecfd.lab.namespaces import LabError
from ipsecfd.lab.probes import Record

# -P: modules come from the installation, never from the directory the command is given in.
IPSECFD: Final = (sys.executable, "-P", "-m", "ipsecfd")
CONFIG, POLICY = "/run/lab/ipsecfd.toml", "/run/lab/policy.toml"
LOG, OUTPUT, NOTIFY = "/run/lab/diagnostic.jsonl", "/run/lab/daemon.out", "/run/lab/notify"

_LAB_CONFIG: Final[Mapping[str, Any]] = {
    "state_dir": "/run/lab/state",
    "diagnostics": {"log": LOG},
    "control": {"socket": "/run/ipsecfd/control.sock"},
}


class Daemon:
    """A running daemon; all its files are in the host's own /run and gone with the host.

    `policy` is what a policy file holds, or None to start without `--policy`. `config` goes over
    the lab's configuration, tables key by key. `arguments` are added to `ipsecfd run`; `command`
    replaces `ipsecfd run --config ... --policy ...` altogether. `ready` is how many seconds it may
    take until it says READY=1; with 0 nobody waits. Raises LabError, with what the daemon wrote,
    when it ends or stays silent instead.
    """

    def __init__(
        self,
        host: Host,
        policy: str | bytes | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        arguments: Sequence[str] = (),
        command: Sequence[str] | None = None,
        ready: float = 20.0,
    ) -> None:
        self.host = host
        self.config = merged(_LAB_CONFIG, config or {})
        self.log_path = host.path(self.config["diagnostics"]["log"])
        """The diagnostic log, as found from outside."""
        host.path(CONFIG).write_text(toml_text(self.config))
        run = [*IPSECFD, "run", "--config", CONFIG]
        self.policy_path = host.path(POLICY)
        """The file of its policy, as found from outside."""
        if policy is not None:
            self._write_policy(policy)
            run += ["--policy", POLICY]
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            notify = host.path(NOTIFY)
            notify.unlink(missing_ok=True)
            self._notify.bind(str(notify))
            self._start([*run, *arguments] if command is None else command)
            if ready:
                self.wait_ready(ready)
        except BaseException:
            self._notify.close()
            raise

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        """Its process ends with the host."""
        self._notify.close()

    def _start(self, command: Sequence[str]) -> None:
        environment = {**os.environ, "NOTIFY_SOCKET": NOTIFY}
        with self.host.path(OUTPUT).open("ab") as output:
            self.process = self.host.popen(
                command, stdout=output, stderr=subprocess.STDOUT, env=environment
            )

    def wait_ready(self, seconds: float = 20.0) -> None:
        """Wait for READY=1; LabError when the daemon ends first or takes longer."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self._notify], [], [], min(left, 0.05))
            if readable and b"READY=1" in self._notify.recv(65536).splitlines():
                return
            if self.process.poll() is not None:
                raise LabError(
                    f"the daemon on {self.host.name} ended with status"
                    f" {self.process.returncode} before it was ready: {self._last_words()}"
                )
        raise LabError(
            f"the daemon on {self.host.name} was not ready within {seconds:g} s:"
            f" {self._last_words()}"
        )

    @property
    def pid(self) -> int | None:
        """Its process id seen from outside; None once it has ended."""
        return self.host.inner_pid(self.process)

    @property
    def output(self) -> str:
        """What it wrote on stdout and stderr."""
        return self.host.path(OUTPUT).read_text(errors="replace")

    def cli(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run an `ipsecfd` command on its host; with `check`, LabError when that fails."""
        done = self.host.run([*IPSECFD, *arguments])
        if check and done.returncode != 0:
            raise LabError(f"ipsecfd {' '.join(arguments)}: {done.stderr.strip() or done.stdout}")
        return done

    def reload(self, policy: str | bytes) -> None:
        """Write another policy over the first and have it enforced."""
        self._write_policy(policy)
        self.cli("reload")

    def _write_policy(self, policy: str | bytes) -> None:
        self.policy_path.write_bytes(policy.encode() if isinstance(policy, str) else policy)

    def send_signal(self, number: int) -> None:
        """Send the daemon a signal."""
        self.host.send_signal(self.process, number)

    def stop(self, number: int = signal.SIGTERM, *, timeout: float = 10.0) -> int:
        """End it with a signal and wait; its exit status, negative for a signal.

        Raises LabError when it has not ended after `timeout` seconds.
        """
        self.send_signal(number)
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise LabError(
                f"the daemon on {self.host.name} did not end within {timeout:g} s of signal"
                f" {signal.Signals(number).name}: {self._last_words()}"
            ) from None

    def log(self) -> LogTail:
        """The diagnostic log from its end on."""
        tail = LogTail(self)
        tail.new()
        return tail

    def records(self) -> list[Record]:
        """All records of the diagnostic log so far."""
        return LogTail(self).new()

    def _last_words(self) -> str:
        return self.output.strip()[-2000:] or "it wrote nothing"


class LogTail:
    """Reads a diagnostic log as it grows."""

    def __init__(self, daemon: Daemon) -> None:
        self._path = daemon.log_path
        self._offset = 0

    def new(self) -> list[Record]:
        """The records that were added since the last call."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:  # not yet made, or its host has ended
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [json.loads(line) for line in whole.splitlines()]


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with changes over it, tables key by key."""
    result = dict(base)
    for key, value in changes.items():
        below = result.get(key, {})
        result[key] = merged(below, value) if isinstance(value, Mapping) else value
    return result


def toml_text(config: Mapping[str, Any]) -> str:
    """A configuration as TOML: plain values, lists of them, and tables one deep."""
    tables = {key: value for key, value in config.items() if isinstance(value, Mapping)}
    lines = [f"{key} = {_value(value)}" for key, value in config.items() if key not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(f"{key} = {_value(value)}" for key, value in table.items())]
    return "\n".join([*lines, ""])


def _value(value: Any) -> str:
    # Of JSON and TOML, strings, integers, booleans and lists of them are written alike.
    return json.dumps(value)
