"""`ipsecfd import`."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from unittest.mock import Mock

import pytest
from typer.testing import CliRunner, Result

from ipsecfd.cli.main import app
from ipsecfd.policy import durable
from ipsecfd.policy.model import Store
from ipsecfd.policy.stores import properties
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.host import Stores

DATA = Path(__file__).parents[2] / "data" / "netsh"
GOOD = (
    "netsh ipsec static delete policy name=none\n"
    "netsh ipsec static add policy name=%1\n"
    "netsh ipsec static set policy name=%1 assign=y\n"
)
BAD = "netsh ipsec static add policy name=B\nnetsh ipsec static add polycy name=C\n"


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty host without a running service, with two scripts in the current directory."""
    monkeypatch.chdir(tmp_path)
    Path("good.bat").write_text(GOOD)
    Path("bad.bat").write_text(BAD)
    Path("c.toml").write_text(
        f'state_dir = "{tmp_path}/state"\n[control]\nsocket = "{tmp_path}/none"\n'
    )
    return tmp_path / "state"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["import", "--config", "c.toml", *arguments])


def kept(state: Path, store: Store = Store.LOCAL) -> Content:
    return Stores(state).read(store)


def test_an_import_is_kept(state: Path) -> None:
    """The policy is in the local store, assigned; what failed is told, and the exit status is 0."""
    result = run("good.bat", "--arg", "P")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "Imported into the local store:",
        "",
        "  policies        1",
        "  filter lists    0",
        "  filters         0",
        "  rules           0",
        "  filter actions  0",
        "  dynamic rules   0",
        '  assigned        "P"',
        "",
        "Failed, as it would have on Windows; the rest was done:",
        "  good.bat:1",
        "    netsh ipsec static delete policy name=none",
        "      ERR IPsec [05011] : There is no policy with the name 'none'.",
    ]
    assert kept(state).assigned == "p"


def test_only_commands_for_the_domain_store_fail(state: Path) -> None:
    """They are listed, the rest is kept; a dry run says the same."""
    Path("d.txt").write_text(
        "ipsec static add policy name=A\n"
        "ipsec static set store location=domain\n"
        "ipsec static add policy name=B\n"
        'ipsec static set policy "Client (Respond Only)" assign=y\n'
        "ipsec static set store location=local\n"
        "ipsec static add policy name=C\n"
    )
    for options in (("--dry-run",), ()):
        result = run("d.txt", "--json", *options)
        found = json.loads(result.stdout)
        assert (result.exit_code, found["policies"]) == (0, 2)
        assert [one["line"] for one in found["failed"]] == [3, 4]
        assert all("where it comes from" in one["why"] for one in found["failed"][:1])
    assert set(kept(state).policies) == {"a", "c"}
    assert kept(state, Store.DOMAIN) == Content()


@pytest.mark.parametrize(
    ("script", "did", "would"),
    [
        (
            "set store persistent\nadd policy A",
            "Imported into the persistent store",
            "Would import into an empty persistent store",
        ),
        (
            "add policy A\nset store persistent\nadd policy A",
            "Imported into the local and persistent stores",
            "Would import into empty local and persistent stores",
        ),
        (
            "set store persistent\ndel policy A",
            "Changed nothing in the local store",
            "Would change nothing in the local store",
        ),
    ],
)
def test_the_head_names_the_stores_that_a_script_selected(
    state: Path, script: str, did: str, would: str
) -> None:
    """`set store` goes before `--store`; a dry run says the same."""
    Path("s.txt").write_text(f"pushd ipsec static\n{script}\npopd\n")
    head, *_ = run("s.txt", "--dry-run").stdout.splitlines()
    assert head == f"{would}:"
    head, *_ = run("s.txt").stdout.splitlines()
    assert head == f"{did}:"


def test_dynamic_objects_are_changes(state: Path) -> None:
    """Those that are no rules, too."""
    Path("s.txt").write_text("ipsec dynamic add mmpolicy name=m\n")
    head, *_ = run("s.txt", "--dry-run").stdout.splitlines()
    assert head == "Would import into an empty dynamic store:"


def test_assigned_is_told_of_the_stores_in_question(state: Path) -> None:
    """What another store has assigned says nothing of the policy that was imported."""
    Path("p.txt").write_text("ipsec static set store persistent\nipsec static add policy P ass=y\n")
    Path("l.txt").write_text("ipsec static add policy L\n")
    Path("b.txt").write_text(
        "ipsec static add policy L2 assign=yes\nipsec static set store persistent\n"
        "ipsec static add policy P2 assign=yes\n"
    )
    for script, assigned, first in (
        ("p.txt", '"P"', "P"),
        ("l.txt", "no policy", None),
        ("b.txt", '"L2" (local), "P2" (persistent)', "L2"),
    ):
        dry = json.loads(run(script, "--dry-run", "--json").stdout)
        lines = run(script).stdout.splitlines()
        assert f"  assigned        {assigned}" in lines
        assert dry["assigned"] == first


