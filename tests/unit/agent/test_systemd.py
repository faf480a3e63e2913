"""What systemd is told, and how its own processes are recognised."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from ipsecfd.agent.systemd import Systemd, is_manager, watchdog_seconds


def test_notifications(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each is one datagram in sd_notify's words."""
    path = tmp_path / "notify"
    monkeypatch.setenv("NOTIFY_SOCKET", str(path))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(path))
        systemd = Systemd()
        systemd.ready()
        systemd.reloading()
        systemd.alive()
        systemd.status("secure mode")
        systemd.stopping()
        got = [manager.recv(4096).decode() for _ in range(5)]
        assert systemd._notifier is not None
        systemd._notifier.socket.close()
    assert got[0] == "READY=1"
    assert got[1].startswith("RELOADING=1\nMONOTONIC_USEC=")
    assert got[2:] == ["WATCHDOG=1", "STATUS=secure mode", "STOPPING=1"]


def test_nobody_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a manager nothing happens."""
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Systemd().ready()


@pytest.mark.parametrize(
    ("environment", "managed"),
    [
        ({"NOTIFY_SOCKET": "/run/n", "SYSTEMD_EXEC_PID": str(os.getpid())}, True),
        ({"NOTIFY_SOCKET": "/run/n", "SYSTEMD_EXEC_PID": "1"}, False),
        ({"NOTIFY_SOCKET": "/run/n"}, False),
        ({"SYSTEMD_EXEC_PID": str(os.getpid())}, False),
        ({}, False),
    ],
)
def test_service_of_systemd(
    environment: dict[str, str], managed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the process that systemd itself started leaves its rules to ExecStopPost."""
    for name in ("NOTIFY_SOCKET", "SYSTEMD_EXEC_PID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_manager() is managed


@pytest.mark.parametrize(
    ("value", "seconds"), [("20000000", 20.0), ("0", None), ("x", None), (None, None)]
)
def test_watchdog(
    value: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WATCHDOG_USEC is in microseconds."""
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    if value is not None:
        monkeypatch.setenv("WATCHDOG_USEC", value)
    assert watchdog_seconds() == seconds
