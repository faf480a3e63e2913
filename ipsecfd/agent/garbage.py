"""No search for garbage while policies are built.

Nothing in a policy or its tables is ever in a cycle, and there are many objects: Python would look
through all of them again and again as they grow, which takes as long as everything else together.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Garbage that is in cycles stays until the end of this."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
