"""What a netsh command that fails says: `ERR IPsec [nnnnn] : text` (spec 8.1).

Windows' own numbers are not published, but programs look at some: the numbers known from those are
kept (5010 and 5014, for a filter list and a filter action that exist), the others are ours.
"""

from __future__ import annotations

import enum
import re
from typing import Final

from ipsecfd.errors import IpsecfdError
from ipsecfd.policy.grammar import GrammarError
from ipsecfd.policy.mistakes import printable
from ipsecfd.policy.stores.errors import ExistsError, InUseError, NotFoundError

SERVICE_NOT_STARTED: Final = 1062
"""Win32's number for a service that does not run."""


_LONGEST: Final = 600
"""Characters of an error; what was typed is part of it, and may be any length."""
_SENTENCE: Final = re.compile(r"[a-z]+ ")


class Code(enum.IntEnum):
    """The kinds of failure."""

    COMMAND = 5001
    """No such command, or more than one that begins so."""
    TAG = 5002
    """A tag that the command does not have, an ambiguous one, a repeated one."""
    MISSING = 5003
    """A required tag is missing."""
    VALUE = 5004
    """A value that its tag does not take."""
    LIST_EXISTS = 5010
    ACTION_EXISTS = 5014
    EXISTS = 5015
    NOT_FOUND = 5011
    IN_USE = 5012
    FILTER = 5013
    """Addresses, masks, ports and protocols that no filter may combine, or a name that does not
    resolve."""
    REFUSED = 5016
    """Anything else that cannot be done."""


class CommandError(IpsecfdError):
    """A command that fails; nothing was changed."""

    def __init__(self, code: Code, text: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def understood(self) -> bool:
        """Whether it was a command of Windows, which Windows itself would have refused."""
        return self.code not in (Code.COMMAND, Code.TAG)


class ServiceError(CommandError):
    """The command needs the running service."""

    def __init__(self) -> None:
        super().__init__(
            Code.REFUSED,
            "The service is not started, and dynamic rules live in it; start ipsecfd"
            " (systemctl start ipsecfd) and try again",
        )


def as_text(error: IpsecfdError) -> str:
    """An error as netsh prints it, on one line."""
    text = printable(str(error).replace("\n", "; "))
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}..."
    if _SENTENCE.match(text):  # what begins otherwise, the name of a file for one, stays as it is
        text = f"{text[0].upper()}{text[1:]}"
    text = text.rstrip(".")
    if isinstance(error, ServiceError):
        return f"ERR Win32[{SERVICE_NOT_STARTED:05}] : {text}."
    return f"ERR IPsec [{_code(error):05}] : {text}."


def _code(error: IpsecfdError) -> Code:
    match error:
        case CommandError(code=code):
            return code
        case ExistsError(kind="filter list"):
            return Code.LIST_EXISTS
        case ExistsError(kind="filter action"):
            return Code.ACTION_EXISTS
        case ExistsError():
            return Code.EXISTS
        case NotFoundError():
            return Code.NOT_FOUND
        case InUseError():
            return Code.IN_USE
        case GrammarError():
            return Code.FILTER
        case _:
            return Code.REFUSED
