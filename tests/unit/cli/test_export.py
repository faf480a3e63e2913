"""`ipsecfd export`."""

from __future__ import annotations

import socket
import time
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.agent import client, config
from ipsecfd.cli.main import app
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores import reader as storereader
from ipsecfd.policy.stores.content import StoredList
from ipsecfd.policy.stores.host import Stores

export_module = import_module("ipsecfd.cli.export")
CONTROL = SimpleNamespace(socket=Path("/run/nobody.sock"))


@pytest.fixture(autouse=True)
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A host whose local store holds one filter list."""
    monkeypatch.setattr(
        config, "load", lambda _: SimpleNamespace(state_dir=tmp_path, control=CONTROL)
    )
    monkeypatch.setattr(client, "call", Mock(side_effect=client.NotRunningError))
    made = Stores(tmp_path)
    with made.edit(Store.LOCAL) as draft:
        draft.add_filter_list(StoredList("Web", (), "two\nlines"))
    return made


def export(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["export", *arguments])


def test_toml_is_the_usual_form(stores: Stores) -> None:
    """Nothing is lost in it."""
    result = export()
    assert (result.exit_code, result.stderr) == (0, "")
    assert storereader.parse(result.stdout, "x.toml") == stores.read(Store.LOCAL)


def test_notes_stand_on_stderr() -> None:
    """The text alone can go to a file."""
    result = export("--format", "netsh")
    assert result.exit_code == 0
    assert 'add filterlist name="Web" description="two lines"\n' in result.stdout
    assert result.stderr.startswith("note: description 'two lines': ")


def test_other_stores() -> None:
    """A store that never existed is empty."""
    result = export("--store", "persistent", "--format", "ipseccmd")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.count("\n") == 1


@pytest.mark.parametrize("wrong", [("--store", "dynamic"), ("--format", "csv")])
def test_words_that_mean_nothing(wrong: tuple[str, str]) -> None:
    """Usage errors say what is expected."""
    result = export(*wrong)
    assert result.exit_code == 2
    assert result.stderr.startswith(f"ipsecfd: {wrong[0]} {wrong[1]}: expected ")


def test_store_of_another_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config says whose state_dir is meant, as for import."""
    monkeypatch.undo()
    monkeypatch.setattr(client, "call", Mock(side_effect=AssertionError))
    file = tmp_path / "other.toml"
    file.write_text(f'state_dir = "{tmp_path}"\n')
    result = export("--config", str(file))
    assert (result.exit_code, result.stderr) == (0, "")
    assert "Web" in result.stdout


def test_store_of_the_running_daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever configuration it was started with; where it may not be asked nothing is claimed."""
    elsewhere = tmp_path / "elsewhere"
    with Stores(elsewhere).edit(Store.LOCAL) as draft:
        draft.add_filter_list(StoredList("Its", (), ""))
    monkeypatch.setattr(client, "call", Mock(return_value=str(elsewhere)))
    assert "Its" in export().stdout
    monkeypatch.setattr(client, "call", Mock(side_effect=client.ClientError("denied")))
    refused = export()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert str(refused.exception) == "denied; with --config nobody is asked where the stores are"


def test_a_daemon_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a file is told soon, and how to do without the daemon."""
    monkeypatch.undo()
    path = tmp_path / "sock"
    settings = SimpleNamespace(state_dir=tmp_path, control=SimpleNamespace(socket=path))
    monkeypatch.setattr(config, "load", lambda _: settings)
    monkeypatch.setattr(export_module, "PATIENCE_SECONDS", 0.1)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(path))
        listening.listen()
        start = time.monotonic()
        refused = export()
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert f"{path} does not answer within 0.1 s" in str(refused.exception)
    assert "; with --config nobody is asked" in str(refused.exception)
    assert time.monotonic() - start < 5
