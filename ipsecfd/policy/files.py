"""Any policy file an administrator has: a TOML policy or a script, told apart by content."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from ipsecfd.policy.mistakes import Mistake, PolicyError
from ipsecfd.policy.names import Names
from ipsecfd.policy.text import read_text
from ipsecfd.policy.tomlfile import Loaded, parse_policy

_KEY: Final = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_TOML_LINE: Final = re.compile(rf"\[|{_KEY}(?:\s*\.\s*{_KEY})*\s*=")
_SCRIPT_COMMAND: Final = re.compile(
    r"^(?:.*\\)?\W*(?:netsh|ipseccmd|ipsecpol)(?:\.exe)?\b"  # a batch file
    r"|^\s*(?:pushd\s+)?ipsec\s+(?:static|dynamic)\b"  # a file for netsh -f
    r"|^\s*(?:add|set)\s+(?:policy|rule|filter|filterlist|filteraction)\s+\w+=",
    re.IGNORECASE | re.MULTILINE,
)
_REGISTRY_HEADERS: Final = ("Windows Registry Editor", "REGEDIT4")


def load(path: Path, names: Names) -> Loaded:
    """The policy of a file of any kind. Raises PolicyError with every mistake."""
    text = read_text(path)
    if not text.strip():
        raise _refused(path, "empty; expected a policy, which begins with its name")
    if _is_script(text):
        raise _refused(
            path, "expected a TOML policy; scripts of the Windows tools are not read yet"
        )
    return parse_policy(text, str(path), names)


def _is_script(text: str) -> bool:
    """Whether the first line that says anything is no TOML, and Windows commands follow."""
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith("#")), "")
    if first.startswith(_REGISTRY_HEADERS):
        return True
    return _TOML_LINE.match(first) is None and _SCRIPT_COMMAND.search(text) is not None


def _refused(path: Path, why: str) -> PolicyError:
    return PolicyError([Mistake(str(path), "", "", why)])
