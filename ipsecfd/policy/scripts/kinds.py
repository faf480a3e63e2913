"""The scripts of Windows' administrators: which kind a text is, and the files that one names."""

from __future__ import annotations

import enum
import fnmatch
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.scripts.encoding import EncodingError, decode
from ipsecfd.policy.text import read_bytes

_TOML_KEY: Final = r"""(?:[\w-]+|"[^"]*"|'[^']*')"""
_TOML_LINE: Final = re.compile(rf"\[|{_TOML_KEY}(?:\s*\.\s*{_TOML_KEY})*\s*=")
_COMMENT: Final = re.compile(r"@?\s*(?:rem\b|echo\s+off\b|cls\b|::|#|;)", re.IGNORECASE)
_NETSH: Final = re.compile(
    r"(?:pushd\s+)?ips\w*(?:\s+(?:st|dy)\w*(?:\s.*)?)?$"
    r"|(?:add|set|del\w*|show)\s+(?:policy|filter\w*|rule|store|config|[mq]mpolicy|batch)\s+\S"
    r"|exec\s+\S|del\w*\s+all$|(?:\.\.|popd)$",
    re.IGNORECASE,
)
_IPSECCMD: Final = re.compile(r"-(?:\?|[a-z]+|1[a-z])(?:\s|$)", re.IGNORECASE)
_REGISTRY_HEADERS: Final = ("Windows Registry Editor", "REGEDIT4")
_ANYWHERE: Final = re.compile(r"\b(?:netsh|ipseccmd|ipsecpol|reg\S*\s+add)\b", re.IGNORECASE)


class Kind(enum.Enum):
    """What a text is, by its first line that says anything."""

    BATCH = "a batch file"
    NETSH = "a script for netsh -f"
    IPSECCMD = "a file for ipseccmd -file"
    REGISTRY = "a registry export"
    TOML = "a policy file in TOML"


def kind_of(text: str) -> Kind:
    """The kind of a text; what is nothing else is a batch file."""
    first = _first_line(text)
    if first.startswith(_REGISTRY_HEADERS):
        return Kind.REGISTRY
    if _NETSH.match(first):
        return Kind.NETSH
    if _IPSECCMD.match(first):
        return Kind.IPSECCMD
    if not first or _TOML_LINE.match(first):
        return Kind.TOML
    return Kind.BATCH


def is_script(text: str) -> bool:
    """Whether a text is one of the Windows tools', not a TOML policy, perhaps with a mistake."""
    kind = kind_of(text)
    return kind is not Kind.TOML and (kind is not Kind.BATCH or _ANYWHERE.search(text) is not None)


def _first_line(text: str) -> str:
    """The first line that is neither empty nor a comment of any of the kinds."""
    for found in re.finditer(r"[^\n]+", text):
        line = found[0].strip()
        if line and not _COMMENT.match(line):
            return line
    return ""


class _Gone(enum.Enum):
    """Why the text of a file is not at hand although one of that name may be."""

    DELETED = enum.auto()
    UNKNOWN = enum.auto()


class ScriptFiles:
    """The files that a script may name: those given along with it, those in its folder, and those
    it writes itself. A folder in a name is not followed: it is one of another computer."""

    def __init__(self, given: Mapping[str, bytes], folder: Path | None) -> None:
        self._given = {name.lower(): data for name, data in given.items()}
        self._folder = folder
        self._written: dict[str, list[str] | _Gone] = {}
        """What the script made of files, by name; the pieces of their text."""

    def read(self, name: str) -> str | None:
        """The text of a file; None when it is not at hand or no text."""
        key = _base(name)
        written = self._written.get(key)
        if written is not None:
            return None if isinstance(written, _Gone) else "".join(written)
        data = self._given.get(key)
        if data is None:
            data = self._in_folder(key)
        try:
            return None if data is None else decode(data)
        except EncodingError:
            return None

    def why_missing(self, name: str) -> str:
        """Why `read` gave nothing, in words."""
        last = _last(name)
        if self._written.get(last.lower()) is _Gone.UNKNOWN:
            return f"what the script wrote to {last} is not known"
        return f"{last} is not next to this file"

    def write(self, name: str, text: str, *, append: bool) -> None:
        """Keep a line that the script writes to a file."""
        key = _base(name)
        written = self._written.get(key)
        if not append or written is _Gone.DELETED:
            written = []
        elif written is None:
            before = self.read(name)
            written = [] if before is None else [before]
        self._written[key] = written
        if isinstance(written, list):
            written.append(f"{text}\n")

    def delete(self, name: str) -> None:
        """Delete a file, or all that a name with * or ? stands for."""
        key = _base(name)
        if not re.search(r"[*?]", key):
            self._written[key] = _Gone.DELETED
            return
        elsewhere = re.search(r"[\\/]", name) is not None  # perhaps where the script writes
        known = self._written.keys() if elsewhere else self._names()
        pattern = key.replace("[", "[[]").replace("*.*", "*")
        for one in fnmatch.filter(known, pattern):
            self._written[one] = _Gone.UNKNOWN if elsewhere else _Gone.DELETED

    def _names(self) -> set[str]:
        return {*self._written, *self._given, *(path.name.lower() for path in self._paths())}

    def _in_folder(self, key: str) -> bytes | None:
        for path in self._paths() if key else ():
            if path.name.lower() == key and path.is_file():
                try:
                    return read_bytes(path)
                except PolicyError:
                    return None
        return None

    def _paths(self) -> list[Path]:
        """What is in the script's folder."""
        try:
            return [] if self._folder is None else sorted(self._folder.iterdir())
        except OSError:
            return []


def _base(name: str) -> str:
    return _last(name).lower()


def _last(name: str) -> str:
    return re.split(r"[\\/\0]", name.strip().strip('"'))[-1]
