"""The manual pages leave nothing out that the program knows."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from ipsecfd.agent.config import Config
from ipsecfd.cli.main import app
from ipsecfd.policy.shapes import FilterActionTable, FilterListTable, FilterTable, RuleTable
from tools.man import roff
from tools.man.markdown import converted
from tools.man.pages import PAGES, configuration, policy, program


def read(page: str) -> str:
    """What a reader sees of a page, roughly: no fonts, no escapes."""
    text = re.sub(r"\\f[BIR]", "", page)
    for escape, shown in ((r"\-", "-"), (r"\(aq", "'"), (r"\(ti", "~"), (r"\(ha", "^")):
        text = text.replace(escape, shown)
    return text


def commands(group: Any, path: str) -> Iterator[tuple[str, Any]]:
    for command in group.commands.values():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {command.name}")
        elif not command.hidden:
            yield f"{path} {command.name}", command


def keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation)
        else:
            yield name


def test_every_command_and_option_has_its_place() -> None:
    """ipsecfd(8) has each command, and each of its options below it."""
    parts = re.split(r"^\.SS (ipsecfd [a-z -]*[a-z])", read(program()), flags=re.MULTILINE)
    shown = dict(zip(parts[1::2], parts[2::2], strict=True))
    expected = dict(commands(typer.main.get_command(app), "ipsecfd"))
    assert set(expected) == set(shown)
    for path, command in expected.items():
        for parameter in command.params:
            for option in parameter.opts if parameter.param_type_name == "option" else ():
                assert option in shown[path], path


def test_every_key_of_the_configuration_is_there() -> None:
    """ipsecfd.toml(5) has an entry for each key."""
    entries = re.findall(r"^\.TP\n(\w+)", read(configuration()), re.MULTILINE)
    assert set(keys(Config)) <= set(entries)


def test_every_key_of_a_policy_is_there() -> None:
    """ipsecfd-policy(5) has an entry for each key of each table, and none without words."""
    page = read(policy())
    entries = re.findall(r"^\.TP\n(\w+)\n", page, re.MULTILINE)
    for table in (RuleTable, FilterListTable, FilterTable, FilterActionTable):
        assert set(table.model_fields) <= set(entries)
    assert "None" not in page


@pytest.mark.parametrize(("name", "section", "write"), PAGES)
def test_a_terminal_of_80_columns_is_enough(
    name: str, section: int, write: Callable[[], str], tmp_path: Path
) -> None:
    """No line of a page is longer, examples included, and groff has nothing to complain of."""
    if shutil.which("groff") is None:
        pytest.skip("groff is missing: apt install groff-base")
    page = tmp_path / f"{name}.{section}"
    page.write_text(write())
    shown = subprocess.run(
        ["groff", "-ww", "-man", "-Tutf8", "-P-cbou", "-rLL=78n", str(page)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert shown.stderr == ""
    assert "NAME\n" in shown.stdout
    assert [line for line in shown.stdout.splitlines() if len(line) > 80] == []


@pytest.mark.parametrize(
    ("lines", "begins"), [(["x" * 73], "       x"), (["x" * 77, "y"], "   x"), (["x" * 80], "x")]
)
def test_a_long_example_begins_further_left(lines: list[str], begins: str) -> None:
    """So that it needs no more than 80 columns."""
    if shutil.which("groff") is None:
        pytest.skip("groff is missing: apt install groff-base")
    page = roff.title("x", 8, "x") + roff.heading("X") + roff.example("\n".join(lines))
    command = ["groff", "-man", "-Tutf8", "-P-cbou"]
    shown = subprocess.run(command, input=page, capture_output=True, text=True, check=True)
    assert re.search(rf"^{begins}x", shown.stdout, re.MULTILINE)


def test_tables_of_the_configuration_have_their_names() -> None:
    """[startup] is not [STARTUP], which no configuration knows."""
    tables = re.findall(r"^\.SS (\[.*\])", configuration(), re.MULTILINE)
    assert tables == ["[domain]", "[startup]", "[queue]", "[diagnostics]", "[control]"]


def test_text_is_no_request() -> None:
    """A line that begins with a dot or a quote is text, and a backslash is one."""
    assert r"\&.bat" in converted("A file\n.bat")
    assert r"\&'tis" in converted("'tis")
    assert r"C:\ewindows" in converted(r"C:\windows")


def test_what_is_typed_keeps_its_characters() -> None:
    """Hyphens, quotes and carets of a command can be copied from a page."""
    assert roff.literal("--json 'a' ^ ~") == r"\-\-json \(aqa\(aq \(ha \(ti"


def test_unknown_markdown_is_refused() -> None:
    """What no page has had yet is not left out in silence."""
    with pytest.raises(NotImplementedError):
        converted("> said somebody")
