"""Registry texts become a tree with lines; what is no registry text is named by line."""

from __future__ import annotations

import pytest

from ipsecfd.policy.registry.regfile import is_registry_text, read, read_text
from ipsecfd.policy.registry.tree import Data, RegistryFileError, Tree

HEADER = "Windows Registry Editor Version 5.00\n\n"
KEY = "[HKEY_LOCAL_MACHINE\\SOFTWARE\\X]\n"


def value(tree: Tree, name: str) -> Data:
    key = tree.find("HKEY_LOCAL_MACHINE", "SOFTWARE", "X")
    assert key is not None
    assert not tree.failures
    return key.values[name.lower()].data


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ('"a"="plain"', "plain"),
        (r'"a"="C:\\dir \"x\""', 'C:\\dir "x"'),
        ('"a"=""', ""),
        ('"a"="over\ntwo lines"', "over\ntwo lines"),
        ('"a"="text" ; remark', "text"),
        ('"a"=dword:0000002a', 42),
        ('"a" = dword:2a', 42),
        ('"a"=hex:01,02,\\\n  03', b"\1\2\3"),
        ('"a"=hex:', b""),
        ('"a"=hex(2):25,00,41,00,00,00', "%A"),
        ('"a"=hex(7):61,00,00,00,62,00,63,00,00,00,00,00', ("a", "bc")),
        ('"a"=hex(4):01,00,00,00', 1),
        ('"a"=hex(b):01,00,00,00,00,00,00,00', 1),
        ('"a"=hex(0):01', b"\1"),
        ('"A"=dword:1', 1),
    ],
)
def test_values(written: str, expected: Data) -> None:
    """Every way in which regedit writes a value is read."""
    assert expected == value(read_text(HEADER + KEY + written, "x.reg"), "a")


def test_the_default_value() -> None:
    """`@` is the value without a name."""
    assert value(read_text(f'{HEADER}{KEY}@="d"', "x.reg"), "") == "d"


def test_the_older_format_is_8_bit() -> None:
    """REGEDIT4 writes texts in hex(2) and hex(7) one byte a character."""
    tree = read_text(f'REGEDIT4\n\n{KEY}"a"=hex(7):61,00,62,fc,00,00', "x.reg")
    assert value(tree, "a") == ("a", "bü")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-8", "utf-8-sig"])
def test_encodings(encoding: str) -> None:
    """Regedit writes UTF-16 with a mark; others save it otherwise."""
    text = f'{HEADER}{KEY}"a"="Büro"'.replace("\n", "\r\n")
    assert value(read(text.encode(encoding), "x.reg"), "a") == "Büro"


def test_a_line_that_makes_no_sense_is_named() -> None:
    """What is around it is read all the same."""
    tree = read_text(f'{HEADER}{KEY}what?\n"a"=dword:xyz\n"b"=hex:1,2,zz\n"c"=dword:1', "x.reg")
    assert [one.line for one in tree.failures] == [4, 5, 6]
    assert [one.text for one in tree.failures] == ["what?", '"a"=dword:xyz', '"b"=hex:1,2,zz']
    assert tree.failures[1].why == 'expected "TEXT", dword:NUMBER, hex:BYTES or -'
    key = tree.find("HKEY_LOCAL_MACHINE", "software", "x")
    assert key is not None
    assert list(key.values) == ["c"]


def test_a_text_that_is_never_closed() -> None:
    """It ends before the next key."""
    tree = read_text(f'{HEADER}{KEY}"a"="open\nmore\n{KEY}"b"="x"', "x.reg")
    assert [one.line for one in tree.failures] == [4]
    assert tree.find("HKEY_LOCAL_MACHINE", "SOFTWARE", "X") is not None


@pytest.mark.parametrize("behind", ["", "\n", f"\n\n{KEY}"])
def test_a_value_without_its_last_line(behind: str) -> None:
    """A line that goes on with nothing is where a file was cut off."""
    tree = read_text(f'{HEADER}{KEY}"a"=hex:01,02,\\{behind}', "x.reg")
    assert [(one.line, one.text) for one in tree.failures] == [(4, '"a"=hex:01,02,\\')]
    assert "expected the rest of the value" in tree.failures[0].why


def test_values_before_any_key() -> None:
    """A value needs a key that was understood."""
    tree = read_text(f'{HEADER}[HKFOO\\X]\n"a"="b"\n', "x.reg")
    assert [one.line for one in tree.failures] == [3, 4]


