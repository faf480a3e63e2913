"""What a domain source may hold, and which of its policies is assigned."""

from __future__ import annotations

import pytest

from ipsecfd.agent.domaintext import parse
from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.names import Names
from ipsecfd.policy.stores import file as storefile
from ipsecfd.policy.stores.content import Content
from tests.unit.agent.stage import content

SOURCE = "https://policies.example/web"
POLICY_FILE = """name = "Web"
[[rule]]
name = "r"
action = "block"
filters = ["me <-> any"]
"""
SCRIPT = """pushd ipsec static
add policy name=Web
add filter filterlist=l srcaddr=me dstaddr=any
add filteraction name=block action=block
add rule name=r policy=Web filterlist=l filteraction=block
"""


def parsed(text: str) -> Content:
    """What a source with this text means."""
    return parse(text.encode(), SOURCE, Names(keep=False))


@pytest.mark.parametrize(
    "text", [POLICY_FILE, SCRIPT, storefile.render(content("Web", "me <-> any"))]
)
def test_every_form_is_one_assigned_policy(text: str) -> None:
    """A policy file, a script that assigns nothing, and a store's file say the same."""
    policy = parsed(text).assigned_policy()
    assert policy is not None
    assert policy.name == "Web"
    [rule] = policy.rules
    assert [str(one) for one in rule.filter_list.filters] == ["me <-> any"]


def test_store_may_assign_nothing() -> None:
    """A store's file says itself what is assigned; then the local policy counts (spec 1.5)."""
    assert parsed(storefile.render(content("Web", assigned=False))).assigned is None


def test_script_may_assign_one_of_many() -> None:
    """And without an assignment, none of many is."""
    many = f"{SCRIPT}add policy name=Other\n"
    assert parsed(many).assigned is None
    assert parsed(f"{many}set policy name=Other assign=y\n").assigned == "other"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "<html><body>Sign in</body></html>",
        POLICY_FILE.replace("me <->", "nobody at all <->"),
        f"{SCRIPT}add filter filterlist=%LIST% srcaddr=me\nadd nonsense\n",
        storefile.render(Content()),
        "\0\0",
    ],
    ids=repr,
)
def test_anything_else_is_refused(text: str) -> None:
    """A sign-in page, an empty answer, a mistake: what is in force stays in force."""
    with pytest.raises(IpsecfdError, match=r"policies\.example"):
        parsed(text)
