"""The driver's properties that `set config` changes (spec 7.1, 8.3).

Most take effect at the next start of the service, as on Windows; what is not set is left to the
configuration file.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from ipsecfd.driver.modes import MAX_BOOT_EXEMPTIONS, BootExemption
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy import durable
from ipsecfd.policy.mistakes import Mistake, PolicyError, known_names, printable, quoted
from ipsecfd.policy.stores import tomlwriter
from ipsecfd.policy.tables import kind
from ipsecfd.policy.text import parse_toml, read_plain_text

FILE_NAME: Final = "properties.toml"
"""The name of the file under `state_dir`."""

RANGES: Final = {
    "ipsecdiagnostics": range(8),
    "ikelogging": range(2),
    "strongcrlcheck": range(3),
    "ipsecloginterval": range(60, 86_401),
    "ipsecexempt": range(4),
}
"""What the numbers may be (spec 7.1, 8.3; X1)."""
BOOT_MODES: Final = ("stateful", "block", "permit")
"""What `bootmode` may be (spec 6.1)."""

_REMARK: Final = """\
# Properties of the ipsecfd driver, as `ipsecfd netsh ipsec dynamic set config` set them.
# They go before the configuration file; remarks such as this one are not kept.
"""


class PropertiesError(IpsecfdError):
    """Properties that cannot be read, kept or meant; the text has a line for each mistake."""


@dataclass(frozen=True, slots=True)
class Properties:
    """Properties as set by command; None where none was."""

    ipsecdiagnostics: int | None = None
    """0 to 7."""
    ikelogging: int | None = None
    """0 or 1; kept, without effect."""
    strongcrlcheck: int | None = None
    """0 to 2; kept, without effect."""
    ipsecloginterval: int | None = None
    """Seconds, 60 to 86,400."""
    ipsecexempt: int | None = None
    """0 to 3."""
    bootmode: str | None = None
    """stateful, block or permit."""
    bootexemptions: tuple[str, ...] | None = None
    """Each as driver.modes.BootExemption prints it; empty for none."""


_NAMES: Final = tuple(field.name for field in fields(Properties))


def boot_exemptions(texts: Iterable[str]) -> tuple[str, ...]:
    """Boot exemptions in any case as `Properties` holds them, each once (spec 6.3).

    Raises PropertiesError for the first that is none, or when there are more than 1024.
    """
    found = tuple(dict.fromkeys(map(_boot_exemption, texts)))
    if len(found) > MAX_BOOT_EXEMPTIONS:
        raise PropertiesError(
            f"expected at most {MAX_BOOT_EXEMPTIONS} boot exemptions, not {len(found)}"
        )
    return found


def _boot_exemption(text: str) -> str:
    try:
        return str(BootExemption.parse(text))
    except ValueError as error:
        raise PropertiesError(f"{quoted(printable(text))}: {error}") from error


def read(state_dir: Path) -> Properties:
    """The properties kept in this directory; none are set if none ever were.

    Raises PropertiesError.
    """
    path = state_dir / FILE_NAME
    try:
        path.lstat()
        found = parse_toml(read_plain_text(path), str(path))
    except (FileNotFoundError, NotADirectoryError):
        return Properties()
    except OSError as error:
        raise PropertiesError(f"{path}: cannot be read: {error.strerror}") from error
    except PolicyError as error:
        raise PropertiesError(str(error)) from error
    _refuse(path, found)
    if "bootexemptions" in found:
        found["bootexemptions"] = boot_exemptions(found["bootexemptions"])
    return Properties(**found)


def write(state_dir: Path, properties: Properties) -> None:
    """Keep the properties in this directory, whole or not at all. Raises PropertiesError."""
    path = state_dir / FILE_NAME
    values: dict[str, Any] = {
        name: getattr(properties, name) for name in _NAMES if getattr(properties, name) is not None
    }
    _refuse(path, values)
    try:
        durable.keep(path, (_REMARK + tomlwriter.keys(values)).encode())
    except OSError as error:
        raise PropertiesError(f"{path}: cannot be written: {error.strerror}") from error


def _refuse(path: Path, values: dict[str, Any]) -> None:
    """Raise PropertiesError with all that is wrong with these values."""
    mistakes = [
        str(Mistake(str(path), name, text, expected))
        for name, value in values.items()
        for text, expected in _wrong(name, value)
    ]
    if mistakes:
        raise PropertiesError("\n".join(mistakes))


def _wrong(name: str, value: object) -> Iterator[tuple[str, str]]:
    """The offending text and what was expected, if anything."""
    if name not in _NAMES:
        yield "", f"unknown property; {known_names(name, _NAMES)}"
    elif name in RANGES:
        allowed = RANGES[name]
        if type(value) is not int:
            yield "", f"expected a number from {allowed[0]} to {allowed[-1]}, not {kind(value)}"
        elif value not in allowed:
            yield str(value), f"expected a number from {allowed[0]} to {allowed[-1]}"
    elif name == "bootmode":
        if value not in BOOT_MODES:
            text = value if isinstance(value, str) else ""
            yield text, f"expected {', '.join(BOOT_MODES[:-1])} or {BOOT_MODES[-1]}"
    elif not isinstance(value, (list, tuple)) or not all(isinstance(one, str) for one in value):
        yield "", "expected a list of boot exemptions in quotes, as tcp:0:3389:inbound"
    else:
        try:
            boot_exemptions(value)
        except PropertiesError as error:
            yield "", str(error)
