"""The text of a script for Windows' tools, in whatever encoding it is."""

from __future__ import annotations

from pathlib import Path


def script_text(path: Path) -> str:
    """What is in a file, its lines ending with a line feed. Raises PolicyError."""
    from ipsecfd.policy.mistakes import Mistake, PolicyError
    from ipsecfd.policy.scripts.encoding import EncodingError, decode
    from ipsecfd.policy.text import read_bytes

    try:
        return decode(read_bytes(path))
    except EncodingError as error:
        place = f"line {error.line}" if error.line else ""
        raise PolicyError([Mistake(str(path), place, "", error.why)]) from error
