"""The keys that `ipsecfd-boot` reads as well: it understands what is accepted, all of it."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from ipsecfd.agent.config import parse
from ipsecfd.policy.mistakes import PolicyError

SCRIPT = Path(__file__).parents[3] / "systemd/ipsecfd-boot"


def as_script(text: str, key: str, tmp_path: Path) -> str:
    """What the script's own `value` finds."""
    config = tmp_path / "ipsecfd.toml"
    config.write_bytes(text.encode())
    source = SCRIPT.read_text()
    start = source.index("value() {")
    function = source[start : source.index("\n}\n", start) + 3]
    script = f'export LC_ALL=C; config=$1; {function}value "$2"'
    command = ["sh", "-c", script, "sh", str(config), key]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("", "state_dir", ""),
        ('state_dir = "/srv/x"', "state_dir", "/srv/x"),
        ("  state_dir='/srv/x'  # here", "state_dir", "/srv/x"),
        ('cache = "off"\r\nstate_dir = "/srv/x y"\r\n', "state_dir", "/srv/x y"),
        ('state_dir = "/srv/ö"', "state_dir", "/srv/ö"),
        ('dialup_interfaces = [\n"wg0",\n]\nforward = true', "forward", "true"),
        ('on_failure = "permit"\n[domain]\nsource = ""', "on_failure", "permit"),
        ('# state_dir = "/srv/x"', "state_dir", ""),
    ],
)
def test_what_is_accepted_is_understood(text: str, key: str, value: str, tmp_path: Path) -> None:
    """Both find the same, or neither finds anything."""
    config = parse(text, "x")
    assert as_script(text, key, tmp_path) == value
    if value:
        assert str(getattr(config, key)).lower() == value


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('"state_dir" = "/srv/x"', "state_dir"),
        ("'state_dir' = '/srv/x'", "state_dir"),
        ('state_dir = """/srv/x"""', "state_dir"),
        ('state_dir = "\\u002fsrv/x"', "state_dir"),
        ('"on_failure" = "permit"', "on_failure"),
        ('"forward" = true', "forward"),
        ('dialup_interfaces = ["""\n[w]"""]\nforward = true', "forward"),
        ('control.group = """\nstate_dir = "/srv/x"\n"""', "state_dir"),
    ],
)
def test_what_would_be_misread_is_refused(text: str, key: str, tmp_path: Path) -> None:
    """With the key, and how to write it."""
    values = tomllib.loads(text)
    assert as_script(text, key, tmp_path) != str(values.get(key, "")).lower()
    with pytest.raises(PolicyError) as error:
        parse(text, "x")
    assert re.match(rf"x: {key}: .*expected on a line of its own as in {key} = ", str(error.value))


def test_every_mistake_is_told_at_once() -> None:
    """One line for each key, of either kind."""
    with pytest.raises(PolicyError) as error:
        parse('"forward" = true\n"state_dir" = "lib"\nexempt = 9', "x")
    exempt, forward, directory = sorted(str(error.value).split("\n"))
    assert forward.startswith('x: forward: "true": expected on a line of its own')
    assert directory.startswith('x: state_dir: "lib": expected an absolute path')
    assert exempt.startswith('x: exempt: "9": ')
