"""The configuration file that is installed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel

from ipsecfd.agent.config import Config, load, parse

SHIPPED = Path(__file__).parents[2] / "config" / "ipsecfd.toml"


def keys(section: type[BaseModel], table: str = "") -> Iterator[tuple[str, str]]:
    """All keys with the table they stand in."""
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation, name)
        else:
            yield table, name


def test_shipped_file_is_the_defaults() -> None:
    """Installing the file changes nothing."""
    assert Config() == load(SHIPPED)


def test_commented_keys_are_right_too() -> None:
    """A key that is commented out can be uncommented, and then is taken."""
    text = re.sub(r"^# (\w+ = )", r"\1", SHIPPED.read_text(), flags=re.MULTILINE)
    config = parse(text, str(SHIPPED))
    assert (config.startup.mode, config.exempt) == ("stateful", 3)


def test_every_key_is_explained() -> None:
    """Each key stands in the shipped file, in its table, below a comment."""
    explained = set()
    table, previous = "", ""
    for line in SHIPPED.read_text().splitlines():
        if header := re.fullmatch(r"\[(\w+)\]", line):
            table = header[1]
        elif (key := re.match(r"(?:# )?(\w+) = ", line)) and previous.startswith("#"):
            explained.add((table, key[1]))
        previous = line
    assert set(keys(Config)) == explained
