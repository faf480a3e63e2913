"""Published scripts, line by line, and how fast a long one is."""

from __future__ import annotations

import time

import pytest

from ipsecfd.policy.model import Action
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.stores.content import Content

from . import content, session

WEB_OUT = """\
netsh ipsec static delete all
netsh ipsec static add policy name=Gamesvr
netsh ipsec static add filterlist name=web
netsh ipsec static add filterlist name=permission
netsh ipsec static add filter filterlist=web  srcaddr=me dstaddr=any description=web protocol=tcp mirrored=yes dstport=80
netsh ipsec static add filter filterlist=permission  srcaddr=me dstaddr=192.16.17.59 description=80out protocol=tcp mirrored=yes dstport=80
netsh ipsec static add filteraction name=block  action=block
netsh ipsec static add filteraction name=allow  action=permit
netsh ipsec static add rule name=permission  policy=Gamesvr filterlist=permission filteraction=allow
netsh ipsec static add rule name=web  policy=Gamesvr filterlist=web filteraction=block
netsh ipsec static set policy name=Gamesvr assign=y
"""  # noqa: E501

SOFT = "\n".join(
    (
        "netsh ipsec static add policy name=soft",
        "netsh ipsec static add filterlist name=Filter1",
        *(
            f"netsh ipsec static add filter filterlist=Filter1 srcaddr=any dstaddr=any"
            f" dstport={port} protocol={protocol}"
            for protocol in ("TCP", "UDP")
            for port in (135, 137, 138, 139, 445)
        ),
        "netsh ipsec static add filteraction name=FilteraAtion1 action=block",
        (
            "netsh ipsec static add rule name=Rule1 policy=soft filterlist=Filter1"
            " filteraction=FilteraAtion1"
        ),
        "netsh ipsec static set policy name=soft assign=y",
    )
)

DROP = "\n".join(
    (
        "netsh ipsec static add policy name=drop",
        "netsh ipsec static add filterlist name=drop_port",
        *(
            f"netsh ipsec static add filter filterlist=drop_port srcaddr=me dstaddr=any"
            f" dstport={port} protocol=TCP mirrored=no"
            for port in (21, 22, 23, 25, 53, 80, 135, 139, 443, 445, 1314, 1433, 1521)
        ),
        (
            "netsh ipsec static add filter filterlist=drop_port srcaddr=192.168.1.2 dstaddr=Me"
            " dstport=3389 protocol=TCP"
        ),
        (
            "netsh ipsec static add filter filterlist=drop_port srcaddr=me dstaddr=any protocol=UDP"
            " mirrored=no"
        ),
        "netsh ipsec static add filteraction name=denyact action=block",
        (
            "netsh ipsec static add rule name=kill policy=drop filterlist=drop_port"
            " filteraction=denyact"
        ),
        "netsh ipsec static set policy name=drop assign=y",
    )
)


def counts(one: Content) -> tuple[int, int, int, int, int]:
    """Policies, lists, filters, rules, actions."""
    return (
        len(one.policies),
        len(one.filter_lists),
        sum(len(filters.filters) for filters in one.filter_lists.values()),
        sum(len(policy.rules) for policy in one.policies.values()),
        len(one.filter_actions),
    )


@pytest.mark.parametrize(
    ("script", "expected", "assigned"),
    [
        (DROP, (1, 1, 15, 1, 1), "drop"),
        (SOFT, (1, 1, 10, 1, 1), "soft"),
        (WEB_OUT, (1, 2, 2, 2, 2), "Gamesvr"),
    ],
)
def test_published_scripts(
    script: str, expected: tuple[int, int, int, int, int], assigned: str
) -> None:
    """Published scripts run without a failure and leave the objects they describe."""
    made = content(session(*script.splitlines()))
    assert counts(made) == expected
    policy = made.assigned_policy()
    assert policy is not None
    assert policy.name == assigned


def test_a_script_goes_on_after_a_failure() -> None:
    """A command that fails stops nothing (spec 8.1)."""
    one = session("add filteraction name=block action=permit")
    failed = [line for line in SOFT.splitlines() * 2 if one.execute(line).failed]
    assert len(failed) == 14
    made = content(one)
    assert counts(made)[2] == 10
    policy = made.assigned_policy()
    assert policy is not None
    assert policy.rules[0].action.inbound is Action.BLOCK


def seconds(lines: list[str]) -> float:
    """How long it takes to run lines in a new session."""
    one: Session = session("add policy p", "add filteraction b action=block")
    before = time.process_time()
    for line in lines:
        reply = one.execute(line)
        assert not reply.failed, reply.text
    one.state.draft.content()
    return time.process_time() - before


def filters(count: int) -> list[str]:
    return [
        "netsh ipsec static add filter filterlist=big"
        f" srcaddr=10.{i >> 16}.{i >> 8 & 255}.{i & 255} dstaddr=me protocol=tcp dstport=80"
        for i in range(count)
    ]


def groups(count: int) -> list[str]:
    return [
        line
        for i in range(count // 3)
        for line in (
            f"netsh ipsec static add filter filterlist=l{i} srcaddr=any dstaddr=me",
            f"netsh ipsec static add rule name=r{i} policy=p filterlist=l{i} filteraction=b",
            "netsh ipsec static set policy name=p assign=y",
        )
    ]


@pytest.mark.parametrize("shape", [filters, groups])
def test_long_scripts(shape: object) -> None:
    """10,000 commands take well under 2 s, and twice as many about twice as long. Whatever else the
    machine does only adds to a time, so the least of three counts."""
    assert callable(shape)
    once, twice = (min(seconds(shape(count)) for _ in range(3)) for count in (10_000, 20_000))
    assert once < 2
    assert twice < 3.5 * once
