"""What standard output is: how wide, and whether it shows colours."""

from __future__ import annotations

import os
import re
import shutil
import sys
from typing import Final

_SIZE: Final = re.compile("0*[1-9][0-9]{0,3}")


def width(most: int = 100) -> int:
    """Columns to write in: the terminal's, but not more than `most`; 80 when piped."""
    return min(shutil.get_terminal_size().columns, most)


def forget_odd_sizes() -> None:
    """Have COLUMNS and LINES that are no number from 1 to 9999 count as unset: what prints the
    help takes them to the letter."""
    for name in ("COLUMNS", "LINES"):
        if _SIZE.fullmatch(os.environ.get(name, "1")) is None:
            del os.environ[name]


def colored() -> bool:
    """Whether to write in colours: only to a terminal that has them, and not where NO_COLOR is
    set."""
    able = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return able and not os.environ.get("NO_COLOR")
