"""Properties set by command: kept as set, refused when they cannot be meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ipsecfd.policy.stores.properties import (
    Properties,
    PropertiesError,
    boot_exemptions,
    read,
    write,
)

ALL = Properties(7, 1, 2, 86_400, 3, "block", ("tcp:0:3389:inbound", "icmp:inbound"))


def test_never_set_is_nothing_set(tmp_path: Path) -> None:
    """The configuration file then decides."""
    assert read(tmp_path / "state") == Properties()


@pytest.mark.parametrize(
    "properties",
    [Properties(), ALL, Properties(ipsecdiagnostics=0), Properties(bootexemptions=())],
)
def test_properties_come_back(tmp_path: Path, properties: Properties) -> None:
    """No exemption at all is not the same as exemptions never set."""
    write(tmp_path / "state", properties)
    assert read(tmp_path / "state") == properties
    assert (tmp_path / "state" / "properties.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("ipsecdiagnostics = 8", 'ipsecdiagnostics: "8": expected a number from 0 to 7'),
        ("ipsecdiagnostics = true", "expected a number from 0 to 7, not true or false"),
        ("ikelogging = 2", "expected a number from 0 to 1"),
        ("strongcrlcheck = -1", "expected a number from 0 to 2"),
        ("ipsecloginterval = 59", "expected a number from 60 to 86400"),
        ("ipsecloginterval = 86401", "expected a number from 60 to 86400"),
        ("ipsecexempt = 4", "expected a number from 0 to 3"),
        ('bootmode = "secure"', 'bootmode: "secure": expected stateful, block or permit'),
        ("bootmode = 1", "bootmode: expected stateful, block or permit"),
        ('bootexemptions = "none"', "bootexemptions: expected a list of boot exemptions"),
        ('bootexemptions = ["tcp:80"]', 'bootexemptions: "tcp:80": expected (tcp|udp):SOURCE-PORT'),
        ('ipsecexemt = "1"', 'unknown property; did you mean "ipsecexempt"?'),
        ("ipsecexempt", "line 1: not TOML"),
    ],
)
def test_damage_is_refused(tmp_path: Path, line: str, mistake: str) -> None:
    """With file, property, text and what was expected (spec 7.1, 8.3)."""
    (tmp_path / "properties.toml").write_text(line)
    with pytest.raises(PropertiesError) as refused:
        read(tmp_path)
    assert "properties.toml: " in str(refused.value)
    assert mistake in str(refused.value)


def test_what_could_not_be_read_is_not_written(tmp_path: Path) -> None:
    """The old file stays."""
    write(tmp_path, ALL)
    with pytest.raises(PropertiesError, match="ipsecexempt"):
        write(tmp_path, Properties(ipsecexempt=9))
    assert read(tmp_path) == ALL


def test_a_full_disk_leaves_the_old_properties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One clear line, and nothing half written."""

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    write(tmp_path, ALL)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(PropertiesError, match=r"properties\.toml: cannot be written: No space"):
            write(tmp_path, Properties())
    assert read(tmp_path) == ALL
    assert [path.name for path in tmp_path.iterdir()] == ["properties.toml"]


def test_what_is_not_a_file_is_refused(tmp_path: Path) -> None:
    """One clear line."""
    path = tmp_path / "properties.toml"
    path.mkdir()
    with pytest.raises(PropertiesError, match="cannot be read: Is a directory"):
        read(tmp_path)
    path.rmdir()
    os.mkfifo(path)
    with pytest.raises(PropertiesError, match="cannot be read: expected a plain file"):
        read(tmp_path)


def test_boot_exemptions_in_any_case_and_once() -> None:
    """They are kept as the driver prints them (spec 6.3)."""
    found = boot_exemptions(["TCP:0:3389:Inbound", "tcp:0:3389:inbound", "50:outbound"])
    assert found == ("tcp:0:3389:inbound", "50:outbound")


def test_at_most_1024_boot_exemptions() -> None:
    """A choice of the spec (6.3)."""
    texts = [f"udp:0:{port}:inbound" for port in range(1, 1026)]
    assert len(boot_exemptions(texts[:1024])) == 1024
    with pytest.raises(PropertiesError, match="at most 1024 boot exemptions, not 1025"):
        boot_exemptions(texts)