def test_who_may_not_write_is_told_at_once(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is imported, and the exit status says so."""
    for error, user, why in (
        (errno.EACCES, 1000, "permission denied: only root may change anything"),
        (errno.EROFS, 0, "nothing can be changed: Read-only file system"),
    ):
        monkeypatch.setattr(durable, "locked", Mock(side_effect=OSError(error, os.strerror(error))))
        monkeypatch.setattr(os, "geteuid", Mock(return_value=user))
        result = run("good.bat", "--arg", "P")
        assert result.exit_code == 1
        assert why in str(result.exception)
        assert result.stdout == ""


def test_the_copy_of_a_domain_policy_is_left_out(state: Path) -> None:
    """A whole export of Windows' key may hold one; the local store in it is imported."""
    key = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Microsoft\Windows\IPSec\Policy"
    Path("k.reg").write_text(
        f"Windows Registry Editor Version 5.00\n\n[{key}\\Local]\n\n[{key}\\Cache]\n"
        '"ActivePolicy"="nothing"\n'
    )
    result = run("k.reg")
    assert result.exit_code == 0
    assert "Failed" not in result.stdout
    assert "Note: the key Cache was not imported" in result.stdout


def test_very_many_failures_are_not_all_told(state: Path) -> None:
    """People see the first of them; programs see all."""
    lines = [f"netsh ipsec static delete policy name=P{number}" for number in range(1_234)]
    Path("many.bat").write_text("\n".join(lines))
    *_, last = run("many.bat").stdout.splitlines()
    assert last == "  and 1,134 more; --json has them all"
    assert len(json.loads(run("many.bat", "--json").stdout)["failed"]) == 1_234


def test_an_export_of_properties_alone(state: Path) -> None:
    """No table of zeros: what was set, and when it takes effect."""
    Path("e.reg").write_text(
        "Windows Registry Editor Version 5.00\n\n"
        "[HKEY_LOCAL_MACHINE\\SYSTEM\\CurrentControlSet\\Services\\IPSEC]\n"
        '"NoDefaultExempt"=dword:00000001\n'
    )
    for options, head in ((("--dry-run",), "Would set:"), ((), "Set:")):
        assert run("e.reg", *options).stdout.splitlines() == [
            head,
            "",
            "  ipsecexempt  1",
            "",
            "Note: ipsecexempt: the new value takes effect when ipsecfd is started again",
        ]
    assert properties.read(state).ipsecexempt == 1


def test_a_dry_run_changes_nothing(state: Path) -> None:
    """It begins with an empty store, whatever the host has."""
    assert run("good.bat", "--arg", "P").exit_code == 0
    result = run("good.bat", "--arg", "Q", "--dry-run")
    assert result.exit_code == 0
    assert result.stdout.startswith(
        "Would import into an empty local store:\n\n  policies        1"
    )
    assert set(kept(state).policies) == {"p"}


def test_what_is_not_understood_stops_everything(state: Path) -> None:
    """Nothing is changed, not by the other files either; exit status 1."""
    result = run("good.bat", "bad.bat", "--arg", "P")
    assert result.exit_code == 1
    assert result.stdout.startswith("Nothing was imported, since not all of it was understood;")
    assert (
        "Not understood:\n  bad.bat:2\n    netsh ipsec static add polycy name=C\n" in result.stdout
    )
    assert all(len(line) <= 80 for line in result.stdout.splitlines())
    assert kept(state) == Content()


def test_a_partial_import(state: Path) -> None:
    """The rest is done, what was left out is told, and the exit status is 0."""
    result = run("good.bat", "bad.bat", "--arg", "P", "--partial")
    assert result.exit_code == 0
    assert "Not understood and left out:\n  bad.bat:2\n" in result.stdout
    assert set(kept(state).policies) == {"p", "b"}


def test_the_persistent_store(state: Path) -> None:
    """What is local on Windows goes to the store that is asked for."""
    assert run("good.bat", "--arg", "P", "--store", "persistent").exit_code == 0
    assert kept(state) == Content()
    assert kept(state, Store.PERSISTENT).assigned == "p"
    result = run("good.bat", "--store", "domain")
    assert (result.exit_code, result.stderr) == (
        2,
        "ipsecfd: --store domain: expected local or persistent\n",
    )


def test_json(state: Path) -> None:
    """One object, with these keys and no others."""
    result = run(str(DATA / "10-ipsecpol-static-http.bat"), "--dry-run", "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "policies": 1,
        "filter_lists": 3,
        "filters": 3,
        "rules": 3,
        "filter_actions": 2,
        "assigned": "MyPol",
        "dynamic_rules": 0,
        "failed": [
            {
                "file": str(DATA / "10-ipsecpol-static-http.bat"),
                "line": 6,
                "text": 'ipsecpol -w REG -p "MyPol" -y -o',
                "why": "ipsecpol: there is no policy with the name 'MyPol'",
            }
        ],
        "untranslated": [],
    }
    assert not state.exists()


def test_dynamic_rules_need_the_service(state: Path) -> None:
    """Without it they fail and the rest is done; a dry run counts them."""
    Path("d.bat").write_text("ipseccmd -f 0+* -n BLOCK\nnetsh ipsec static add policy P\n")
    result = run("d.bat")
    assert result.exit_code == 0
    assert "d.bat:1\n    ipseccmd -f 0+* -n BLOCK\n" in result.stdout
    assert set(kept(state).policies) == {"p"}
    assert "dynamic rules   1" in run("d.bat", "--dry-run").stdout


def test_files_that_cannot_be_read(state: Path) -> None:
    """They stop the import like anything that is not understood."""
    result = run("none.bat")
    assert result.exit_code == 1
    assert result.stdout == (
        "Nothing was imported, since not every file can be.\n\n"
        "Not imported:\n  none.bat\n      cannot be read: No such file or directory\n"
    )
    assert kept(state) == Content()


@pytest.mark.parametrize("example", sorted(DATA.glob("*.bat")), ids=lambda path: path.name)
def test_check_and_explain_take_scripts(example: Path) -> None:
    """A script is a policy for the offline commands, too; `check` prints the same short line."""
    result = CliRunner().invoke(app, ["check", str(example)])
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{example}: ")
    packet = "in tcp 198.51.100.7:50000 -> 192.0.2.10:80"
    options = ["--policy", str(example), "--address", "192.0.2.10/24", "--json"]
    result = CliRunner().invoke(app, ["explain", packet, *options])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["verdict"] in ("permit", "block")
