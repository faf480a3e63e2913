"""Why a command of a batch file cannot be carried out, in words for its author."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from ipsecfd.policy.scripts.batch.programs import next_word, split_program
from ipsecfd.policy.scripts.batch.variables import readable, unknowns

_GIVEN_ARGUMENT: Final = re.compile(r"%(?:~?[0-9]|\*)")


def not_known(missing: Sequence[str]) -> str:
    """That a command needs these, and what to do."""
    what = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not known"
    if all(map(_GIVEN_ARGUMENT.fullmatch, missing)):
        return f"{what}: give the script's arguments with --arg"
    return f"{what} here: set it in the script"


def doubt(name: str, text: str) -> str:
    """That a program is none of those that are carried out, and may yet be meant to be one."""
    if "\0" in name:
        return not_known(unknowns(text))
    if name == "netsh":
        word = next_word(split_program(text)[1])[0]
        return f'netsh knows no "{word}"' if word else "expected a command behind netsh"
    return f'expected netsh, ipseccmd, ipsecpol or reg, not "{readable(name)}"'
