"""The numbers of errors that programs look at."""

from __future__ import annotations

import pytest

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.netsh.errors import as_text
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
    assert reply.text.startswith(f"ERR IPsec [{number}] : ")


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("there is no policy 'x'.", "There is no policy 'x'."),
        ("rules.txt: cannot be read", "rules.txt: cannot be read."),
        ("/rules.txt: cannot be read", "/rules.txt: cannot be read."),
    ],
)
def test_errors_are_sentences_and_names_stay_names(error: str, shown: str) -> None:
    """An error begins with a capital and ends with a full stop, but no file is renamed."""
    assert as_text(IpsecfdError(error)) == f"ERR IPsec [05016] : {shown}"
