"""Files about one network namespace that outlive a process."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.kernel.network_file import NetworkFile


def test_it_holds_what_was_written(tmp_path: Path) -> None:
    """For whoever is in the same network, until it is forgotten."""
    NetworkFile("one", tmp_path / "run").write(b"a\nb")
    assert NetworkFile("one", tmp_path / "run").read() == b"a\nb"
    assert NetworkFile("other", tmp_path / "run").read() is None
    NetworkFile("one", tmp_path / "run").forget()
    assert NetworkFile("one", tmp_path / "run").read() is None


def test_name_has_the_number_that_a_shell_sees(tmp_path: Path) -> None:
    """`systemd/ipsecfd-boot` asks for the file by it."""
    NetworkFile("one", tmp_path).write(b"")
    assert [*tmp_path.iterdir()] == [tmp_path / f"one-{Path('/proc/self/ns/net').stat().st_ino}"]


@pytest.mark.parametrize(
    ("line", "found"), [(b"18446744073709551615", None), (b"", b""), (b"\xff", b""), (b"-1", b"")]
)
def test_file_of_a_network_that_had_the_number_before(
    tmp_path: Path, line: bytes, found: bytes | None
) -> None:
    """It says nothing about this one; a damaged file is there all the same."""
    NetworkFile("one", tmp_path).write(b"text")
    (file,) = tmp_path.iterdir()
    file.write_bytes(line + b"\ntext")
    assert NetworkFile("one", tmp_path).read() == found
