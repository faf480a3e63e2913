"""Dynamic rules as text, there and back."""

from __future__ import annotations

import ipaddress
import json
from pathlib import Path
from typing import Any

import pytest

from ipsecfd.agent.dynamictext import DynamicTextError, forget, load, parse, render, save
from ipsecfd.policy.model import Action, Connection, DnsName, Filter, Me
from ipsecfd.policy.stores.content import Authentication
from ipsecfd.policy.stores.dynamic import (
    DynamicContent,
    DynamicDraft,
    DynamicRule,
    MainModePolicy,
    QuickModePolicy,
)
from tests.builders import generic
from tests.unit.agent.stage import dynamic


def everything() -> DynamicContent:
    """One of each, and every kind of address."""
    draft = DynamicDraft()
    draft.mmpolicies.add(MainModePolicy('Main "mode"', 1, 2, 3, "3DES-SHA1-2"))
    draft.qmpolicies.add(QuickModePolicy("quick", True, "GRP2", "ESP[3DES,SHA1]"))
    for text in (
        "any <-> me:80 tcp",
        "10.0.0.0/8 -> me udp",
        "10.0.0.1-10.0.0.9 <-> me",
        "me <-> dns:53 udp",
        "2001:db8::/32 -> 2001:db8::1",
    ):
        draft.add_rule(DynamicRule(generic(text), Action.SOFT, Action.NEGOTIATE))
    name = DnsName("www.example", (ipaddress.ip_address("192.0.2.1"),))
    draft.add_rule(
        DynamicRule(
            Filter(Me(), name, 0, 0, 17, False, "a server"),
            Action.BLOCK,
            Action.INPASS,
            Connection.DIALUP,
            'Main "mode"',
            "quick",
            "192.0.2.9",
            (Authentication("psk", "secret"), Authentication("kerberos")),
        )
    )
    return draft.content()


@pytest.mark.parametrize("content", [DynamicContent(), everything()])
def test_there_and_back(content: DynamicContent) -> None:
    """What is handed back is what was fetched."""
    assert content == parse(render(content))


def test_keys_can_be_left_out() -> None:
    """The rest is all there."""
    text = render(everything(), keys=False)
    assert "secret" not in text
    assert parse(text).rules.keys() == everything().rules.keys()


RULE = json.loads(render(dynamic("any -> me:22 tcp")))["rules"][0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"source_port": 70000},
        {"source_port": "22"},
        {"protocol": 256},
        {"protocol": 0},
        {"mirrored": 1},
        {"inbound": "DROP"},
        {"connection": "wifi"},
        {"source": []},
        {"source": ["nowhere.example"]},
        {"source": ["x", "1.2.3"]},
        {"authentication": [["psk"]]},
        {"tunnel": None},
    ],
    ids=str,
)
def test_wrong_rules_are_refused(wrong: dict[str, Any]) -> None:
    """Whatever is wrong in it, nothing of a text is taken."""
    text = json.dumps({"mmpolicies": [], "qmpolicies": [], "rules": [{**RULE, **wrong}]})
    with pytest.raises(DynamicTextError, match="cannot be understood"):
        parse(text)


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", "[" * 100_000, '{"rules": 1}'])
def test_other_texts_are_refused(text: str) -> None:
    """Any text is rules or an error."""
    with pytest.raises(DynamicTextError):
        parse(text)


def test_kept_for_the_next_start(tmp_path: Path) -> None:
    """Rules that were kept are there until they are forgotten; damage is told."""
    assert load(tmp_path) == DynamicContent()
    save(tmp_path, everything())
    assert load(tmp_path) == everything()
    (tmp_path / "dynamic.json").write_text("{")
    with pytest.raises(DynamicTextError, match=r"dynamic\.json: damaged"):
        load(tmp_path)
    forget(tmp_path)
    forget(tmp_path / "nowhere")
    assert load(tmp_path) == DynamicContent()
    (tmp_path / "file").write_text("")
    with pytest.raises(DynamicTextError, match="cannot be written"):
        save(tmp_path / "file", everything())
