"""What the tests of netsh share: a session on an empty workspace, and what came of its lines."""

from __future__ import annotations

import ipaddress

from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.model import IPAddress, Store
from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.netsh.state import PolicyFiles
from ipsecfd.policy.stores.content import Content
from ipsecfd.policy.stores.dynamic import DynamicDraft
from ipsecfd.policy.workspace import Workspace

NOW = 1_132_653_600


def resolve(name: str) -> tuple[IPAddress, ...]:
    """The zone of the tests has one name."""
    if name == "www.example.com":
        return (ipaddress.ip_address("192.0.2.80"),)
    raise GrammarError(name, "expected a DNS name that resolves")


def session(
    *lines: str,
    profile: str = "linux",
    service: bool = True,
    files: PolicyFiles | None = None,
) -> Session:
    """A session of `ipsec static` after lines that must all succeed."""
    made = Session(
        Workspace(
            resolve,
            dynamic=DynamicDraft() if service else None,
            profile=profile,
            clock=lambda: float(NOW),
        ),
        files,
    )
    for line in ("ipsec static", *lines):
        reply = made.execute(line)
        assert not reply.failed, f"{line}: {reply.text}"
    return made


def content(one: Session) -> Content:
    """What is in the local store."""
    return one.state.workspace.stores[Store.LOCAL].content()


def refused(one: Session, line: str) -> str:
    """The text of a line that must fail and change nothing."""
    before = snapshot(one)
    reply = one.execute(line)
    assert reply.failed, line
    assert snapshot(one) == before
    return reply.text


def snapshot(one: Session) -> object:
    """Everything that a command may change."""
    workspace = one.state.workspace
    return (
        {store: draft.content() for store, draft in workspace.stores.items()},
        workspace.dynamic and workspace.dynamic.content(),
        workspace.properties,
        one.store,
        one.batch,
        one.context.path,
    )
