"""The files that commands of a batch file name, as they are looked for here."""

from __future__ import annotations

import re
from typing import Final

from ipsecfd.policy.scripts.batch.command import Files
from ipsecfd.policy.scripts.batch.programs import Program, next_word
from ipsecfd.policy.scripts.batch.variables import readable

_FILE: Final = re.compile(
    r'((?:^|\s)(?:[-/]f|[-/]file|exec|import|/s)\s+)("[^"]*"|[^\s"]+)', re.IGNORECASE
)
_IPSECCMD_FILE: Final = re.compile(r'((?:^|\s)[-/]file\s+)("[^"]*"|[^\s"]+)', re.IGNORECASE)
"""A command's word for the file it reads; behind -f, ipseccmd has filters."""
_FOLDER: Final = re.compile(r'^("?)(?:\0[^\0]*\0)+(?=[^"\0])')
"""A folder that cannot be known, before the name of a file: it is looked for next to this one."""
_OWN_FOLDER: Final = re.compile(r'^("?)(?:\0%~[a-z]*[0-9]\0)+(?=[^"\0])', re.IGNORECASE)
"""That of the script itself, as in %~dp0s.txt."""


def deleted(rest: str) -> list[str]:
    """The files that stand behind `del`."""
    names = []
    name, rest = next_word(rest)
    while name:
        if not name.startswith("/"):
            names.append(as_written(name.strip(",;")))
        name, rest = next_word(rest)
    return names


def with_files(program: Program, rest: str, files: Files) -> str:
    """What stands behind a program's name, without folders that only Windows knows."""

    def word(found: re.Match[str]) -> str:
        switch, name = found.groups()
        # A file that the script itself wrote is known by its text, whatever that stands for.
        if "\0" in name and files.read(as_written(name)) is not None:
            return switch + as_written(name)
        return switch + without_folder(name)

    filters = program in (Program.IPSECCMD, Program.IPSECPOL)
    return (_IPSECCMD_FILE if filters else _FILE).sub(word, rest)


def as_written(name: str) -> str:
    """The text of a file's name, without the script's own folder."""
    return readable(_OWN_FOLDER.sub(r"\1", name))


def without_folder(name: str) -> str:
    """A file's name without a folder before it that cannot be known."""
    return _FOLDER.sub(r"\1", name)


def script_names(name: str) -> tuple[str, ...]:
    """What a script that a command names is looked for as: next to this one, or as it was written
    by this one itself."""
    return tuple(dict.fromkeys((as_written(name), readable(without_folder(name)))))
