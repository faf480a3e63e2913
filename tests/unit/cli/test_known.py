"""What commands that only look know of this host."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ipsecfd.agent import config
from ipsecfd.agent.config import Config
from ipsecfd.cli.known import host_config
from ipsecfd.cli.main import app
from ipsecfd.policy.names import Names
from tests.unit.cli.capture_files import RAW, pcap

NAME = "kept.invalid"
POLICY = f'name = "P"\n[[rule]]\naction = "block"\nfilters = ["{NAME} -> me:80 tcp"]\n'
PACKET = "in tcp 203.0.113.66:4000 -> 192.0.2.10:80"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of answers that a service of this host keeps; it knows a name no resolver knows."""
    file = tmp_path / "ipsecfd.toml"
    file.write_text(f'state_dir = "{tmp_path}/state"\n')
    monkeypatch.setattr(config, "DEFAULT_PATH", file)
    path = tmp_path / "state" / "names.json"
    names = Names(path, resolver=lambda _: [ipaddress.ip_address("203.0.113.66")])
    names.resolve(NAME)
    names.save()
    (tmp_path / "policy.toml").write_text(POLICY)
    (tmp_path / "empty.pcap").write_bytes(pcap([], RAW))
    return path


@pytest.mark.parametrize(
    "words", [["check"], ["explain", PACKET, "--policy"], ["replay", "empty.pcap", "--policy"]]
)
def test_names_mean_what_they_mean_to_the_service(
    kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    """Offline answers equal the service's; without its answers the resolver is asked."""
    monkeypatch.chdir(tmp_path)
    before = kept.read_bytes()
    options = ["--address", "192.0.2.10/24"] if len(words) > 1 else []
    done = CliRunner().invoke(app, [*words, "policy.toml", *options])
    assert done.exit_code == 0, (done.stderr, done.exception)
    assert words[0] != "explain" or "block" in done.stdout
    assert before == kept.read_bytes()
    kept.write_text("damaged")
    failed = CliRunner().invoke(app, [*words, "policy.toml", *options])
    assert NAME in failed.stderr + str(failed.exception)


@pytest.mark.parametrize("content", [None, "profile = 5", b"\xff\xfe\x00"])
def test_a_configuration_that_cannot_be_read_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: str | bytes | None
) -> None:
    """Whoever only looks does not fail for the mistakes of a file nobody asked about."""
    file = tmp_path / "ipsecfd.toml"
    if content is None:
        file.mkdir()
    else:
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    monkeypatch.setattr(config, "DEFAULT_PATH", file)
    assert Config() == host_config()
