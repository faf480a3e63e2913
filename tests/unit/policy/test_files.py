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
        "netsh ipsec static add policy name=p\r\n",
        "@echo off\r\nrem filters\r\nnetsh ipsec static add policy name=p\r\n",
        "# filters\nNETSH.EXE ipsec static add policy p assign=y\n",
        '"C:\\Support Tools\\ipseccmd.exe" -w REG -p p -r r -f *=0:1434:UDP -n BLOCK\n',
        "set P=p\r\nipsecpol -w REG -p %P% -r in -f *=0:1434:UDP -n BLOCK\r\n",
        "pushd ipsec static\nadd policy name=p\npopd\n",
        "ipsec static\nadd policy name=p\n",
        "pushd ipsec static\nadd policy p\nadd policy q\nset policy p assign=y\n",
        "netsh ipsec static set store persistent\nnetsh ipsec static add policy p assign=y",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "cp1252"])
def test_windows_scripts_are_recognised(tmp_path: Path, text: str, encoding: str) -> None:
    """They give what would be in force after them, whatever the file is called: the assigned
    policy, or the only one."""
    path = tmp_path / "p.toml"
    path.write_bytes(text.encode(encoding))
    assert load(path, Names()).policy.name == "p"


def test_dynamic_rules_of_a_script_are_added(tmp_path: Path) -> None:
    """They are in force along with the policy."""
    path = tmp_path / "p.bat"
    path.write_text(
        "ipseccmd -f *=0:80:TCP -n BLOCK\nipseccmd -w REG -p p -r r -f 0+* -n PASS -x\n"
    )
    policy = load(path, Names()).policy
    assert (policy.name, len(policy.rules)) == ("p", 2)
    path.write_text("ipseccmd -f *=0:80:TCP -n BLOCK\n")
    assert len(load(path, Names()).policy.rules) == 1


def test_what_windows_would_refuse_is_a_warning(tmp_path: Path) -> None:
    """The rest of the script has been done there, too."""
    path = tmp_path / "p.bat"
    path.write_text("netsh ipsec static delete policy x\nnetsh ipsec static add policy p\n")
    (warning,) = load(path, Names()).warnings
    assert str(warning).startswith(f'{path}: line 1: "netsh ipsec static delete policy x": ERR')


def test_doubtful_filters_of_a_script_are_warnings(tmp_path: Path) -> None:
    """As those of a policy file are (X10)."""
    path = tmp_path / "p.bat"
    path.write_text("ipseccmd -w REG -p p -r r -f *=0:50:TCP -n PASS -x\n")
    (warning,) = load(path, Names()).warnings
    assert str(warning) == (
        f'{path}: filter list "r": "any -> me:50 tcp": TCP port 50 is not ESP, which is protocol 50'
        " without ports"
    )


def test_a_file_that_never_ends() -> None:
    """It is refused before it fills memory."""
    with pytest.raises(PolicyError, match=r"^/dev/zero: expected at most 64 MiB"):
        load(Path("/dev/zero"), Names())


def test_a_mirror_that_does_not_count_is_a_warning(tmp_path: Path) -> None:
    """A tunnel rule has none (spec 2.3), but netsh mirrors every filter unless told otherwise."""
    path = tmp_path / "p.netsh"
    path.write_text(
        "ipsec static add filter l me 198.51.100.7\n"
        "ipsec static add filter l me 198.51.100.8\n"
        "ipsec static add filter l 198.51.100.9 me mirrored=no\n"
        "ipsec static add filteraction b action=block\n"
        "ipsec static add policy p assign=yes\n"
        "ipsec static add rule r p l b tunnel=192.0.2.9\n"
    )
    (warning,) = load(path, Names()).warnings
    assert str(warning) == (
        f'{path}: rule "r": "me <-> 198.51.100.7": its mirror does not count in a tunnel rule,'
        " nor of 1 more of its filters: for the other way add a rule with filters of that way"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("netsh ipsec static add polycy p", 'line 1: "netsh ipsec static add polycy p": ERR'),
        (
            "netsh ipsec static add policy %P%",
            'line 1: "netsh ipsec static add policy %P%": column 1: %P% is not known',
        ),
        (
            "netsh ipsec static add policy p\nnetsh ipsec static add policy q",
            'assigns none of its policies; expected one to be assigned of "p", "q"',
        ),
        ("reg add HKCU\\Software\\X /v A\r\n", "no command about IPsec policies"),
        ("netsh ipsec static delete all", "no policy is left when this script has run"),
        ("REGEDIT4\n\n[HKEY_LOCAL_MACHINE\\SOFTWARE]\n", "expected a key of an IPSec policy store"),
        ("regf\0", "a registry hive"),
    ],
)
def test_scripts_that_give_no_policy(tmp_path: Path, text: str, expected: str) -> None:
    """They are refused with file, line and reason."""
    path = tmp_path / "p.bat"
    path.write_text(text)
    assert refusal(path).startswith(expected)


_LOCAL_AND_PERSISTENT = """
ipsec static
add filter l any me
add filteraction a action=block
add policy q
add rule local q l a
set store location=persistent
add filter l any me
add filteraction a action=block
add policy p assign=yes
add rule persistent p l a
"""


@pytest.mark.parametrize(
    ("more", "rules"),
    [
        ("", ["persistent"]),
        ("set store local\nadd policy r", ["persistent"]),
        ("set store local\nset policy q assign=yes", ["local", "persistent"]),
        ("set policy p assign=no\nset store local", ["local"]),
    ],
)
def test_what_is_assigned_in_no_store_is_not_in_force(
    tmp_path: Path, more: str, rules: list[str]
) -> None:
    """The only policy of the local store counts where the script puts nothing in force."""
    path = tmp_path / "p.netsh"
    path.write_text(_LOCAL_AND_PERSISTENT + more)
    assert [rule.name for rule in load(path, Names()).policy.rules] == rules


def test_an_export_of_a_store(tmp_path: Path) -> None:
    """It is a policy file as any script is: what it assigns, or its only policy."""
    path = tmp_path / "p.toml"
    store = 'version = 1\n\n[[policy]]\nname = "p"\n'
    other = '\n[[policy]]\nname = "q"\n'
    path.write_text(store)
    assert load(path, Names()).policy.name == "p"
    path.write_text(store + other)
    assert refusal(path).startswith("assigns none of its policies")
    path.write_text(f'assigned = "q"\n{store}{other}')
    assert load(path, Names()).policy.name == "q"
    path.write_text(f'assigned = "r"\n{store}')
    assert refusal(path) == '"r": assigned: unknown policy; known: p'
    path.write_text("version = 1\n")
    assert refusal(path) == "no policy is left when this script has run"


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
