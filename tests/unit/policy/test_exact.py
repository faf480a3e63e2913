"""Policies as exact JSON."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.policy import exact
from ipsecfd.policy.files import load
from ipsecfd.policy.mistakes import PolicyError
from ipsecfd.policy.model import (
    Action,
    AnyAddress,
    Connection,
    DnsName,
    Filter,
    FilterAction,
    FilterList,
    Policy,
    Rule,
)
from ipsecfd.policy.names import Names
from tests.builders import policy

NAMED = DnsName("www.example", (ipaddress.ip_address("192.0.2.1"),))
ODD = Policy(
    "odd \N{SNOWMAN}",
    (
        Rule(
            "",
            FilterList("l", (Filter(AnyAddress(), NAMED, 0, 80, 6, False, "d", "t"),)),
            FilterAction("a", Action.BLOCK, Action.PERMIT),
            "described",
            active=False,
            connection=Connection.DIALUP,
            tunnel=True,
        ),
    ),
    "a description",
)


def test_reads_back_exactly() -> None:
    """Directions, names with their addresses, the author's words: nothing is lost."""
    back = exact.parse(exact.render(ODD))
    assert back == ODD
    assert back.rules[0].filter_list.filters[0].text == "t"


def test_is_a_policy_file(tmp_path: Path) -> None:
    """What the service kept serves wherever a policy file does."""
    path = tmp_path / "restored.json"
    path.write_text(exact.render(ODD))
    assert load(path, Names()).policy == ODD


def damaged(**changes: Any) -> str:
    """A rendered policy whose filter is another one."""
    found = json.loads(exact.render(policy("permit any <-> me:80 tcp")))
    found["rules"][0]["filters"][0] |= changes
    return json.dumps(found)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        exact.BEGINNING,
        exact.render(ODD).replace('"BLOCK"', '"DENY"'),
        exact.render(ODD).replace('"ipsecfd_policy": 1', '"ipsecfd_policy": 2'),
        damaged(protocol=256),
        damaged(destination_port=-1),
        damaged(mirrored=1),
        damaged(source=["10.0.0.0/99"]),
        damaged(source=[]),
    ],
)
def test_damaged(text: str, tmp_path: Path) -> None:
    """One error, and a file with such a text is one mistake."""
    with pytest.raises(exact.ExactError):
        exact.parse(text)
    if text.startswith(exact.BEGINNING):
        path = tmp_path / "restored.json"
        path.write_text(text)
        with pytest.raises(PolicyError, match="cannot be understood"):
            load(path, Names())
