"""The keys of the configuration that `ipsecfd-boot` reads as well, without Python and its TOML.

It knows a key that stands on a line of its own with a plain value. One that is spelt otherwise it
would not see: it would look for the start-up rules in the wrong place, and leave the host open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import takewhile
from typing import Any, Final

from ipsecfd.agent.config_words import toml_text
from ipsecfd.policy.mistakes import Mistake

KEYS: Final = {
    "on_failure": 'on_failure = "block"',
    "state_dir": 'state_dir = "/var/lib/ipsecfd"',
    "forward": "forward = true",
}
"""Each with an example of what the script understands."""

_TABLE = re.compile(r"\s*\[", re.ASCII)


def misread(text: str, values: Mapping[str, Any], file: str) -> Iterator[Mistake]:
    """What the script would take otherwise than TOML has it, in a text that means these values."""
    for key, example in KEYS.items():
        wanted = [toml_text(values[key])] if key in values else []
        if list(_plain(text, key)) != wanted:
            expected = f"expected on a line of its own as in {example}: ipsecfd-boot reads it, too"
            yield Mistake(file, key, "".join(wanted), expected)


def _plain(text: str, key: str) -> Iterator[str]:
    """What `value` of the script finds."""
    line = re.compile(
        rf"""\s*{key}\s*=\s*(?:"([^"\\]*)"|'([^']*)'|([a-z]+))\s*(?:#.*)?""", re.ASCII
    )
    for one in takewhile(lambda one: not _TABLE.match(one), text.split("\n")):
        found = line.fullmatch(one)
        if found:
            yield found[found.lastindex or 0]
