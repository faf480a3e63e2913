"""What is still known of a configuration with mistakes: the service fails, the host goes by it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from ipsecfd.agent.config import DEFAULT_PATH, Config
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.text import parse_toml, read_plain_text

_DOUBTFUL: Final = {"forward": True}
"""What closes more where nobody can tell."""


def load(path: Path | None) -> Config:
    """Each key and table without a mistake as the file has it, all others as if not there.

    None is the default place. Never raises: of a file that is no TOML nothing is known.
    """
    file = path or DEFAULT_PATH
    try:
        known = parse_toml(read_plain_text(file), str(file)) if path or file.exists() else {}
    except PolicyError:
        known = dict(_DOUBTFUL)
    return _without_mistakes(known)


def _without_mistakes(known: dict[str, Any]) -> Config:
    try:
        return Config.model_validate(known)
    except ValidationError as error:
        wrong = {one["loc"][0] for one in error.errors()}
    right = {key: value for key, value in known.items() if key not in wrong}
    instead = {key: value for key, value in _DOUBTFUL.items() if key in wrong}
    return _without_mistakes(right | instead)
