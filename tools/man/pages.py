"""The three pages, section by section."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from ipsecfd.policy.shapes import (
    FilterActionTable,
    FilterListTable,
    FilterTable,
    PolicyTable,
    RuleTable,
)
from ipsecfd.policy.tables import Table
from tools.man import roff
from tools.man.commands import commands
from tools.man.markdown import converted, section
from tools.man.tables import introduction, keys, settings

_ROOT: Final = Path(__file__).parents[2]
_README: Final = _ROOT / "README.md"
_CONFIG: Final = _ROOT / "config/ipsecfd.toml"
_REFERENCE: Final = _ROOT / "config/policies/reference.toml"
_DOCUMENTATION: Final = "/usr/share/doc/ipsecfd"
_POLICIES: Final = f"{_DOCUMENTATION}/policies"
_DOCUMENTS: Final = {
    "README.md": "what ipsecfd is, and everything that it does",
    "docs/operations.md": "what to type: the first policy over ssh, faults, getting back in",
    "docs/windows.md": "each command of Windows, and what to type here",
    "policies/": "examples",
}


def program() -> str:
    """For ipsecfd(8), every command, and what the README says of running it."""
    intro = section(_README, "").strip().partition("\n\n")[0]
    failures, _, status = section(_README, "When something fails").partition("Exit statuses: ")
    return "".join(
        [
            roff.title("ipsecfd", 8, "packet filter of Windows' IP Security Policies"),
            roff.heading("Synopsis"),
            _synopsis(),
            roff.heading("Description"),
            converted(intro),
            roff.heading("Commands"),
            *commands(),
            roff.heading("Without locking yourself out"),
            converted(section(_README, "Without locking yourself out")),
            roff.heading("When something fails"),
            converted(failures),
            roff.heading("At boot"),
            converted(section(_README, "At boot")),
            roff.heading("Exit status"),
            converted(status),
            roff.heading("What it never sees"),
            converted(section(_README, "What it never sees")),
            roff.heading("Files"),
            _files(),
            *_see_also("ipsecfd.toml(5)", "ipsecfd-policy(5)", "nft(8)", "systemctl(1)"),
        ]
    )


def configuration() -> str:
    """For ipsecfd.toml(5): the file that is installed, with its comments."""
    return "".join(
        [
            roff.title("ipsecfd.toml", 5, "configuration of ipsecfd"),
            roff.heading("Description"),
            introduction(_CONFIG),
            roff.heading("Keys"),
            *settings(_CONFIG),
            *_see_also("ipsecfd(8)", "ipsecfd-policy(5)"),
        ]
    )


def policy() -> str:
    """For ipsecfd-policy(5): how a policy thinks, its keys, and a file with all of them."""
    tables: dict[str, type[Table]] = {
        "The file": PolicyTable,
        "[[rule]]": RuleTable,
        "[[filter_list]]": FilterListTable,
        "A filter as a table": FilterTable,
        "[[filter_action]]": FilterActionTable,
    }
    return "".join(
        [
            roff.title("ipsecfd-policy", 5, "policy files of ipsecfd"),
            roff.heading("Description"),
            converted(section(_README, "How it thinks").replace("config/policies", _POLICIES)),
            roff.heading("Keys"),
            *(
                roff.subheading(roff.plain(name)) + "".join(keys(table))
                for name, table in tables.items()
            ),
            roff.heading("Every key once"),
            roff.example(_without_head(_REFERENCE)),
            *_see_also("ipsecfd(8)", "ipsecfd.toml(5)"),
        ]
    )


def _synopsis() -> str:
    name, command = roff.bold("ipsecfd"), roff.italic("command")
    forms = (
        f"{command} [{roff.italic('words')}]",
        f"[{command}] {roff.bold('--help')}",
        roff.bold("--version"),
    )
    return ".br\n".join(f"{name} {form}\n" for form in forms)


def _files() -> str:
    """The table of the README, without what follows it and what is not installed."""
    table = section(_README, "Where things are").strip().partition("\n\n")[0]
    return converted("\n".join(row for row in table.splitlines() if "](" not in row))


def _without_head(path: Path) -> str:
    """A TOML file behind its first comment."""
    return path.read_text().partition("\n\n")[2].rstrip()


def _see_also(*pages: str) -> Iterator[str]:
    """Other pages, and the documentation that is installed."""
    shown = (f"{roff.bold(name)}({number}" for name, number in (one.split("(") for one in pages))
    yield roff.heading("See also") + roff.lines(", ".join(shown))
    yield roff.paragraph(f"In {roff.bold(_DOCUMENTATION)}:")
    for name, meaning in _DOCUMENTS.items():
        yield roff.entry(roff.bold(name), roff.plain(meaning))


PAGES: Final[tuple[tuple[str, int, Callable[[], str]], ...]] = (
    ("ipsecfd", 8, program),
    ("ipsecfd.toml", 5, configuration),
    ("ipsecfd-policy", 5, policy),
)