def test_deleting() -> None:
    """Deleted keys and values are gone from what came before, and remembered."""
    tree = read_text(
        f'{HEADER}{KEY}"a"="b"\n[HKLM\\SOFTWARE\\X\\Y]\n"c"="d"\n[-HKEY_LOCAL_MACHINE\\SOFTWARE\\x]\n'
        f'{KEY}"e"="f"\n"e"=-\n',
        "x.reg",
    )
    key = tree.find("HKEY_LOCAL_MACHINE", "SOFTWARE", "X")
    assert key is not None
    assert (key.values, key.keys) == ({}, {})
    assert key.deleted_values["e"].line == 10
    deletion = tree.deletion("HKEY_LOCAL_MACHINE", "SOFTWARE", "X", "anything")
    assert deletion is not None
    assert deletion.line == 7


def test_registry_hives_are_refused_with_advice() -> None:
    """What exportpolicy writes cannot be read; the message says what can."""
    with pytest.raises(RegistryFileError, match=r"p\.ipsec: a registry hive.*reg export"):
        read(b"regf\0\0\0", "p.ipsec")


@pytest.mark.parametrize("data", [b"", b"name = 'a policy'", b"\xff\xfe\0", b"netsh ipsec static"])
def test_other_files_are_refused(data: bytes) -> None:
    """What begins neither like an export nor like a dump is not searched for keys."""
    with pytest.raises(RegistryFileError, match=r"^x: "):
        read(data, "x")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_SZ /d b /f", "b"),
        (r'reg.exe ADD "HKLM\SOFTWARE\X" /v "a" /d "b c" /f', "b c"),
        (r'@reg add HKLM\SOFTWARE\X /v a /d "say \"hi\" \\ \\\\" /f', 'say "hi" \\\\ \\\\'),
        (r"reg add HKEY_LOCAL_MACHINE\SOFTWARE\X /v a /t REG_DWORD /d 0x10 /f", 16),
        (r"reg add HKLM\SOFTWARE\X /v a /t reg_dword /d 10 /f", 10),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_BINARY /d 01fF /f", b"\x01\xff"),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_MULTI_SZ /d x\0y z\0 /f", None),
        (r'reg add HKLM\SOFTWARE\X /v a /t REG_MULTI_SZ /d "x\0y z\0" /f', ("x", "y z")),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_MULTI_SZ /s , /d x,y /f", ("x", "y")),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_EXPAND_SZ /d %A% /f", "%A%"),
        ("reg add HKLM\\SOFTWARE\\X /v a ^\n/d b /f", "b"),
        (r'C:\WINDOWS\system32\reg.exe add HKLM\SOFTWARE\X /v a /d "" /f', ""),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_DWORD /d -1 /f", None),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_DWORD /d 99999999999 /f", None),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_BINARY /d 012 /f", None),
        (r"reg add HKLM\SOFTWARE\X /v a /t REG_WHAT /d 012 /f", None),
        (r"reg add \\server\HKLM\SOFTWARE\X /v a /d 012 /f", None),
        (r"reg add HKLM\SOFTWARE\X /v a /d", None),
        (r"reg query HKLM\SOFTWARE\X", None),
        (r"reg add", None),
    ],
)
def test_reg_commands(command: str, expected: Data | None) -> None:
    """A dump of commands of reg.exe is read as that program takes them."""
    tree = read_text(f"@echo off\r\nREM a dump\r\n:: more\r\n{command}\r\n", "x.bat")
    if expected is None:
        (failure,) = tree.failures
        assert failure.line == 4
        assert failure.why.startswith("expected ")
    else:
        assert expected == value(tree, "a")


def test_reg_delete() -> None:
    """Keys and values can be deleted by command, too."""
    tree = read_text(
        "reg delete HKLM\\SOFTWARE\\X /f\nreg add HKLM\\SOFTWARE\\X /ve /d d\n"
        "reg delete HKLM\\SOFTWARE\\X /v q /f\n",
        "x.bat",
    )
    assert not tree.failures
    assert tree.deletion("HKEY_LOCAL_MACHINE", "SOFTWARE", "X") is not None
    assert value(tree, "") == "d"


def test_what_begins_like_a_registry_text() -> None:
    """Comments before the first line do not hide it; other scripts are none."""
    assert is_registry_text("\r\n; hello\r\nREGEDIT4\r\n")
    assert is_registry_text("@echo off\nREM x\nreg add HKLM\\X /f\n")
    assert not is_registry_text("netsh ipsec static show all\nreg add HKLM\\X /f\n")
    assert not is_registry_text("")
