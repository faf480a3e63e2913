"""`python -m tools.man DIRECTORY` writes the manual pages, from the root of the checkout."""

from __future__ import annotations

import sys
from pathlib import Path

from tools.man.pages import PAGES


def main(directory: Path) -> None:
    """Write every page, uncompressed, into man5 and man8 of a directory."""
    for name, section, write in PAGES:
        path = directory / f"man{section}" / f"{name}.{section}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(write())


main(Path(sys.argv[1]))
