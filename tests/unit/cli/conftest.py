"""A daemon that always answers."""

from __future__ import annotations

import pytest

from ipsecfd.agent import client
from ipsecfd.cli import foresight
from tests.unit.cli.fake_daemon import FakeDaemon


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> FakeDaemon:
    """A daemon that always answers; the commands are not given over ssh."""
    daemon = FakeDaemon()
    monkeypatch.setattr(client, "call", daemon.call)
    monkeypatch.setattr(foresight, "ssh_session", lambda: "")
    return daemon
