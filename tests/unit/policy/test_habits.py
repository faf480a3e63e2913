"""Scripts with the habits of those that are in the world, each told by what it makes."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from ipsecfd.policy.files import load
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.names import Names
from ipsecfd.policy.scripts.importing import import_files
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace
from tests.builders import make_driver, verdict

DATA = Path(__file__).parents[2] / "data" / "habits"


class Made(NamedTuple):
    """What a script makes of an empty store."""

    counts: tuple[int, int, int, int, int]
    """Policies, filter lists, filters, rules, filter actions."""
    assigned: str | None
    failed: tuple[int, ...] = ()
    """Lines that Windows would have refused."""
    encoding: str = "utf-8"
    arguments: tuple[str, ...] = ()


SCRIPTS = [
    ("blanks.bat", Made((1, 1, 2, 1, 2), "远程策略", encoding="cp936")),
    ("carets.bat", Made((1, 2, 2, 2, 2), None, (2,), "utf-16")),
    ("trailing-words.bat", Made((1, 2, 4, 2, 2), "base_config", (5,), "gb18030")),
    ("variables.bat", Made((1, 1, 3, 1, 1), "Blocked", (22, 22))),
    (
        "subroutines.cmd",
        Made((1, 1, 0, 1, 1), "guards", arguments=("install", "-policy", "guards")),
    ),
    ("subroutines.cmd", Made((1, 1, 0, 1, 1), "LogBlock", arguments=("install",))),
    (
        "active-response.cmd",
        Made((0, 1, 1, 0, 0), None, (12, 14), arguments=("add", "-", "203.0.113.66")),
    ),
    ("lockdown.txt", Made((1, 2, 2, 2, 2), "Only updates", (20,), "utf-8-sig")),
    ("untagged.bat", Made((1, 1, 2, 1, 1), "netbc", encoding="cp1252")),
    ("ipseccmd.bat", Made((1, 4, 5, 4, 1), "Safe", (2, 9))),
]


def nobody_answers(name: str) -> tuple[IPAddress, ...]:
    raise GrammarError(name, "expected a DNS name that resolves")


@pytest.mark.parametrize(("name", "made"), SCRIPTS)
def test_what_a_script_makes(name: str, made: Made, tmp_path: Path) -> None:
    """All of it is understood; counts, assignment and failed lines are as told."""
    text = (DATA / name).read_text(encoding="utf-8")
    script = tmp_path / name
    script.write_bytes(text.replace("\n", "\r\n").encode(made.encoding))
    (tmp_path / "addresses.txt").write_bytes((DATA / "addresses.txt").read_bytes())
    workspace = Workspace(nobody_answers, dynamic=DynamicDraft())
    result = import_files([script], workspace, arguments=made.arguments or None)
    assert result.untranslated == ()
    assert made == Made(
        (
            result.policies,
            result.filter_lists,
            result.filters,
            result.rules,
            result.filter_actions,
        ),
        result.assigned,
        tuple(one.line for one in result.failed),
        made.encoding,
        made.arguments,
    )


@pytest.mark.parametrize(
    ("name", "packet", "expected"),
    [
        ("blanks.bat", "in tcp 203.0.113.66:4000 -> 192.0.2.10:3389", "permit"),
        ("carets.bat", "in tcp 203.0.113.66:4000 -> 192.0.2.10:80", "permit"),
        ("carets.bat", "in tcp 203.0.113.66:4000 -> 192.0.2.10:443", "block"),
        ("trailing-words.bat", "in udp 198.51.100.7:123 -> 192.0.2.10:123", "permit"),
        ("trailing-words.bat", "in udp 198.51.100.7:124 -> 192.0.2.10:123", "block"),
        ("trailing-words.bat", "out tcp 192.0.2.10:4000 -> 203.0.113.66:445", "permit"),
        ("untagged.bat", "in tcp 198.51.100.7:4000 -> 192.0.2.10:445", "block"),
        ("untagged.bat", "out tcp 192.0.2.10:445 -> 198.51.100.7:4000", "block"),
        ("untagged.bat", "out tcp 192.0.2.10:4000 -> 203.0.113.66:80", "permit"),
        ("untagged.bat", "in tcp 203.0.113.66:80 -> 192.0.2.10:4000", "block"),
    ],
)
def test_how_a_script_judges(name: str, packet: str, expected: str) -> None:
    """What it makes is enforced: addresses, ports and mirrors are those that were written."""
    driver = make_driver(policies=[(Store.LOCAL, load(DATA / name, Names()).policy)])
    assert expected == verdict(driver, packet)
