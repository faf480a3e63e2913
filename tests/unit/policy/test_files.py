"""Policy files of any kind, told apart by content."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecfd.policy.files import load
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.names import Names


def refusal(path: Path) -> str:
    with pytest.raises(PolicyError) as caught:
        load(path, Names())
    (mistake,) = caught.value.mistakes
    assert str(path) == mistake.file
    return str(mistake).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", "empty; expected a policy"),
        (b" \n\t\n", "empty; expected a policy"),
        (b"# only a comment\n", "name: missing"),
        (b'name = "p"\n\xff', "line 2: expected UTF-8 text, not byte 0xff"),
        (b'name = "p"\n\n\0', "line 3: expected text, not a zero byte"),
        ('name = "p"\n'.encode("utf-16"), "expected UTF-8 text, not UTF-16; save it as UTF-8"),
        ('name = "p"\n'.encode("utf-16-be"), "line 1: expected text, not a zero byte"),
        (b"name = 1 2\n", "line 1, column 10"),
    ],
)
def test_what_is_no_policy_gets_one_clear_line(tmp_path: Path, data: bytes, expected: str) -> None:
    """Place and reason, never a traceback."""
    path = tmp_path / "p.toml"
    path.write_bytes(data)
    assert refusal(path).startswith(expected)


@pytest.mark.parametrize(
    "text",
    [
        "netsh ipsec static add policy name=Web\r\n",
        "@echo off\r\nrem filters\r\nnetsh ipsec static add policy name=Web\r\n",
        "# filters\nNETSH.EXE ipsec static delete all\n",
        '"C:\\Support Tools\\ipseccmd.exe" -f *=0:1434:UDP -n BLOCK\n',
        "set P=Web\r\nipsecpol -w REG -p %P% -r in -f *=0:1434:UDP -n BLOCK\r\n",
        "pushd ipsec static\nadd policy name=Web\npopd\n",
        "ipsec static\nadd filterlist name=Web\n",
        "Windows Registry Editor Version 5.00\r\n\r\n[HKEY_LOCAL_MACHINE\\SOFTWARE]\r\n",
    ],
)
def test_windows_scripts_are_recognised(tmp_path: Path, text: str) -> None:
    """They are told from a TOML policy with a mistake, whatever the file is called."""
    path = tmp_path / "p.toml"
    path.write_bytes(text.encode())
    assert "scripts of the Windows tools are not read yet" in refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        'name = "p"\n',
        '\ufeffname = "p"\n',
        'name = "p"\r\n',
        '"name" = "p"\n',
        'description = """\nnetsh ipsec static add policy name=Web\n"""\nname = "p"\n',
        "# netsh ipsec static add policy name=Web\nname = 'p'\n",
    ],
)
def test_toml_is_recognised(tmp_path: Path, text: str) -> None:
    """With or without a byte order mark, and even if it talks of Windows commands."""
    path = tmp_path / "p.txt"
    path.write_bytes(text.encode())
    assert load(path, Names()).policy.name == "p"


def test_missing_files_and_directories(tmp_path: Path) -> None:
    """The system's reason is passed on."""
    assert refusal(tmp_path) == "cannot be read: Is a directory"
    assert refusal(tmp_path / "none") == "cannot be read: No such file or directory"
    assert refusal(Path("a\0b")).startswith("a\\x00b: cannot be read: embedded null")
