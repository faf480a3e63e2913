"""Why a file cannot be read."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path

import pytest

from ipsecfd.policy.denied import reason

DENIED = PermissionError(errno.EACCES, "Permission denied")


@pytest.fixture
def forbidden(monkeypatch: pytest.MonkeyPatch) -> set[Path]:
    """What this process may not read, whoever runs the test."""
    paths: set[Path] = set()
    monkeypatch.setattr(os, "access", lambda path, _: path not in paths)
    return paths


def test_whose_it_is(tmp_path: Path, forbidden: set[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Owner and mode of what is in the way, a directory before what is in it; advice for root."""
    path = tmp_path / "web.toml"
    path.write_text("")
    path.chmod(0o600)
    tmp_path.chmod(0o750)
    owner = pwd.getpwuid(os.getuid()).pw_name
    forbidden.add(path)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    facts = f"Permission denied: {path} belongs to {owner} and has mode 0600"
    assert reason(path, DENIED) == facts
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    advice = "which the service may not read: `chown root` or `chmod o+r`"
    assert reason(path, DENIED) == f"{facts}, {advice}"
    forbidden.add(tmp_path)
    assert f"{tmp_path} belongs to {owner} and has mode 0750" in reason(path, DENIED)
    assert reason(path, DENIED).endswith(": `chmod o+x`, or put the file elsewhere")


def test_nothing_more_to_say(tmp_path: Path, forbidden: set[Path]) -> None:
    """Other errors, and what systemd hides, where modes would mislead."""
    path = tmp_path / "web.toml"
    assert reason(path, OSError(errno.EIO, "Input/output error")) == "Input/output error"
    assert reason(path, DENIED) == "Permission denied"
    forbidden.add(tmp_path)
    tmp_path.chmod(0)
    assert reason(path, DENIED) == "Permission denied"
    tmp_path.chmod(0o700)
