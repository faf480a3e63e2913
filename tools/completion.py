"""`python -m tools.completion SHELL` prints the completion of a shell: bash, zsh or fish."""

from __future__ import annotations

import sys
from typing import Final

from typer.completion import get_completion_script  # type: ignore[attr-defined]

_ZSH_DEFINES: Final = "compdef _ipsecfd_completion ipsecfd"
_ZSH_IS_AUTOLOADED: Final = '_ipsecfd_completion "$@"'


def script(shell: str) -> str:
    """The script of typer, for the directory that the shell loads completions from."""
    text: str = get_completion_script(
        prog_name="ipsecfd", complete_var="_IPSECFD_COMPLETE", shell=shell
    )
    # zsh reads the file as the body of the function, at the first use: it has to complete then.
    return text.replace(_ZSH_DEFINES, _ZSH_IS_AUTOLOADED) + "\n"


if __name__ == "__main__":
    sys.stdout.write(script(sys.argv[1]))
