"""What standard output is: how wide, and whether it shows colours."""

from __future__ import annotations

import os
import shutil
import sys


def width(most: int = 100) -> int:
    """Columns to write in: the terminal's, but not more than `most`; 80 when piped."""
    return min(shutil.get_terminal_size().columns, most)


def colored() -> bool:
    """Whether to write in colours: only to a terminal that has them, and not where NO_COLOR is
    set."""
    able = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
    return able and not os.environ.get("NO_COLOR")
