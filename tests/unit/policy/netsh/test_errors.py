"""The numbers of errors that programs look at."""

from __future__ import annotations

import pytest

from ipsecfd.policy.netsh.session import Session
from ipsecfd.policy.workspace import Workspace


@pytest.mark.parametrize(
    ("line", "number"),
    [
        ("add filterlist name=web", "05010"),
        ("add filteraction name=deny action=block", "05014"),
    ],
)
def test_what_exists_has_the_number_that_programs_know(line: str, number: str) -> None:
    """A list and an action that exist are refused with Windows' own numbers, known from programs
    that take them for success."""
    session = Session(Workspace(resolve=lambda _: ()))
    command = f"netsh ipsec static {line}"
    assert not session.execute(command).failed
    reply = session.execute(command)
    assert reply.failed
    assert reply.text.startswith(f"ERR IPsec[{number}] : ")
